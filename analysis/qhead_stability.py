"""Which of K rollouts is to be believed, and do the Q head and stability say the same? Fig. 4.

    python analysis/qhead_stability.py --run RUN_ID                     # a trial, on its sweep's test puzzles
    python analysis/qhead_stability.py --checkpoint DIR --data FILE     # a checkpoint folder of rrm
    python analysis/qhead_stability.py --run RUN_ID --rollouts symmetry # symmetric copies in place of noise

Runs every puzzle K times with Gaussian noise on the latent state at the start of every segment, or K symmetric copies
of it, over Ray tasks, and chooses among the rollouts at random, by majority, Q head, residual, stability and, with
--lambda, the leading exponent, or takes the first rollout that halts or settles. Prints the accuracy of each choice
against K with its distance from the oracle, its price in network calls and what one rollout of as many calls solves,
how well Q is calibrated, and whether Q and stability agree within problems; draws and logs all of it to MLflow.
Finished shards survive an interruption.
"""

from rrm.commands.studies import run_selection_command


def main(argv: list[str] | None = None) -> None:
    run_selection_command(__doc__, argv)


if __name__ == "__main__":
    main()

"""Which way makes new puzzles that a trained model solves sometimes, and for how much time of the solver?

    python analysis/proposals.py --run RUN_ID                         # a trial, its sweep's test puzzles as known ones
    python analysis/proposals.py --checkpoint DIR --data FILE         # a checkpoint folder of rrm
    python analysis/proposals.py --run RUN_ID --proposals 1024 --length 4

Attempts the known puzzles K times each with Gaussian noise, then makes puzzles that are new up to symmetry in several
ways: fresh from the generator, one step from hard puzzles (vicinity search), and by walks of valid moves in the graph
of known puzzles: by all moves and by small ones from puzzles that are solved about half of the time, and from any.
Every puzzle is proven to have one answer, and attempted K times. Prints and draws puzzles per CPU-second of the solver,
the share that is useful (solved in 20 to 80 % of the attempts), and the product of both. Finished shards survive an
interruption.
"""

from rrm.commands.studies import run_proposals_command


def main(argv: list[str] | None = None) -> None:
    run_proposals_command(__doc__, argv)


if __name__ == "__main__":
    main()

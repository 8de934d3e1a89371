"""What does a trained model answer after every call, and how does its state move meanwhile?

    python analysis/boards.py --run RUN_ID                       # a trial of a sweep, on the sweep's test puzzles
    python analysis/boards.py --checkpoint DIR --data FILE       # a checkpoint folder of rrm
    python analysis/boards.py --run RUN_ID --puzzles 8 --K 8     # more puzzles, and more noisy rollouts of each

Looks for puzzles that the model solves and puzzles that it fails, and runs each once as it is and K times with
Gaussian noise on the latent state at the start of every segment. Of every call it keeps the answer, the probability of
each cell, the drift of the state, and the growth of a tangent, which is the local exponent. The trace is one file,
boards.npz, of at most a few MB; the tab Boards of `python -m rrm explore` shows it.
"""

from rrm.commands.studies import run_boards_command


def main(argv: list[str] | None = None) -> None:
    run_boards_command(__doc__, argv)


if __name__ == "__main__":
    main()

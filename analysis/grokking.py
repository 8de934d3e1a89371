"""When did runs memorise and grok, what turned first, and which frequencies do their networks compute with?

    python analysis/grokking.py --run RUN_ID [RUN_ID ...]      # trials, or whole sweeps of modular arithmetic
    python analysis/grokking.py --run JOB                      # a job folder below --storage, also while it trains
    python analysis/grokking.py --checkpoint DIR [DIR ...]     # the Fourier structure of any checkpoint

Reads the curves of the runs. Prints events and phases in steps, the steps of grokking by arm (runs that never grok are
censored, and fewer than five seeds give no verdict), what turned before grokking and whether it also turns in runs that
never grok, statistics by phase, rank correlations, actions at the events, and the Fourier structure of the first
network of each arm in the characters of its operation. Draws all of it, writes every number as CSV, and logs it to
MLflow. It takes seconds; the same runs again are read again.
"""

from rrm.commands.grokking import run_grokking_command


def main(argv: list[str] | None = None) -> None:
    run_grokking_command(__doc__, argv)


if __name__ == "__main__":
    main()

"""The claims of the study, each with its test, its effect over training seeds, and a verdict.

    python analysis/claims.py                     # ten minutes on two busy CPU cores: few verdicts
    python analysis/claims.py --preset full       # about 40 minutes: five training seeds

Trains what the claims need, as ordinary sweeps and studies of which each has its folder and its run, and finds those
that are finished with the same settings and puzzles: a second call takes seconds. Prints the table, writes it as CSV,
Markdown and a figure, and logs all of it to MLflow.

The unit is the training seed. Every claim has a smallest effect that counts, fixed beforehand. A claim holds if its
effect, corrected by Holm for all tests of the table, is told from the null and is at least that large; it does not
hold if its 95 % interval excludes every effect that counts; all else cannot be said with this much data. The null of
a claim passes through the same code as the claim, on the same measurements without what is claimed of them.
"""

from rrm.commands.claims import run_claims_command


def main(argv: list[str] | None = None) -> None:
    run_claims_command(__doc__, argv)


if __name__ == "__main__":
    main()

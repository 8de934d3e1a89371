"""When a loop is done: rules on the records of its rounds."""

from collections.abc import Callable, Mapping, Sequence

Record = Mapping[str, float]

ROUNDS = 3  # in a row for which a rule has to hold
EPSILON = 0.02  # below this share there is nothing left
FALL = 0.05  # of pass@K below its best


def _dry(name: str) -> Callable[[Sequence[Record]], bool]:
    """A share was below EPSILON in the last ROUNDS rounds."""
    return lambda records: len(records) >= ROUNDS and all(r[name] < EPSILON for r in records[-ROUNDS:])


def _falls(records: Sequence[Record]) -> bool:
    """pass@K was more than FALL below its best in the last ROUNDS rounds."""
    best = max((r["pass_K"] for r in records), default=0.0)
    return len(records) >= ROUNDS and all(r["pass_K"] < best - FALL for r in records[-ROUNDS:])


# "yield": the noise-free model solves what the loop keeps.  "corrections": on fresh puzzles no attempt passes through a
# wrong answer on its way to the right one.  "pass_K": the loop loses what it could.
STOPS: dict[str, Callable[[Sequence[Record]], bool]] = {
    "yield": _dry("yield"),
    "corrections": _dry("corrections"),
    "pass_K": _falls,
}


def first_stop(name: str, records: Sequence[Record]) -> int | None:
    """The round, from 0, after which the rule of this name ends the loop; None where it never does."""
    return next((n for n in range(len(records)) if STOPS[name](records[: n + 1])), None)

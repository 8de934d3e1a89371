"""What a sweep over curricula is expected to show, written down before its first run. Light to import."""

from __future__ import annotations

from dataclasses import dataclass

# The difference of two arms that is expected; see `Prediction`.
EXPECTED = ("more", "less", "same", "no less")


@dataclass(frozen=True)
class Prediction:
    """The difference of two arms, by training seed, and what is expected of it.

    Attributes:
        words: the prediction, a sentence without its full stop.
        arm, other: names of the arms; the difference is `arm` minus `other`.
        measure: one of `rrm.statistics.tiers.MEASURES`.
        expected: "more" or "less" than 0, the "same" to within `smallest`, or "no less" than -`smallest`.
        smallest: the smallest difference that counts, a fraction.
        at, other_at: value of the axis `TierReport.by` for each arm; `other_at` is that of `at` unless given.
    """

    words: str
    arm: str
    other: str
    measure: str
    expected: str
    smallest: float
    at: str = ""
    other_at: str = ""

    def __post_init__(self) -> None:
        if self.expected not in EXPECTED:
            raise ValueError(f"{self.words}: {self.expected!r} is none of {', '.join(EXPECTED)}")
        object.__setattr__(self, "other_at", self.other_at or self.at)


@dataclass(frozen=True)
class TierReport:
    """Arms of a sweep compared by tiers of difficulty.

    Attributes:
        control: the arm that all others are compared with.
        by: an axis of the configurations, of whose values each is a comparison of its own; None for a single one.
        predictions: judged together.
    """

    control: str
    by: str | None = None
    predictions: tuple[Prediction, ...] = ()

"""An estimate with its interval."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """A point estimate and its two-sided interval.

    Attributes:
        estimate: the statistic on the whole sample; nan where it is undefined, and then so are `low` and `high`.
        low, high: the ends of the interval, in the unit of the estimate.
        level: nominal coverage, such as 0.95.
        n: number of rows (puzzles) behind the estimate.
        n_dropped: bootstrap resamples left out because the statistic was undefined on them; 0 for closed forms.

    A format specification applies to all three numbers: `f"{interval:.2f}"` reads `0.93 [0.90, 0.95]`.
    """

    estimate: float
    low: float
    high: float
    level: float
    n: int
    n_dropped: int = 0

    def __format__(self, spec: str) -> str:
        return f"{self.estimate:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

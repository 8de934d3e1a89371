"""An estimate with its interval."""

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Interval:
    """A point estimate and its two-sided interval.

    Attributes:
        estimate: the statistic on the whole sample; nan where it is undefined, and then so are `low` and `high`.
        low, high: the ends of the interval, in the unit of the estimate; nan where there is nothing to judge them by.
        level: nominal coverage, such as 0.95.
        n: number of rows (puzzles) behind the estimate.

    A format specification applies to all three numbers: `f"{interval:.2f}"` reads `0.93 [0.90, 0.95]`, and `0.93` where
    the ends are nan.
    """

    estimate: float
    low: float
    high: float
    level: float
    n: int

    def __format__(self, spec: str) -> str:
        ends = "" if math.isnan(self.low) else f" [{self.low:{spec}}, {self.high:{spec}}]"
        return f"{self.estimate:{spec}}{ends}"

    def __mul__(self, factor: float) -> "Interval":
        """In another unit; `factor` is positive."""
        return replace(self, estimate=factor * self.estimate, low=factor * self.low, high=factor * self.high)

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

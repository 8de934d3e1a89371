"""An estimate with its interval, and the difference of two of them."""

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


def difference_interval(a: Interval, b: Interval, n: int, correlation: float = 0.0) -> Interval:
    """Interval of a - b from the intervals of a and b, symmetric or not: the distances to their ends add by squares.

    Newcombe's method 10 for two proportions, and in general Zou, Psychological Methods 12 (2007) 399.

    Args:
        a, b: of the same level.
        n: puzzles behind the difference.
        correlation: of the two estimates; 0 for independent samples.
    """

    def distance(of_a: float, of_b: float) -> float:
        # Rounding may leave the square of a distance of 0 at -1e-18.
        return math.sqrt(max(0.0, of_a**2 - 2 * correlation * of_a * of_b + of_b**2))

    difference = a.estimate - b.estimate
    low = difference - distance(a.estimate - a.low, b.high - b.estimate)
    high = difference + distance(a.high - a.estimate, b.estimate - b.low)
    return Interval(difference, low, high, a.level, n)

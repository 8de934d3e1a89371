"""Intervals for exact accuracies: one proportion, the difference of two, and what a count of zero excludes."""

import math

from scipy.special import ndtri
from scipy.stats import binomtest

from rrm.statistics.interval import Interval


def wilson_interval(successes: int, n: int, level: float = 0.95) -> Interval:
    """Wilson score interval of a proportion (Wilson, JASA 22 (1927) 209); sound at 0 and 1, where Wald's collapses.

    Args:
        successes, n: puzzles solved, puzzles tried (n at least 1).
        level: nominal coverage.

    Returns:
        The interval as fractions in [0, 1].
    """
    ends = binomtest(successes, n).proportion_ci(level, method="wilson")
    return Interval(successes / n, float(ends.low), float(ends.high), level, n)


def clustered_wilson_interval(share: float, variance: float, n: int, level: float = 0.95) -> Interval:
    """Wilson interval of a share whose rows are not independent draws, such as several rollouts of each puzzle.

    Args:
        share: the estimate, in [0, 1].
        variance: of the estimate, over the `n` puzzles. It stands for share (1 - share) / variance independent draws;
            where it is 0, for `n` draws.
        n: puzzles behind the estimate, at least 1.
        level: nominal coverage.
    """
    draws = share * (1 - share) / variance if variance > 0 else n
    z = ndtri((1 + level) / 2)
    centre = (share + z**2 / (2 * draws)) / (1 + z**2 / draws)
    margin = z / (1 + z**2 / draws) * math.sqrt(share * (1 - share) / draws + z**2 / (4 * draws**2))
    return Interval(float(share), float(max(0, centre - margin)), float(min(1, centre + margin)), level, int(n))


def newcombe_interval(successes_a: int, n_a: int, successes_b: int, n_b: int, level: float = 0.95) -> Interval:
    """Hybrid score interval of p_a - p_b (Newcombe, Statistics in Medicine 17 (1998) 873, method 10).

    The two samples are treated as independent. Two models scored on the same puzzles usually agree on many of them, and
    then this interval is wider than a paired one would be.

    Args:
        successes_a, n_a, successes_b, n_b: puzzles solved and tried by either model.
        level: nominal coverage.

    Returns:
        The interval as a fraction in [-1, 1], with `n` = n_a + n_b.
    """
    a, b = wilson_interval(successes_a, n_a, level), wilson_interval(successes_b, n_b, level)
    difference = a.estimate - b.estimate
    below = math.hypot(a.estimate - a.low, b.high - b.estimate)
    above = math.hypot(a.high - a.estimate, b.estimate - b.low)
    return Interval(difference, difference - below, difference + above, level, n_a + n_b)


def rule_of_three(n: int, level: float = 0.95) -> float:
    """Largest proportion that a count of zero in `n` trials leaves possible: 1 - (1 - level)^(1/n), about 3 / n.

    One-sided and exact (Hanley and Lippman-Hand, JAMA 249 (1983) 1743); 1 without a trial.
    """
    return 1 - (1 - level) ** (1 / n) if n else 1.0

"""Intervals for exact accuracies: one proportion, one of clustered rows, and the difference of two."""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri
from scipy.stats import binomtest

from rrm.statistics.interval import Interval, difference_interval

# Shares that are equal up to rounding vary by less.
_EQUAL = 1e-24


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
            where it is 0 up to rounding, for `n` draws.
        n: puzzles behind the estimate, at least 1.
        level: nominal coverage.
    """
    draws = share * (1 - share) / variance if variance > _EQUAL else n
    z = ndtri((1 + level) / 2)
    centre = (share + z**2 / (2 * draws)) / (1 + z**2 / draws)
    margin = z / (1 + z**2 / draws) * math.sqrt(share * (1 - share) / draws + z**2 / (4 * draws**2))
    return Interval(float(share), float(max(0, centre - margin)), float(min(1, centre + margin)), level, int(n))


def clustered_share(right: np.ndarray, member: np.ndarray) -> Interval:
    """Share of the members that are right: a ratio over puzzles, its variance by the delta method.

    Args:
        right, member: [N, K] booleans, K rollouts of N puzzles; at least one is a member.
    """
    hits, size = (right & member).sum(1), member.sum(1)
    puzzles = int(np.count_nonzero(size))
    share = hits.sum() / size.sum()
    if puzzles == 1:
        return clustered_wilson_interval(share, share * (1 - share), 1)
    variance = ((hits - share * size) ** 2).sum() * puzzles / (puzzles - 1) / size.sum() ** 2
    return clustered_wilson_interval(share, variance, puzzles)


def newcombe_interval(
    successes_a: int, n_a: int, successes_b: int, n_b: int, level: float = 0.95, phi: float = 0.0
) -> Interval:
    """Hybrid score interval of p_a - p_b (Newcombe, Statistics in Medicine 17 (1998) 873, method 10).

    Two models scored on the same puzzles usually agree on many of them. Treated as independent samples, they have a
    wider interval than `paired_newcombe_interval` gives.

    Args:
        successes_a, n_a, successes_b, n_b: puzzles solved and tried by either model.
        level: nominal coverage.
        phi: correlation of the two outcomes of a puzzle; 0 for independent samples.

    Returns:
        The interval as a fraction in [-1, 1], with `n` = n_a + n_b.
    """
    a, b = wilson_interval(successes_a, n_a, level), wilson_interval(successes_b, n_b, level)
    return difference_interval(a, b, n_a + n_b, phi)


def paired_newcombe_interval(solved_a: ArrayLike, solved_b: ArrayLike, level: float = 0.95) -> Interval:
    """Hybrid score interval of p_a - p_b on the same puzzles (Newcombe, Statistics in Medicine 17 (1998) 2635).

    His method 10: the score intervals of both shares, joined by the correlation of the outcomes with a correction for
    continuity.

    Args:
        solved_a, solved_b: [N] booleans each, N at least 1.
        level: nominal coverage.

    Returns:
        The interval as a fraction in [-1, 1], with `n` = N.

    Raises:
        ValueError: unequal or no puzzles.
    """
    a, b = np.asarray(solved_a, bool), np.asarray(solved_b, bool)
    if a.shape != b.shape or a.ndim != 1 or not a.size:
        raise ValueError(f"paired outcomes must be two times [N], N at least 1; got {a.shape} and {b.shape}")
    n, in_a, in_b, both = a.size, int(a.sum()), int(b.sum()), int((a & b).sum())
    covariance = float(both * n - in_a * in_b)  # n^2 times: both x neither - only a x only b
    if covariance > 0:
        covariance = max(0.0, covariance - n / 2)
    spread = math.sqrt(in_a * (n - in_a) * in_b * (n - in_b))
    found = newcombe_interval(in_a, n, in_b, n, level, covariance / spread if spread else 0.0)
    return replace(found, n=n)

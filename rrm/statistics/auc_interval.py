"""Score intervals of an AUC, of an AUC over some of the pairs, and of the difference of two AUCs.

The interval holds every true AUC that the estimate is compatible with, under the variance that Hanley and McNeil
(Radiology 143 (1982) 29) derive for that true AUC; the two classes enter alike. This is method 5 of Newcombe
(Statistics in Medicine 25 (2006) 559). Unlike an interval from an estimated variance, as DeLong's or the
bootstrap's, the score interval keeps its coverage close to 1, where the exponents of this field lie: separated classes
of 50 leave AUCs down to 0.96 possible.
"""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import ndtri

from rrm.statistics.auc import auc, check_scores
from rrm.statistics.delong import delong_covariance
from rrm.statistics.interval import Interval, difference_interval
from rrm.statistics.means import undefined_interval

# Closest to 0 and 1 that an end is searched for: at 0 and 1 themselves every interval has a trivial end.
_EDGE = 1e-12


def auc_interval(score: ArrayLike, positive: ArrayLike, *, level: float = 0.95) -> Interval:
    """Interval of `auc(score, positive)`.

    Args:
        score, positive: [N] each, as in `auc`.
        level: nominal coverage.

    Returns:
        The interval, within [0, 1]; all nan when a class is empty.
    """
    score, positive = check_scores(score, positive)
    m = np.count_nonzero(positive)
    n = positive.size - m
    if not m or not n:
        return undefined_interval(positive.size, level)
    return pairs_interval(auc(score, positive), 1 / (m * n), 1 / m, 1 / n, positive.size, level)


def pairs_interval(
    estimate: float, pairs: float, of_positives: float, of_negatives: float, n: int, level: float = 0.95
) -> Interval:
    """Interval of a weighted share of pairs (a positive, a negative) in which the positive scores higher.

    The weights of the pairs sum to 1. Two pairs with one member in common agree more often than independent ones, so
    the width depends on the weight that meets in each member.

    Args:
        estimate: the share, ties counted one half.
        pairs: sum over pairs of the squared weight.
        of_positives, of_negatives: sum over the positives (negatives) of the squared weight of all pairs of each.
        n: puzzles behind the estimate.
        level: nominal coverage.
    """
    z = ndtri((1 + level) / 2)
    shared = (of_positives + of_negatives) / 2 - pairs

    def beyond(true: float) -> float:
        """How much farther the estimate lies from the true share than chance explains."""
        deviation = true * (1 - true) * (pairs + shared * ((1 - true) / (2 - true) + true / (1 + true)))
        return abs(estimate - true) - z * math.sqrt(deviation)

    low = brentq(beyond, 0, min(estimate, 1 - _EDGE)) if estimate > 0 else 0.0
    high = brentq(beyond, max(estimate, _EDGE), 1) if estimate < 1 else 1.0
    return Interval(float(estimate), float(low), float(high), level, int(n))


def auc_difference_interval(
    score_a: ArrayLike, score_b: ArrayLike, positive: ArrayLike, *, level: float = 0.95
) -> Interval:
    """Interval of `auc(score_a, positive) - auc(score_b, positive)`, both scores taken on the same puzzles.

    `difference_interval` of the two intervals, with DeLong's correlation of the two AUCs: scores that order the puzzles
    alike have a difference known far better than either AUC.

    Args:
        score_a, score_b, positive: [N] each, as in `auc`.
        level: nominal coverage.

    Returns:
        The interval; all nan when a class has fewer than two members.
    """
    a, b = auc_interval(score_a, positive, level=level), auc_interval(score_b, positive, level=level)
    positive = np.asarray(positive, bool)
    if min(np.count_nonzero(positive), np.count_nonzero(~positive)) < 2:
        return undefined_interval(positive.size, level)
    _, covariance = delong_covariance(np.stack([np.asarray(score_a), np.asarray(score_b)]), positive)
    spread = math.sqrt(covariance[0, 0] * covariance[1, 1])
    # Scores that separate the classes completely show nothing of their correlation.
    correlation = min(1.0, covariance[0, 1] / spread) if spread > 0 else 0.0
    return difference_interval(a, b, positive.size, correlation)

"""DeLong covariance of AUCs measured on the same puzzles.

DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988) 837, by the mid-rank algorithm of Sun and Xu, IEEE Signal
Processing Letters 21 (2014) 1389: one sort a score, whatever the number of puzzles.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from rrm.statistics.auc import check_scores


def delong_covariance(scores: ArrayLike, positive: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """AUCs of several scores for the same classes, and their covariance over puzzles.

    A difference of two AUCs has the variance `cov[0, 0] + cov[1, 1] - 2 cov[0, 1]`.

    Args:
        scores: [m, N] finite numbers; higher means "more likely positive".
        positive: [N] booleans.

    Returns:
        AUCs [m] and their covariance [m, m].

    Raises:
        ValueError: shapes that do not match, a score that is not finite, or a class with fewer than two members.
    """
    checked = [check_scores(score, positive) for score in np.atleast_2d(scores)]
    scores, positive = np.stack([score for score, _ in checked]), checked[0][1]
    n_positive, n_negative = np.count_nonzero(positive), np.count_nonzero(~positive)
    if min(n_positive, n_negative) < 2:
        raise ValueError(f"DeLong needs two members of each class; got {n_positive} positive, {n_negative} negative")
    of_positives, of_negatives = wins(scores, positive)
    of_positives, of_negatives = of_positives / n_negative, of_negatives / n_positive
    covariance = np.cov(of_positives) / n_positive + np.cov(of_negatives) / n_negative
    return of_positives.mean(axis=1), np.atleast_2d(covariance)


def wins(scores: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs won by the higher score, ties one half, in the order of the rows: the parts of which an AUC is the mean.

    Args:
        scores: [..., N].
        positive: [N] booleans.

    Returns:
        Negatives that each positive beats [..., positives], and positives that beat each negative [..., negatives].
    """
    ranks = rankdata(scores, axis=-1)
    of_positives = ranks[..., positive] - rankdata(scores[..., positive], axis=-1)
    beaten = ranks[..., ~positive] - rankdata(scores[..., ~positive], axis=-1)
    return of_positives, np.count_nonzero(positive) - beaten

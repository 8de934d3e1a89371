"""Rank AUC: the probability that a random positive scores above a random negative, ties counting one half."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata


def auc(score: ArrayLike, positive: ArrayLike) -> float:
    """Area under the ROC curve of `score` for the class `positive` (Mann-Whitney U over the number of pairs).

    Args:
        score: [N] finite numbers; higher means "more likely positive".
        positive: [N] booleans.

    Returns:
        A number in [0, 1], or nan when one of the two classes is empty, where no pair exists to compare.

    Raises:
        ValueError: the arrays are not [N] and [N], or a score is not finite.
    """
    score, positive = check_scores(score, positive)
    n_positive = np.count_nonzero(positive)
    n_pairs = n_positive * (positive.size - n_positive)
    if n_pairs == 0:
        return float("nan")
    rank_sum = rankdata(score)[positive].sum()
    return float((rank_sum - n_positive * (n_positive + 1) / 2) / n_pairs)


def check_scores(score: ArrayLike, positive: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """`score` as [N] float and `positive` as [N] bool; ValueError for other shapes or values."""
    score, positive = np.asarray(score, dtype=float), np.asarray(positive)
    if score.ndim != 1 or score.shape != positive.shape:
        raise ValueError(f"score and positive must both be [N]; got shapes {score.shape} and {positive.shape}")
    if not np.isin(positive, (0, 1)).all():
        raise ValueError("positive must hold booleans (or 0 and 1) only")
    n_bad = np.count_nonzero(~np.isfinite(score))
    if n_bad:
        raise ValueError(f"{n_bad} of {score.size} scores are not finite; leave those rows out and say how many")
    return score, positive.astype(bool)

"""Paired percentile bootstrap over puzzles.

The unit resampled is the puzzle. An interval from here covers the spread expected from drawing other puzzles for the
*same* trained model; it does not cover the spread between training runs, which takes several seeds and a resampling of
runs. Where the two classes do not overlap at all, every resample gives the same AUC and the interval has no width: read
it as "separated in this sample", not as certainty. For two normal classes with an AUC of 0.76 the 95 % interval covers
the truth in 93 % of samples of 80 puzzles and in 94.5 % of samples of 200, as DeLong's does.

Reference: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike

from rrm.statistics.auc import auc, check_scores
from rrm.statistics.interval import Interval

# Indices held in memory at a time; a block of resamples is this large or one resample, whichever is more.
_BLOCK = 1 << 21


def bootstrap_interval(
    statistic: Callable[..., float],
    *arrays: ArrayLike,
    n_resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile interval of `statistic(*arrays)`, with the rows of all arrays resampled together.

    Args:
        statistic: maps arrays like those given to a number; nan marks a resample on which it is undefined (an AUC
            without one of its classes). Such resamples are left out and counted in `Interval.n_dropped`.
        *arrays: one or more arrays with the same first dimension N, one row a puzzle.
        n_resamples, level, seed: number of resamples, nominal coverage, seed of the resampling.

    Returns:
        The interval, in the unit of the statistic, with `n` = N.

    Raises:
        ValueError: no array, no row, unequal N, or `level` or `n_resamples` out of range.
    """
    arrays = tuple(np.asarray(array) for array in arrays)
    lengths = {len(array) for array in arrays}
    if len(lengths) != 1:
        raise ValueError(f"bootstrap needs one or more arrays with equal numbers of rows; got {sorted(lengths)}")
    n = lengths.pop()
    resampled = [
        statistic(*(array[rows] for array in arrays))
        for block in _resampled_rows(n, n_resamples, seed)
        for rows in block
    ]
    return _percentile_interval(statistic(*arrays), np.array(resampled, dtype=float), level, n)


def auc_interval(
    score: ArrayLike, positive: ArrayLike, *, n_resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Interval of `auc(score, positive)`: the numbers of `bootstrap_interval(auc, ...)`, computed in one sweep.

    Args:
        score, positive: [N] each, as in `auc`.
        n_resamples, level, seed: as in `bootstrap_interval`.

    Returns:
        The interval of the AUC; all nan when a class is empty.
    """
    score, positive = check_scores(score, positive)
    resampled = [_auc_of_rows(score, positive, rows) for rows in _resampled_rows(score.size, n_resamples, seed)]
    return _percentile_interval(auc(score, positive), np.concatenate(resampled), level, score.size)


def auc_difference_interval(
    score_a: ArrayLike,
    score_b: ArrayLike,
    positive: ArrayLike,
    *,
    n_resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of `auc(score_a, positive) - auc(score_b, positive)`, both scores taken on the same puzzles.

    The pairing matters: scores that order the puzzles alike have a difference known far better than either AUC.

    Args:
        score_a, score_b, positive: [N] each, as in `auc`.
        n_resamples, level, seed: as in `bootstrap_interval`.

    Returns:
        The interval of the difference; all nan when a class is empty.
    """
    score_a, positive = check_scores(score_a, positive)
    score_b, _ = check_scores(score_b, positive)
    resampled = [
        _auc_of_rows(score_a, positive, rows) - _auc_of_rows(score_b, positive, rows)
        for rows in _resampled_rows(positive.size, n_resamples, seed)
    ]
    estimate = auc(score_a, positive) - auc(score_b, positive)
    return _percentile_interval(estimate, np.concatenate(resampled), level, positive.size)


def _resampled_rows(n: int, n_resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Row indices drawn with replacement, in blocks [resamples, n]."""
    if n < 1 or n_resamples < 1:
        raise ValueError(f"bootstrap needs at least one row and one resample; got {n} and {n_resamples}")
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK // n)
    for start in range(0, n_resamples, block):
        yield rng.integers(n, size=(min(block, n_resamples - start), n))


def _auc_of_rows(score: np.ndarray, positive: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """AUC [resamples] of the resamples `rows` [resamples, N]: one sort for all, puzzles weighted by their counts."""
    n_resamples, n = rows.shape
    flat = rows + n * np.arange(n_resamples)[:, None]
    counts = np.bincount(flat.ravel(), minlength=n_resamples * n).reshape(n_resamples, n)
    order = np.argsort(score)
    ties = np.flatnonzero(np.r_[True, np.diff(score[order]) > 0])
    positives = np.add.reduceat((counts * positive)[:, order], ties, axis=1)
    negatives = np.add.reduceat((counts * ~positive)[:, order], ties, axis=1)
    wins = (positives * (np.cumsum(negatives, axis=1) - negatives / 2)).sum(axis=1)
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    return np.divide(wins, pairs, out=np.full(n_resamples, np.nan), where=pairs > 0)


def _percentile_interval(estimate: float, resampled: np.ndarray, level: float, n: int) -> Interval:
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1; got {level}")
    kept = resampled[~np.isnan(resampled)]
    n_dropped = resampled.size - kept.size
    if np.isnan(estimate) or not kept.size:
        return Interval(float(estimate), float("nan"), float("nan"), level, n, n_dropped)
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(estimate), float(low), float(high), level, n, n_dropped)

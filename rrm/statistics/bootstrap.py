"""Paired percentile bootstrap over puzzles.

The unit resampled is the puzzle. An interval from here covers the spread expected from drawing other puzzles for the
*same* trained model; it does not cover the spread between training runs, which takes several seeds and a resampling of
runs. From few puzzles the interval is too narrow: see `tests/benchmarks/coverage.py`.

Reference: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike

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


def _resampled_rows(n: int, n_resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Row indices drawn with replacement, in blocks [resamples, n]."""
    if n < 1 or n_resamples < 1:
        raise ValueError(f"bootstrap needs at least one row and one resample; got {n} and {n_resamples}")
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK // n)
    for start in range(0, n_resamples, block):
        yield rng.integers(n, size=(min(block, n_resamples - start), n))


def _percentile_interval(estimate: float, resampled: np.ndarray, level: float, n: int) -> Interval:
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1; got {level}")
    kept = resampled[~np.isnan(resampled)]
    n_dropped = resampled.size - kept.size
    if np.isnan(estimate) or not kept.size:
        return Interval(float(estimate), float("nan"), float("nan"), level, n, n_dropped)
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(estimate), float(low), float(high), level, n, n_dropped)

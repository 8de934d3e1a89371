"""Null exponents that know only when the search ended: every statement on lambda_1 has to beat them.

A rollout that has found its answer contracts, one that is still searching does not, and a finite-time exponent mixes
both. So the exponent separates failed from solved puzzles even where instability has no part in failure. Here each
puzzle keeps its outcome, its drift and its confidence, and the local exponents alone are replaced:

- before the end, by the exponents of a search of the same length, the logistic map of `transient_chaos`, brought to the
  mean and the covariance over segments of the endless searches. The selection by a landing stays in: the step that
  lands, and the one before, are not typical of the search.
- from the segment of the end on, by the exponents of another puzzle whose search ended, aligned at its end.

Statistics of the measured exponents and of these pass through the same code on the same puzzles, so that horizon,
success rate, settling and sample size agree without being set. This is the method of surrogate data (Theiler et al.,
Physica D 58 (1992) 77).
"""

from functools import lru_cache

import numpy as np

from rrm.statistics.transient_chaos import local_rates, matched_eps, transient_chaos

# Searches to choose from; half of them end within the horizon.
_POOL = 20_000


def convergence_null(
    lambda_segments: np.ndarray, ended: np.ndarray, rng: np.random.Generator, kind: np.ndarray | None = None
) -> np.ndarray:
    """Local exponents [N, T] of the null, in the unit of `lambda_segments`.

    Args:
        lambda_segments: [N, T] local exponents of the measured rollouts.
        ended: [N] integers, the segment that ended the search, right or wrong, 1 to T, or T + 1 for an endless one.
        rng: draws the searches and the puzzles that stand in for others.
        kind: [N] labels; a puzzle is stood in for by one of its own kind only. All are of one kind if None.

    Raises:
        ValueError: fewer than two endless searches, whose mean and covariance are then unknown.
    """
    rates = np.asarray(lambda_segments, dtype=float)
    n, segments = rates.shape
    endless = ended == segments + 1
    n_endless = np.count_nonzero(endless)
    if n_endless < 2:
        raise ValueError(f"needs two endless searches to know what a search looks like; got {n_endless}")
    # Each segment of the null mixes this and earlier ones of the search, never later ones.
    null = rates[endless].mean(0) + _searches(ended, segments, rng) @ _root(rates[endless]).T
    order = np.argsort(ended, kind="stable")[: n - n_endless]
    kind = np.zeros(n) if kind is None else np.asarray(kind)
    for alike in (order[kind[order] == label] for label in np.unique(kind[order])):
        # Those that ended no later: their rollouts are long enough from the end on.
        eligible = np.searchsorted(ended[alike], ended[alike], side="right")
        for row, donor in zip(alike, alike[rng.integers(eligible)], strict=True):
            first, start = ended[row] - 1, ended[donor] - 1
            null[row, first:] = rates[donor, start : start + segments - first]
    return null


def _root(searches: np.ndarray) -> np.ndarray:
    """Lower triangular root [T, T] of the covariance over segments of [n, T] rows.

    From few rows the covariances of different segments are mostly noise and are shrunk towards 0.
    """
    n, segments = searches.shape
    covariance = np.atleast_2d(np.cov(searches, rowvar=False))
    # The smallest number stands for the spread of searches that are all alike.
    floor = np.finfo(np.float32).eps * covariance.diagonal().mean() + np.finfo(float).tiny
    variance = np.diag(covariance.diagonal() + floor)
    return np.linalg.cholesky((n * covariance + segments * variance) / (n + segments))


def _searches(ended: np.ndarray, segments: int, rng: np.random.Generator) -> np.ndarray:
    """Local rates [N, T] of searches that end at the segments `ended`, or never where none ends there.

    Those of searches that never end have mean 0, and their covariance over segments is the identity.
    """
    rates, order, first, count = _pool(segments)
    found = np.where(count[ended] > 0, ended, segments + 1)
    return rates[order[first[found] + rng.integers(count[found])]]


@lru_cache(maxsize=2)
def _pool(segments: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Whitened rates of many searches, their order by capture time, first place and number of each capture time."""
    capture_time = transient_chaos(_POOL, segments, matched_eps(0.5, segments, _POOL)).capture_time
    count = np.bincount(capture_time, minlength=segments + 2)
    rates = local_rates(_POOL, segments)
    searching = rates[capture_time > segments]
    white = np.linalg.solve(_root(searching), (rates - searching.mean(0)).T).T
    return white, np.argsort(capture_time, kind="stable"), np.cumsum(count) - count, count

"""Do two scores of a rollout agree within a problem? Rank correlations by problem, their mean, and the pooled trap.

Hard problems lower the confidence and the stability of all their rollouts, so that scores which say nothing about the
rollouts of one problem correlate over the rollouts of many (Simpson's paradox). Only within problems is difficulty held
fixed. The unit resampled is the problem, with all its rollouts.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from rrm.statistics.bootstrap import bootstrap_interval
from rrm.statistics.interval import Interval
from rrm.statistics.means import undefined_interval

# Ranks of K rollouts that leave less of their sum of squares behind the controls are explained by them.
_EXPLAINED = 1e-9


def mixed_problems(solved: ArrayLike) -> np.ndarray:
    """bool [N]: problems of which some of the rollouts [N, K] are right and some are wrong."""
    solved = np.asarray(solved, bool)
    return solved.any(1) & ~solved.all(1)


def agreement(answer: ArrayLike) -> np.ndarray:
    """[N, K]: share of the other rollouts of the problem that give the same answer; K at least 2."""
    answer = np.asarray(answer)
    return ((answer[:, :, None] == answer[:, None, :]).sum(2) - 1) / (answer.shape[1] - 1)


def within_problem(x: ArrayLike, y: ArrayLike, controls: Sequence[ArrayLike] = ()) -> np.ndarray:
    """Spearman's rank correlation of x and y over the rollouts of each problem; partial, with controls.

    The partial one is the correlation of what is left of both ranks by a linear regression on the ranks of the
    controls, problem by problem.

    Args:
        x, y: [N, K], ties averaged.
        controls: [N, K] each, such as the settling time.

    Returns:
        [N]; nan where a value is not finite, where one of the two is constant or explained by the controls, and where
        the mean and the controls leave fewer than 3 degrees of freedom.

    Raises:
        ValueError: shapes that do not match.
    """
    arrays = [np.asarray(array, float) for array in (x, y, *controls)]
    if any(array.ndim != 2 or array.shape != arrays[0].shape for array in arrays):
        raise ValueError(f"all arrays must be [N, K]; got shapes {[array.shape for array in arrays]}")
    return np.array([_partial(*rows) for rows in zip(*arrays, strict=True)])


def _partial(x: np.ndarray, y: np.ndarray, *controls: np.ndarray) -> float:
    if not np.isfinite([x, y, *controls]).all():
        return np.nan
    design = np.column_stack([np.ones(x.size), *(rankdata(control) for control in controls)])
    u, size, _ = np.linalg.svd(design, full_matrices=False)
    basis = u[:, size > size[0] * 1e-9]
    if x.size - basis.shape[1] < 3:
        return np.nan
    ranks = rankdata(x), rankdata(y)
    left = [rank - basis @ (basis.T @ rank) for rank in ranks]
    squares = [rest @ rest for rest in left]
    if any(s <= _EXPLAINED * (rank @ rank) for s, rank in zip(squares, ranks, strict=True)):
        return np.nan
    return float(left[0] @ left[1] / np.sqrt(squares[0] * squares[1]))


def mean_correlation(values: ArrayLike, *, n_resamples: int = 2000, level: float = 0.95, seed: int = 0) -> Interval:
    """Mean over the problems where it is defined, with a bootstrap over these problems (`n` of them); nan below two."""
    values = np.asarray(values, float)
    defined = values[np.isfinite(values)]
    if defined.size < 2:
        return undefined_interval(defined.size, level)
    return bootstrap_interval(np.mean, defined, n_resamples=n_resamples, level=level, seed=seed)


def pooled_correlation(
    x: ArrayLike, y: ArrayLike, *, n_resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Spearman's correlation over all rollouts of all problems at once, bootstrapped over problems: the trap.

    The resamples keep the ranks of the whole sample. Problems with a value that is not finite are left out; nan where
    fewer than two problems are left or a score is constant.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    kept = np.isfinite(x).all(1) & np.isfinite(y).all(1)
    n = int(np.count_nonzero(kept))
    if n < 2:
        return undefined_interval(n, level)
    u, v = (rankdata(array[kept]).reshape(n, -1) for array in (x, y))
    u, v = (u - u.mean()) / u.size, (v - v.mean()) / v.size
    # Sums by problem: a resample is a sum of them.
    sums = np.stack([(u * v).sum(1), (u * u).sum(1), (v * v).sum(1), u.sum(1), v.sum(1)], 1)

    def correlation(rows: np.ndarray) -> float:
        uv, uu, vv, su, sv = rows.sum(0)
        size = len(rows) * u.shape[1]
        spread = (uu - su**2 / size) * (vv - sv**2 / size)
        return float((uv - su * sv / size) / np.sqrt(spread)) if spread > 0 else np.nan

    return bootstrap_interval(correlation, sums, n_resamples=n_resamples, level=level, seed=seed)

"""Do two scores of a rollout agree within a problem? Rank correlations by problem, their mean, and the pooled trap.

Hard problems lower the confidence and the stability of all their rollouts, so that scores which say nothing about the
rollouts of one problem correlate over the rollouts of many (Simpson's paradox). Only within problems is difficulty held
fixed. The unit of the intervals is the problem, with all its rollouts.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from rrm.statistics.interval import Interval
from rrm.statistics.means import mean_interval, undefined_interval

# Below this many mixed problems a mean correlation is a statement about a handful of problems.
MIN_MIXED = 5

# Ranks of K rollouts that leave less of their sum of squares behind the controls are explained by them.
_EXPLAINED = 1e-9


def mixed_problems(solved: ArrayLike) -> np.ndarray:
    """bool [N]: problems of which some of the rollouts [N, K] are right and some are wrong."""
    right = np.count_nonzero(np.asarray(solved, bool), axis=1)
    return (right > 0) & (right < np.shape(solved)[1])


def agreement(answer: ArrayLike) -> np.ndarray:
    """[N, K]: share of the other rollouts of the problem that give the same answer; K at least 2."""
    answer = np.asarray(answer)
    return ((answer[:, :, None] == answer[:, None, :]).sum(2) - 1) / (answer.shape[1] - 1)


def within_problem(x: ArrayLike, y: ArrayLike, controls: Sequence[ArrayLike] = ()) -> np.ndarray:
    """Spearman's rank correlation of x and y over the rollouts of each problem; partial, with controls.

    The partial correlation is that of the residuals of both ranks after a linear regression on the ranks of the
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


def mean_correlation(values: ArrayLike, level: float = 0.95) -> Interval:
    """Mean over the `n` problems where it is defined, with the interval of Student's t over them; nan below two."""
    values = np.asarray(values, float)
    defined = values[np.isfinite(values)]
    return mean_interval(defined, level) if defined.size > 1 else undefined_interval(defined.size, level)


def pooled_correlation(x: ArrayLike, y: ArrayLike, level: float = 0.95) -> Interval:
    """Spearman's correlation over all rollouts of all problems at once, with an interval over problems: the trap.

    The interval is Student's t for the mean of the problems' influences on Fisher's scale, atanh. A rollout pulls the
    correlation by its own product of ranks and by shifting the ranks of all others (Croux and Dehon, Stat. Methods
    Appl. 19 (2010) 497). A percentile bootstrap over few problems covers far less than it says.

    Args:
        x, y: [N, K], ties averaged.
        level: nominal coverage.

    Returns:
        The interval with the number of problems; problems with a value that is not finite are left out. All nan where
        fewer than two are left or a score is constant; the ends nan where the correlation is 1 or -1.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    kept = np.isfinite(x).all(1) & np.isfinite(y).all(1)
    n = int(np.count_nonzero(kept))
    if n < 2 or np.ptp(x[kept]) == 0 or np.ptp(y[kept]) == 0:
        return undefined_interval(n, level)
    ranks = [rankdata(scores[kept]) for scores in (x, y)]
    (u, v), spread = [(r - r.mean()) / r.std() for r in ranks], [r.std() / r.size for r in ranks]
    correlation = float((u * v).mean())
    if 1 - abs(correlation) < _EXPLAINED:
        return replace(undefined_interval(n, level), estimate=correlation)
    influence = u * v + _mean_above(u, v) / spread[0] + _mean_above(v, u) / spread[1]
    pulls = (influence - influence.mean()).reshape(n, -1).mean(1) / (1 - correlation**2)
    on_fisher = mean_interval(np.arctanh(correlation) + pulls, level)
    return Interval(correlation, float(np.tanh(on_fisher.low)), float(np.tanh(on_fisher.high)), level, n)


def _mean_above(score: np.ndarray, other: np.ndarray) -> np.ndarray:
    """[N]: of each score, the sum of `other` over the scores above it, equal ones by half, over N."""
    order = np.argsort(score)
    sums = np.r_[0.0, np.cumsum(other[order])]
    below, up_to = (sums[np.searchsorted(score[order], score, side)] for side in ("left", "right"))
    return (sums[-1] - (below + up_to) / 2) / score.size

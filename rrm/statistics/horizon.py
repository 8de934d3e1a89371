"""The horizon curve: when does an exponent tell failed from solved, and is the signal there before settling?

All windows use the same puzzles. The AUC for failure at the window stands beside the AUC of `convergence_null`, an
exponent that knows only when the search ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from rrm.statistics.auc import auc
from rrm.statistics.auc_interval import auc_interval
from rrm.statistics.interval import Interval
from rrm.statistics.means import draws_interval, undefined_interval
from rrm.statistics.outcomes import MIN_CLASS, shortage
from rrm.statistics.proportions import wilson_interval


@dataclass(frozen=True)
class HorizonPoint:
    """AUCs of one window; every score is higher for "failed", and fewer than 5 of a class make an AUC nan.

    Attributes:
        window: segments from the start, w.
        solved: share of puzzles solved at w.
        lambda_last: mean exponent over the first w segments, for failure at the last segment.
        lambda_window: the same exponent, for failure at w.
        drift_last, drift_window: drift of segment w alone, for failure at the last segment and at w.
        lambda_antecedent, drift_antecedent: for failure at the last segment, among the puzzles unsolved at w only: is
            there a signal before the answer? `n` is their number.
        transient_chaos: `lambda_window` of the null exponents, in the mean, with the range of 95 % of their draws; nan
            without them.
    """

    window: int
    solved: Interval
    lambda_last: Interval
    lambda_window: Interval
    drift_last: Interval
    drift_window: Interval
    lambda_antecedent: Interval
    drift_antecedent: Interval
    transient_chaos: Interval


def horizon_curve(
    lambda_segments: ArrayLike,
    drift: ArrayLike,
    solved_at: ArrayLike,
    windows: Sequence[int] | None = None,
    *,
    nulls: Sequence[ArrayLike] = (),
) -> list[HorizonPoint]:
    """One point a window.

    Args:
        lambda_segments: [N, T] local exponent of each segment, the sum of log R of lambda_1 over its calls, in nats per
            segment.
        drift: [N, T], in state units per segment.
        solved_at: [N, T] booleans, exact answers after each segment.
        windows: numbers of segments, 1 to T; every even number and T itself when None.
        nulls: local exponents [N, T] of several draws of `convergence_null`.

    Returns:
        The points in the order of `windows`.

    Raises:
        ValueError: shapes that do not match, a window outside 1 to T, or values that are not finite.
    """
    rates, drift = np.asarray(lambda_segments, dtype=float), np.asarray(drift, dtype=float)
    solved_at = np.asarray(solved_at, dtype=bool)
    if rates.ndim != 2 or 0 in rates.shape or not rates.shape == drift.shape == solved_at.shape:
        shapes = rates.shape, drift.shape, solved_at.shape
        raise ValueError(f"lambda_segments, drift and solved_at must all be [N, T], N and T at least 1; got {shapes}")
    segments = rates.shape[1]
    if windows is None:
        windows = sorted({*range(2, segments + 1, 2), segments})
    if not all(1 <= window <= segments for window in windows):
        raise ValueError(f"windows must lie between 1 and {segments} segments; got {[*windows]}")
    failed, rates_of_nulls = ~solved_at[:, -1], [np.asarray(null, dtype=float) for null in nulls]

    def exponents(rates: np.ndarray, window: int) -> np.ndarray:
        return rates[:, :window].mean(axis=1)

    return [
        _point(
            window,
            exponents(rates, window),
            drift[:, window - 1],
            solved_at[:, window - 1],
            failed,
            [exponents(null, window) for null in rates_of_nulls],
        )
        for window in windows
    ]


def _point(
    window: int,
    exponent: np.ndarray,
    drift: np.ndarray,
    solved: np.ndarray,
    failed_last: np.ndarray,
    nulls: list[np.ndarray],
) -> HorizonPoint:
    known = nulls and not shortage(solved, MIN_CLASS)
    return HorizonPoint(
        window=window,
        solved=wilson_interval(int(np.count_nonzero(solved)), solved.size),
        lambda_last=_auc(exponent, failed_last),
        lambda_window=_auc(exponent, ~solved),
        drift_last=_auc(drift, failed_last),
        drift_window=_auc(drift, ~solved),
        lambda_antecedent=_auc(exponent[~solved], failed_last[~solved]),
        drift_antecedent=_auc(drift[~solved], failed_last[~solved]),
        transient_chaos=(
            draws_interval([auc(null, ~solved) for null in nulls], solved.size)
            if known
            else undefined_interval(solved.size)
        ),
    )


def _auc(score: np.ndarray, failed: np.ndarray) -> Interval:
    return undefined_interval(failed.size) if shortage(~failed, MIN_CLASS) else auc_interval(score, failed)

"""Has the state stopped moving? Late drift, its Otsu split, and the 2x2 of settled against correct.

The split is a rule, so the module also gives the 2x2 for every threshold. The floor that a number format sets under
every drift is here too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

# Explicit bits of the significand.
_FRACTION_BITS = {"float64": 52, "float32": 23, "bfloat16": 7, "float16": 10}


@dataclass(frozen=True)
class SettlingTable:
    """Counts of puzzles by settled (late drift at most `tau`) and correct.

    Attributes:
        A: settled and correct.
        B: settled and wrong.
        C: unsettled and correct.
        D: unsettled and wrong.
        tau: the late drift that divides settled from unsettled, in state units per segment.
    """

    A: int
    B: int
    C: int
    D: int
    tau: float


@dataclass(frozen=True, eq=False)
class SettlingSweep:
    """The 2x2 at many thresholds, which shows how much the counts depend on the threshold.

    Attributes:
        percentile: [m] of the late drift of all puzzles.
        tau: [m] late drift at those percentiles, in state units per segment.
        A, B, C, D: [m] counts as in `SettlingTable`.
    """

    percentile: np.ndarray
    tau: np.ndarray
    A: np.ndarray
    B: np.ndarray
    C: np.ndarray
    D: np.ndarray


def late_drift(drift: ArrayLike, last: int = 4) -> np.ndarray:
    """Mean drift over the last segments of a rollout, or over all of one that is shorter than that.

    Args:
        drift: [N, segments], the Euclidean norm of z(t) - z(t-1), in state units per segment.
        last: number of segments averaged; 4 of 16 in the reference study.

    Returns:
        [N], in the unit of `drift`.

    Raises:
        ValueError: `drift` is not [N, segments] with at least one segment, or `last` is not positive.
    """
    drift = np.asarray(drift, dtype=float)
    if drift.ndim != 2 or drift.shape[1] == 0 or last < 1:
        raise ValueError(f"late drift over the last {last} segments needs drift [N, segments]; got shape {drift.shape}")
    return drift[:, -last:].mean(axis=1)


def settle_time(drift: ArrayLike, tau: float) -> np.ndarray:
    """First segment from which the drift stays at or below `tau` until the end.

    Args:
        drift: [N, T], in state units per segment.
        tau: in the same unit, as from `settling_table`.

    Returns:
        [N] integers, 1 to T, or T + 1 where the last drift is above `tau` (or nan).

    Raises:
        ValueError: `drift` is not [N, T] with at least one segment.
    """
    drift = np.asarray(drift, dtype=float)
    if drift.ndim != 2 or drift.shape[1] == 0:
        raise ValueError(f"settle time needs drift [N, segments]; got shape {drift.shape}")
    return lasts_from(drift <= tau)


def lasts_from(holds: ArrayLike) -> np.ndarray:
    """First segment from which a condition holds until the end, such as "the answer is right".

    Args:
        holds: [N, T] booleans, after each segment.

    Returns:
        [N] integers, 1 to T, or T + 1 where the condition does not hold at the end.
    """
    broken = ~np.asarray(holds, dtype=bool)
    after_last_break = broken.shape[1] + 1 - broken[:, ::-1].argmax(axis=1)
    return np.where(broken.any(axis=1), after_last_break, 1)


def otsu_threshold(x: ArrayLike) -> float:
    """The split of a sample into two groups with the largest variance between them, exact over every split.

    Otsu, IEEE Transactions on Systems, Man and Cybernetics 9 (1979) 62, on the values themselves and not on a
    histogram. A split always exists, also for a unimodal sample: it is a rule, not evidence of two groups.

    Args:
        x: [N] finite numbers, at least two of them distinct.

    Returns:
        The midpoint between the largest value of the low group and the smallest of the high group.

    Raises:
        ValueError: a value is not finite, or all values are equal.
    """
    x = np.sort(np.asarray(x, dtype=float), axis=None)
    if not np.isfinite(x).all():
        raise ValueError(f"Otsu's threshold needs finite values; {np.count_nonzero(~np.isfinite(x))} are not")
    size = np.flatnonzero(np.diff(x) > 0) + 1  # of the low group; equal values stay together
    if not size.size:
        raise ValueError(f"Otsu's threshold needs two distinct values; got {x.size} equal ones")
    # With the mean removed, both group sums are +-S and the variance between the groups is S^2 / (size (N - size)).
    low_sum = np.cumsum(x - x.mean())[size - 1]
    best = size[np.argmax(low_sum**2 / (size * (x.size - size)))]
    return float((x[best - 1] + x[best]) / 2)


def settling_table(late_drift: ArrayLike, correct: ArrayLike) -> SettlingTable:
    """The 2x2 of settled against correct, with tau the Otsu split of log10 late drift.

    A late drift of exactly 0 (a state frozen in its number format) counts as the smallest positive drift of the sample.

    Args:
        late_drift: [N] at least 0, in state units per segment.
        correct: [N] booleans.

    Returns:
        The four counts and tau, in the unit of `late_drift`.

    Raises:
        ValueError: shapes that do not match, a drift that is negative or not finite, or fewer than two distinct
            positive drifts.
    """
    drift, correct = _check_outcomes(late_drift, correct)
    if not drift.any():
        raise ValueError("late drift is 0 for every puzzle; there is nothing to split")
    log_drift = np.log10(np.maximum(drift, drift[drift > 0].min()))
    threshold = otsu_threshold(log_drift)
    settled = log_drift <= threshold
    return SettlingTable(
        A=int(np.count_nonzero(settled & correct)),
        B=int(np.count_nonzero(settled & ~correct)),
        C=int(np.count_nonzero(~settled & correct)),
        D=int(np.count_nonzero(~settled & ~correct)),
        tau=float(10**threshold),
    )


def settling_sweep(
    late_drift: ArrayLike, correct: ArrayLike, percentiles: Sequence[float] = tuple(range(5, 100, 5))
) -> SettlingSweep:
    """The 2x2 of settled (late drift at most tau) against correct, with tau at each percentile of all late drifts.

    Args:
        late_drift: [N] at least 0, in state units per segment.
        correct: [N] booleans.
        percentiles: [m] from 0 to 100.

    Raises:
        ValueError: no puzzle, shapes that do not match, or a drift that is negative or not finite.
    """
    drift, correct = _check_outcomes(late_drift, correct)
    tau = np.percentile(drift, percentiles)
    A = np.searchsorted(np.sort(drift[correct]), tau, side="right")
    B = np.searchsorted(np.sort(drift[~correct]), tau, side="right")
    n_correct = np.count_nonzero(correct)
    return SettlingSweep(np.asarray(percentiles, dtype=float), tau, A, B, n_correct - A, correct.size - n_correct - B)


def rounding_norm(entries: int, dtype: str) -> float:
    """Euclidean norm of the error of rounding a state of unit RMS once: the floor under every drift in that format.

    For `entries` independent standard normal numbers. Numbers between 2^e and 2^(e+1) lie 2^(e - b) apart, b the bits
    of the fraction, and the error is uniform within half of that, so its mean square is the mean of 4^(e - b) / 12 over
    e. The difference of two states that are rounded independently has sqrt(2) times this norm.

    Args:
        entries: numbers in the state, such as 82 x 512.
        dtype: number format: float64, float32, bfloat16 or float16.

    Returns:
        In state units: 0.34 for bfloat16 and 82 x 512 entries.
    """
    if dtype not in _FRACTION_BITS:
        raise ValueError(f"dtype must be one of {', '.join(_FRACTION_BITS)}; got {dtype}")
    exponent = np.arange(-60, 6)
    share = 2 * (ndtr(2.0 ** (exponent + 1)) - ndtr(2.0**exponent))
    return float(np.sqrt(entries * (share * 4.0 ** (exponent - _FRACTION_BITS[dtype]) / 12).sum()))


def _check_outcomes(late_drift: ArrayLike, correct: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    drift, correct = np.asarray(late_drift, dtype=float), np.asarray(correct, dtype=bool)
    if drift.ndim != 1 or not drift.size or drift.shape != correct.shape:
        raise ValueError(f"late_drift and correct must both be [N], N >= 1; got shapes {drift.shape}, {correct.shape}")
    if not (np.isfinite(drift) & (drift >= 0)).all():
        raise ValueError("late drift must be finite and not negative")
    return drift, correct

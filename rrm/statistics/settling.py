"""Has the state stopped moving? Late drift, the Otsu split of it, and the 2x2 of settled against correct."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


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


def late_drift(drift: ArrayLike, last: int = 4) -> np.ndarray:
    """Mean drift over the last segments of a rollout.

    Args:
        drift: [N, segments], the Euclidean norm of z(t) - z(t-1), in state units per segment.
        last: number of segments averaged; 4 of 16 in the reference study.

    Returns:
        [N], in the unit of `drift`.

    Raises:
        ValueError: `drift` is not [N, segments] with at least `last` segments.
    """
    drift = np.asarray(drift, dtype=float)
    if drift.ndim != 2 or not 1 <= last <= drift.shape[1]:
        raise ValueError(f"late drift over the last {last} segments needs drift [N, >= {last}]; got {drift.shape}")
    return drift[:, -last:].mean(axis=1)


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
    drift, correct = np.asarray(late_drift, dtype=float), np.asarray(correct, dtype=bool)
    if drift.ndim != 1 or drift.shape != correct.shape:
        raise ValueError(f"late_drift and correct must both be [N]; got shapes {drift.shape} and {correct.shape}")
    if not (np.isfinite(drift) & (drift >= 0)).all():
        raise ValueError("late drift must be finite and not negative")
    if not drift.any():
        raise ValueError("late drift is 0 (or missing) for every puzzle; there is nothing to split")
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

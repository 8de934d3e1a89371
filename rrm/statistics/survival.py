"""Escape times with censoring: how long puzzles stay unsettled or unsolved when the rollout ends before some escape.

A puzzle that has not escaped by the last segment is censored there, not "never": leaving it out, or counting the last
segment as its escape, biases every chance. Kaplan and Meier, JASA 53 (1958) 457. The same holds for training runs that
have not grokked by their last step (`rrm.statistics.grok_times`): a run is then a puzzle, and a step a segment.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import CensoredData, binomtest, ecdf

from rrm.statistics.interval import Interval
from rrm.statistics.means import undefined_interval


@dataclass(frozen=True, eq=False)
class Survival:
    """Kaplan-Meier curve, a step function that falls at `time`; m distinct times.

    Attributes:
        time: [m] segments at which a puzzle escaped or was censored, ascending.
        survival: [m] share not escaped after each time.
        low, high: [m] 95 % log-log interval at each time (not a band over all).
        at_risk: [m] puzzles neither escaped nor censored before each time.
        n: puzzles.
        n_events: escapes.
    """

    time: np.ndarray
    survival: np.ndarray
    low: np.ndarray
    high: np.ndarray
    at_risk: np.ndarray
    n: int
    n_events: int


def kaplan_meier(time: ArrayLike, escaped: ArrayLike) -> Survival:
    """Share of puzzles that have not escaped, as a function of time.

    The log-log interval is undefined at two places. Before the first escape this interval runs from the exact lower
    limit for no escape among the puzzles at risk to 1; after the last escape from 0 to the upper end before.

    Args:
        time: [N] segments until the escape, or until observation ended, above 0.
        escaped: [N] booleans; False where observation ended first.

    Returns:
        The curve.

    Raises:
        ValueError: no puzzle, shapes that do not match, or a time that is not finite and positive.
    """
    time, escaped = _check(time, escaped)
    curve = ecdf(CensoredData(uncensored=time[escaped], right=time[~escaped])).sf
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The confidence interval is undefined", RuntimeWarning)
        ends = curve.confidence_interval(0.95, method="log-log")
    at_risk = time.size - np.searchsorted(np.sort(time), curve.quantiles)
    low, high = ends.low.probabilities.copy(), ends.high.probabilities.copy()
    nobody, everybody = curve.probabilities == 1, curve.probabilities == 0
    low[nobody], high[nobody] = 0.025 ** (1 / at_risk[nobody]), 1
    low[everybody], high[everybody] = 0, np.r_[1, high[:-1]][everybody]
    return Survival(curve.quantiles, curve.probabilities, low, high, at_risk, time.size, int(np.count_nonzero(escaped)))


def median_time(curve: Survival) -> Interval:
    """Time at which half have escaped, with its 95 % interval; infinite where the curve ends above a half.

    The ends are the times at which the ends of the intervals of the curve come to a half (Brookmeyer and Crowley,
    Biometrics 38 (1982) 29).
    """

    def first(share: np.ndarray) -> float:
        reached = curve.time[share <= 0.5 + 1e-12]
        return float(reached[0]) if reached.size else float("inf")

    return Interval(first(curve.survival), first(curve.low), first(curve.high), 0.95, curve.n)


def escape_probability(time: ArrayLike, escaped: ArrayLike, *, level: float = 0.95) -> Interval:
    """Chance to escape in one segment, if the chance is the same in all, with its exact interval.

    Each segment that a puzzle enters unescaped is one trial of a binomial (Clopper and Pearson, Biometrika 26 (1934)
    404). A puzzle has then not escaped after t segments with probability (1 - p)^t.

    Args:
        time, escaped: [N] each, as in `kaplan_meier`, in whole segments.
        level: nominal coverage.

    Returns:
        The probability per segment, with `n` = N; all nan without a puzzle.

    Raises:
        ValueError: shapes that do not match, or a time that is not a positive whole number.
    """
    if not np.size(time):
        return undefined_interval(0, level)
    time, escaped = _check(time, escaped)
    n_bad = np.count_nonzero(time != np.floor(time))
    if n_bad:
        raise ValueError(f"{n_bad} of {time.size} escape times are no whole segments")
    events, trials = np.count_nonzero(escaped), int(time.sum())
    ends = binomtest(events, trials).proportion_ci(level, method="exact")
    return Interval(events / trials, float(ends.low), float(ends.high), level, time.size)


def _check(time: ArrayLike, escaped: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    time, escaped = np.asarray(time, dtype=float), np.asarray(escaped, dtype=bool)
    if time.ndim != 1 or not time.size or time.shape != escaped.shape:
        raise ValueError(f"time and escaped must both be [N], N >= 1; got shapes {time.shape} and {escaped.shape}")
    n_bad = np.count_nonzero(~(np.isfinite(time) & (time > 0)))
    if n_bad:
        raise ValueError(f"{n_bad} of {time.size} escape times are not finite and positive")
    return time, escaped

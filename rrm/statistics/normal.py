"""Closed-form intervals from a standard error: for many puzzles as good as the bootstrap, and cheap for a million."""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit, ndtri

from rrm.statistics.interval import Interval


def normal_interval(estimate: float, variance: float, n: int, level: float = 0.95) -> Interval:
    """Estimate plus and minus normal quantiles of its standard error; `variance` is that of the estimate."""
    margin = ndtri((1 + level) / 2) * math.sqrt(variance)
    return Interval(float(estimate), float(estimate - margin), float(estimate + margin), level, int(n))


def logit_interval(estimate: float, variance: float, n: int, level: float = 0.95) -> Interval:
    """Interval of a probability such as an AUC, normal on the log-odds scale, so that it stays within [0, 1].

    Close to 1 it is asymmetric, as it should be. An estimate of exactly 0 or 1 has an interval without width: read it
    as "in this sample", not as certainty.
    """
    if not 0 < estimate < 1:
        return Interval(float(estimate), float(estimate), float(estimate), level, int(n))
    on_log_odds = normal_interval(logit(estimate), variance / (estimate * (1 - estimate)) ** 2, n, level)
    return Interval(float(estimate), float(expit(on_log_odds.low)), float(expit(on_log_odds.high)), level, int(n))


def log_interval(estimate: float, variance: float, n: int, level: float = 0.95) -> Interval:
    """Interval of a positive number such as a mean log-loss, normal on the log scale, so that it stays positive."""
    on_log = normal_interval(math.log(estimate), variance / estimate**2, n, level)
    return Interval(float(estimate), math.exp(on_log.low), math.exp(on_log.high), level, int(n))


def mean_interval(x: ArrayLike, level: float = 0.95) -> Interval:
    """Mean of `x` [N], one number a puzzle, N at least 2."""
    x = np.asarray(x, dtype=float)
    return normal_interval(x.mean(), x.var(ddof=1) / x.size, x.size, level)


def undefined_interval(n: int, level: float = 0.95) -> Interval:
    """What stands for a statistic that the `n` puzzles at hand do not define."""
    return Interval(math.nan, math.nan, math.nan, level, int(n))

"""Intervals of a mean over puzzles, seeds or problems, of a median, and of the draws of a null."""

import math
import warnings

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri
from scipy.stats import quantile_test, ttest_1samp
from scipy.stats import t as student

from rrm.statistics.interval import Interval


def mean_interval(x: ArrayLike, level: float = 0.95) -> Interval:
    """Mean of `x` [N] with the interval of Student's t, N at least 2.

    Without any spread in `x` the interval has no width: the sample then says nothing of how far it may be off.
    """
    x = np.asarray(x, dtype=float)
    with warnings.catch_warnings():
        # Equal values are told by the interval itself.
        warnings.filterwarnings("ignore", "Precision loss occurred", RuntimeWarning)
        with np.errstate(invalid="ignore", divide="ignore"):
            ends = ttest_1samp(x, 0).confidence_interval(level)
    return Interval(float(x.mean()), float(ends.low), float(ends.high), level, x.size)


def positive_mean_interval(x: ArrayLike, level: float = 0.95) -> Interval:
    """Mean of `x` [N], positive numbers such as log-losses, N at least 2: Student's t on the log scale of the mean.

    The interval stays positive. Its standard error is that of the mean by the delta method.
    """
    x = np.asarray(x, dtype=float)
    mean = float(x.mean())
    margin = student.ppf((1 + level) / 2, x.size - 1) * x.std(ddof=1) / math.sqrt(x.size) / mean
    return Interval(mean, mean * math.exp(-margin), mean * math.exp(margin), level, x.size)


def median_interval(x: ArrayLike, level: float = 0.95) -> Interval:
    """Median of `x` [N] with the exact interval between two order statistics, whatever the distribution.

    From fewer than six values no pair of them covers the median with 95 %: the missing ends are infinite.
    """
    x = np.asarray(x, dtype=float)
    ends = quantile_test(x, p=0.5).confidence_interval(level)
    low, high = (end if math.isfinite(end) else beyond for end, beyond in zip(ends, (-math.inf, math.inf), strict=True))
    return Interval(float(np.median(x)), float(low), float(high), level, x.size)


def draws_interval(draws: ArrayLike, n: int, level: float = 0.95) -> Interval:
    """Mean of a statistic over the draws of a null [draws], 2 or more, and the range in which one more draw lies.

    Not an interval of the mean: a measured value outside of the range is no draw of this null. All nan where a draw is.
    """
    drawn = np.asarray(draws, dtype=float)
    margin = student.ppf((1 + level) / 2, drawn.size - 1) * drawn.std(ddof=1) * math.sqrt(1 + 1 / drawn.size)
    return Interval(float(drawn.mean()), float(drawn.mean() - margin), float(drawn.mean() + margin), level, int(n))


def normal_interval(estimate: float, variance: float, n: int, level: float = 0.95) -> Interval:
    """Estimate plus and minus normal quantiles of its known standard error."""
    margin = ndtri((1 + level) / 2) * math.sqrt(variance)
    return Interval(float(estimate), float(estimate - margin), float(estimate + margin), level, int(n))


def undefined_interval(n: int, level: float = 0.95) -> Interval:
    """The interval, all nan, of a statistic that the `n` puzzles do not define."""
    return Interval(math.nan, math.nan, math.nan, level, int(n))

"""Student's t-tests of differences, Holm's correction over several tests, and the differences that they would find."""

import math
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.stats import nct, ttest_1samp
from scipy.stats import t as student

from rrm.statistics.interval import Interval

# Level of a verdict, after the correction.
LEVEL = 0.05

# Numbers of order one that vary by less than this are equal up to rounding.
_EQUAL = 1e-9


def paired_t(differences: ArrayLike, level: float = 0.95) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Paired t-tests.

    Args:
        differences: one row a test, one column a pair, [..., n].
        level: nominal coverage.

    Returns:
        mean, half the width of its interval, and two-sided p-value, each [...]; the last two are nan where the
        differences of a row have no spread.
    """
    differences = np.asarray(differences, dtype=float)
    mean = differences.mean(-1)
    margin, p = np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    spread = differences.std(-1) > _EQUAL
    if spread.any():
        test = ttest_1samp(differences[spread], 0, axis=-1)
        ends = test.confidence_interval(level)
        margin[spread] = (ends.high - ends.low) / 2
        p[spread] = test.pvalue
    return mean, margin, p


def mean_over_seeds(values: ArrayLike) -> Interval:
    """Mean of [n], one number a seed, with the 95 % interval of Student's t; its ends are nan without spread."""
    mean, margin, _ = map(float, paired_t(values))
    return Interval(mean, mean - margin, mean + margin, 0.95, np.size(values))


def p_value(mean: Interval) -> float:
    """Two-sided p-value of a mean of 0, from the mean's interval by Student's t; nan where that has no width."""
    error = _standard_error(mean)
    return float(2 * student.sf(abs(mean.estimate) / error, mean.n - 1)) if error > 0 else math.nan


def detectable(mean: Interval, tests: int = 1) -> float:
    """The smallest true mean that so many differences, at their observed spread, find 4 times in 5.

    "Find" is a two-sided t-test at 5 %, or at 5 % / `tests`, the level of the first test in Holm's correction. Few
    differences show their own spread only roughly, and so this number.

    Args:
        mean: of the differences, with its interval by Student's t; where that has no width, the answer is nan.
        tests: how many tests share the level.
    """
    error = _standard_error(mean)
    return noncentrality(mean.n, level=1 - LEVEL / tests) * error if error > 0 else math.nan


def detectable_words(size: float, factor: float = 1, unit: str = "") -> str:
    """A size as of `detectable` for people, "about 12 points" with the factor 100 and the unit " points".

    Shares, AUCs and rank correlations are at most 1, and so are their differences: above, no difference is found.
    """
    return f"about {float(f'{factor * size:.2g}'):g}{unit}" if size <= 1 else "no possible difference"


def holm(p: ArrayLike) -> np.ndarray:
    """Holm's step-down adjustment of p-values [..., m] over the last axis; nan stays nan and is not counted.

    It holds the chance of any false claim among the m at the level, however the tests depend on each other (Holm,
    Scand. J. Statist. 6 (1979) 65).
    """
    p = np.asarray(p, dtype=float)
    order = np.argsort(p, axis=-1)  # nan last
    counted = np.isfinite(p).sum(-1, keepdims=True)
    factors = np.maximum(counted - np.arange(p.shape[-1]), 1)
    raised = np.maximum.accumulate(np.minimum(np.take_along_axis(p, order, -1) * factors, 1.0), axis=-1)
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, raised, -1)
    return adjusted


@lru_cache
def noncentrality(n: int, power: float = 0.8, level: float = 0.95) -> float:
    """The true mean, in standard errors, that a two-sided t-test of `n` differences finds with this power; n above 1.

    A significant mean of the wrong sign counts as missed.
    """
    critical = student.ppf((1 + level) / 2, n - 1)
    return float(brentq(lambda shift: nct.sf(critical, n - 1, shift) - power, 0, 2 * critical + 3))


class Verdicts:
    """The verdicts on several means that one report tests against 0, after Holm's correction over all of them.

    Args:
        means: with their intervals by Student's t. Those without a p-value (`p_value`) are not counted.

    Attributes:
        tests: how many tests the correction covers.
    """

    def __init__(self, means: Iterable[Interval]):
        tested = [(mean, p) for mean in means if math.isfinite(p := p_value(mean))]
        corrected = holm([p for _, p in tested]).tolist()
        self._p_holm = {mean: p for (mean, _), p in zip(tested, corrected, strict=True)}
        self.tests = len(tested)

    def p(self, mean: Interval) -> float:
        """The corrected p-value of one of them; nan without one."""
        return self._p_holm.get(mean, math.nan)

    def different(self, mean: Interval) -> bool:
        """Whether the corrected test finds that a mean is not 0."""
        return self.p(mean) < LEVEL

    def detectable(self, mean: Interval) -> float:
        """`detectable` with the level shared by all tests."""
        return detectable(mean, max(1, self.tests))


def _standard_error(mean: Interval) -> float:
    """Of a mean of n numbers, from its interval by Student's t; nan where the numbers are equal."""
    if mean.n < 2:
        return math.nan
    error = (mean.high - mean.low) / 2 / float(student.ppf((1 + mean.level) / 2, mean.n - 1))
    return error if error * math.sqrt(mean.n) > _EQUAL else math.nan

import math

import numpy as np
import pytest
from scipy.stats import binom, t

from rrm.statistics.means import mean_interval, median_interval, positive_mean_interval


def test_mean_of_three_by_hand():
    # Mean 4, standard deviation 2, and Student's t of 2 degrees of freedom.
    margin = t.ppf(0.975, 2) * 2 / math.sqrt(3)
    assert margin == pytest.approx(4.968, abs=1e-3)
    found = mean_interval([2, 4, 6])
    assert (found.estimate, found.low, found.high, found.n) == pytest.approx((4, 4 - margin, 4 + margin, 3))


@pytest.mark.parametrize("n", [2, 3, 5, 50])
def test_mean_of_few_covers_the_truth(n):
    rng = np.random.default_rng(n)
    covered = np.mean([0 in mean_interval(rng.normal(size=n)) for _ in range(1000)])
    assert covered == pytest.approx(0.95, abs=0.021)  # three standard deviations


@pytest.mark.filterwarnings("error")
def test_equal_values_have_no_width():
    assert mean_interval([0.1] * 7).low == pytest.approx(0.1) == mean_interval([0.1] * 7).high


def test_a_mean_of_losses_stays_positive():
    found = positive_mean_interval([1e-6, 1e-6, 1.0])
    assert 0 < found.low < found.estimate < found.high


def test_median_lies_between_order_statistics_of_the_binomial():
    found = median_interval(np.arange(1, 31))
    assert (found.estimate, found.low, found.high) == (15.5, 10, 21)
    # P(fewer than 10 of 30 values below the median), on both sides.
    assert 2 * binom.cdf(9, 30, 0.5) < 0.05 < 2 * binom.cdf(10, 30, 0.5)
    few = median_interval([3, 1, 2, 5, 4])
    assert (few.estimate, few.low, few.high) == (3, -math.inf, math.inf)

import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import norm

from rrm.statistics.auc import auc
from rrm.statistics.auc_interval import auc_difference_interval, auc_interval
from rrm.statistics.delong import delong_covariance


def by_pairs(score, positive):
    higher = score[positive][:, None] - score[~positive][None, :]
    return np.mean((higher > 0) + 0.5 * (higher == 0))


@pytest.mark.parametrize(
    ("score", "positive", "expected"),
    [
        ([1, 2, 3, 4], [0, 0, 1, 1], 1.0),
        ([1, 2, 3, 4], [1, 1, 0, 0], 0.0),
        ([1, 2, 2, 3], [0, 1, 0, 1], 3.5 / 4),
        ([5, 5, 5], [0, 1, 1], 0.5),
    ],
)
def test_hand_made_values(score, positive, expected):
    assert auc(score, positive) == expected


def test_equals_counting_pairs_with_ties():
    rng = np.random.default_rng(1)
    score, positive = rng.integers(8, size=200) / 4, rng.random(200) < 0.3
    assert auc(score, positive) == pytest.approx(by_pairs(score, positive), abs=1e-14)


@pytest.mark.parametrize("positive", [[0, 0, 0], [1, 1, 1]])
def test_an_empty_class_gives_nan(positive):
    assert np.isnan(auc([1, 2, 3], positive))


@pytest.mark.parametrize(
    ("score", "positive", "message"),
    [
        ([1, np.nan], [0, 1], "1 of 2 scores are not finite"),
        ([1, np.inf], [0, 1], "not finite"),
        ([1, 2], [0, 1, 1], "shapes"),
        ([[1, 2]], [[0, 1]], r"\[N\]"),
        ([1, 2], [0, 2], "booleans"),
    ],
)
def test_bad_input_is_named(score, positive, message):
    with pytest.raises(ValueError, match=message):
        auc(score, positive)


def test_delong_repeats_the_auc_and_knows_that_a_copy_does_not_differ():
    rng = np.random.default_rng(2)
    score, positive = rng.integers(20, size=80), rng.random(80) < 0.4
    aucs, cov = delong_covariance([score, score, -score], positive)
    assert aucs == pytest.approx([auc(score, positive)] * 2 + [1 - auc(score, positive)])
    assert cov[0, 0] + cov[1, 1] - 2 * cov[0, 1] == pytest.approx(0, abs=1e-15)
    assert cov[0, 2] == pytest.approx(-cov[0, 0])


def test_delong_variance_by_hand():
    # Positives 2, 4 against negatives 1, 3: each positive beats 1/2 and 1, each negative loses to 1 and 1/2.
    aucs, cov = delong_covariance([[1, 2, 3, 4]], [0, 1, 0, 1])
    assert aucs == pytest.approx([0.75])
    assert cov == pytest.approx(np.array([[0.125 / 2 + 0.125 / 2]]))


def test_delong_needs_two_of_each_class():
    with pytest.raises(ValueError, match="two members"):
        delong_covariance([[1, 2, 3]], [1, 0, 0])


@pytest.mark.parametrize(("truth", "share", "n"), [(0.76, 0.3, 150), (0.95, 0.1, 100), (0.99, 0.5, 50)])
def test_intervals_cover_the_truth_also_close_to_1(truth, share, n):
    rng = np.random.default_rng(3)
    gap, positive = np.sqrt(2) * norm.ppf(truth), np.arange(n) < share * n
    alone, difference = [], []
    for _ in range(300):
        strong = rng.normal(gap * positive)
        weak = strong + rng.normal(size=n)
        alone.append(truth in auc_interval(strong, positive))
        difference.append(truth - norm.cdf(gap / 2) in auc_difference_interval(strong, weak, positive))
    # At a coverage of 0.95, 300 samples fall below 0.91 with probability 0.002.
    assert np.mean(alone) > 0.91 and np.mean(difference) > 0.91


def test_interval_of_separated_classes_is_newcombes():
    separated = auc_interval(np.arange(100), np.arange(100) >= 50)
    assert (separated.estimate, separated.high) == (1, 1) and separated.low == pytest.approx(0.960, abs=5e-4)
    turned = auc_interval(np.arange(100), np.arange(100) < 50)
    assert (turned.estimate, turned.low) == (0, 0) and turned.high == pytest.approx(1 - separated.low)


def test_difference_of_equal_and_of_separating_scores():
    score, positive = np.random.default_rng(0).normal(size=40), np.arange(40) < 20
    same = auc_difference_interval(score, score, positive)
    alone = auc_interval(score, positive)
    assert same.estimate == 0 and same.high - same.low < 0.2 * (alone.high - alone.low)
    # Two scores that both separate the classes may still differ in the population.
    both = auc_difference_interval(-np.arange(40), -(np.arange(40) ** 2), positive)
    assert both.estimate == 0 and both.low < -0.05 and both.high > 0.05


def test_an_empty_class_has_no_interval():
    assert np.isnan(auc_interval([1, 2, 3], [0, 0, 0]).low)
    assert np.isnan(auc_difference_interval([1, 2, 3], [1, 2, 3], [0, 0, 1]).low)


def test_statistics_do_not_load_matplotlib():
    code = "import sys, rrm.statistics; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

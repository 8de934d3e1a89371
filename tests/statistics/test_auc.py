import subprocess
import sys

import numpy as np
import pytest

from rrm.statistics import auc, delong_covariance, delong_difference_interval, delong_interval


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


def test_delong_intervals_cover_the_truth():
    rng = np.random.default_rng(3)
    samples = []
    for _ in range(300):
        positive = rng.random(150) < 0.3
        strong, weak = rng.normal(2 * positive), rng.normal(positive)
        samples.append((delong_interval(strong, positive), delong_difference_interval(strong, weak, positive)))
    # AUC = Phi(gap / sqrt 2): 0.9214 and 0.7602.
    assert np.mean([0.9214 in alone for alone, _ in samples]) == pytest.approx(0.95, abs=0.03)
    assert np.mean([0.1611 in difference for _, difference in samples]) == pytest.approx(0.95, abs=0.03)


def test_delong_intervals_at_the_edges():
    separated = delong_interval([1, 2, 3, 4], [0, 0, 1, 1])
    assert (separated.estimate, separated.low, separated.high) == (1, 1, 1)
    same = delong_difference_interval([1, 3, 2, 4], [1, 3, 2, 4], [0, 0, 1, 1])
    assert (same.estimate, same.low, same.high) == pytest.approx((0, 0, 0), abs=1e-7)
    assert np.isnan(delong_interval([1, 2, 3], [0, 0, 1]).low)
    assert np.isnan(delong_difference_interval([1, 2, 3], [1, 2, 3], [0, 0, 1]).low)


def test_statistics_do_not_load_matplotlib():
    code = "import sys, rrm.statistics; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

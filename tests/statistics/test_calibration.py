import numpy as np
import pytest

from rrm.statistics.calibration import calibration


def sample(n=2000, K=8, tilt=1.0, seed=0):
    """Probabilities that differ between and within puzzles; with tilt 1 they are what they say."""
    rng = np.random.default_rng(seed)
    p = 1 / (1 + np.exp(-rng.normal(0, 1.5, (n, 1)) - rng.normal(0, 1, (n, K))))
    return p, rng.random((n, K)) < p**tilt


def test_a_calibrated_probability_is_found_calibrated():
    p, y = sample()
    found = calibration(p, y)
    assert [each.predicted in each.observed for each in found.bins].count(False) <= 2
    assert found.reliability < 5e-4 and found.brier.estimate == pytest.approx((p * (1 - p)).mean(), abs=0.005)
    assert found.brier.estimate == pytest.approx(((p - y) ** 2).mean())
    assert abs(found.within_bins) < 0.005 and sum(each.rollouts for each in found.bins) == y.size
    assert found.resolution > 0.05 and found.uncertainty == pytest.approx(0.25, abs=0.01)


def test_the_decomposition_is_exact_where_a_bin_holds_one_value():
    p = np.round(sample()[0], 1) * 0.98 + 0.01  # one value a bin
    y = np.random.default_rng(1).random(p.shape) < p**2
    found = calibration(p, y, bins=11)
    parts = found.reliability - found.resolution + found.uncertainty
    assert found.within_bins == pytest.approx(0, abs=1e-12) and found.brier.estimate == pytest.approx(parts)


def test_an_overconfident_probability_lies_below_the_diagonal():
    found = calibration(*sample(tilt=3))
    assert found.reliability > 0.02
    assert all(each.observed.high < each.predicted for each in found.bins[2:8])


def test_intervals_count_puzzles_and_not_rollouts():
    rng = np.random.default_rng(0)
    y = np.repeat(rng.random((60, 1)) < 0.5, 100, axis=1)  # all rollouts of a puzzle alike
    (only,) = calibration(np.full(y.shape, 0.55), y).bins
    assert only.rollouts == 6000 and only.observed.n == 60
    assert only.observed.high - only.observed.low == pytest.approx(0.25, abs=0.02)


def test_edges_and_bad_input():
    found = calibration(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[0, 1], [1, 0]]), bins=2)
    assert found.brier.estimate == 0 and [each.predicted for each in found.bins] == [0, 1]
    (lone,) = [
        each for each in calibration(np.array([[0.9], [0.1], [0.2]]), np.zeros((3, 1))).bins if each.predicted > 0.5
    ]
    assert lone.observed.n == 1 and lone.observed.low == 0 and lone.observed.high > 0.7
    with pytest.raises(ValueError, match="1 of 4 probabilities are not in"):
        calibration(np.array([[0.0, np.nan], [1.0, 0.0]]), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="N at least 2"):
        calibration(np.zeros((1, 4)), np.zeros((1, 4)))
    with pytest.raises(ValueError, match="bins is 0"):
        calibration(np.zeros((2, 4)), np.zeros((2, 4)), bins=0)

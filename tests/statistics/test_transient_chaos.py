import numpy as np
import pytest

from rrm.statistics.auc import auc
from rrm.statistics.transient_chaos import matched_eps, transient_chaos


@pytest.mark.parametrize(
    ("horizon", "captured", "median_captured", "median_not", "expected_auc"),
    [(8, 0.390, 0.013, 0.673, 0.902), (16, 0.622, -0.097, 0.682, 0.966), (64, 0.973, -0.446, 0.691, 0.998)],
)
def test_reference_table(horizon, captured, median_captured, median_not, expected_auc):
    toy = transient_chaos(20_000, horizon, eps=0.04, seed=0)
    assert toy.captured.mean() == pytest.approx(captured, abs=5e-4)
    assert np.median(toy.lambda_1[toy.captured]) == pytest.approx(median_captured, abs=1e-3)
    assert np.median(toy.lambda_1[~toy.captured]) == pytest.approx(median_not, abs=1e-3)
    assert auc(toy.lambda_1, ~toy.captured) == pytest.approx(expected_auc, abs=1e-3)


def test_the_exponent_is_that_of_a_search_and_a_contraction():
    toy = transient_chaos(500, 20, eps=0.05)
    step = np.arange(1, 21)
    rate = np.diff(toy.lambda_cumulative * step, axis=1, prepend=0)
    after = step > toy.capture_time[:, None]
    assert rate[after] == pytest.approx(np.log(0.5)) and rate[~after].mean() == pytest.approx(np.log(2), abs=0.05)
    assert (toy.capture_time[~toy.captured] == 21).all()


@pytest.mark.parametrize("rate", [0.05, 0.5, 0.97])
def test_capture_radius_matches_the_success_rate(rate):
    assert transient_chaos(20_000, 12, matched_eps(rate, 12)).captured.mean() == pytest.approx(rate, abs=5e-5)


@pytest.mark.parametrize("rate", [-0.1, 0.0, 1.0, 1.1, np.nan])
def test_a_rate_at_which_nothing_can_be_matched_is_named(rate):
    with pytest.raises(ValueError, match="success_rate"):
        matched_eps(rate, 16)

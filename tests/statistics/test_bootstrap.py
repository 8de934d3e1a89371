import numpy as np
import pytest
from scipy.stats import norm

from rrm.statistics import auc, auc_difference_interval, auc_interval, bootstrap_interval, delong_covariance


def two_classes(n, gap, seed):
    """Normal scores one standard deviation wide; the AUC of the population is Phi(gap / sqrt 2)."""
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.4
    return rng.normal(gap * positive, 1.0), positive


def test_interval_reads_as_one_formatted_text():
    interval = bootstrap_interval(np.mean, [1.0, 1.0], n_resamples=3)
    assert f"{interval:+.2f}" == "+1.00 [+1.00, +1.00]"
    assert (interval.level, interval.n, interval.n_dropped) == (0.95, 2, 0)
    assert 1.0 in interval and 1.1 not in interval


def test_mean_agrees_with_its_standard_error():
    x = np.random.default_rng(0).normal(size=400)
    interval = bootstrap_interval(np.mean, x)
    assert interval.estimate == x.mean()
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * x.std() / 20, rel=0.08)


def test_seed_decides_and_rows_stay_paired():
    x = np.random.default_rng(0).normal(size=50)
    assert bootstrap_interval(np.mean, x, seed=1) == bootstrap_interval(np.mean, x, seed=1)
    assert bootstrap_interval(np.mean, x, seed=1) != bootstrap_interval(np.mean, x, seed=2)
    paired = bootstrap_interval(lambda a, b: np.abs(a - b).max(), x, x, n_resamples=50)
    assert (paired.low, paired.high) == (0, 0)


def test_fast_paths_equal_the_plain_bootstrap():
    score, positive = two_classes(61, 1.0, seed=3)
    score, other = score.round(1), np.random.default_rng(4).integers(5, size=61)
    plain = bootstrap_interval(auc, score, positive, n_resamples=200)
    assert auc_interval(score, positive, n_resamples=200) == plain
    plain = bootstrap_interval(lambda a, b, p: auc(a, p) - auc(b, p), score, other, positive, n_resamples=200)
    fast = auc_difference_interval(score, other, positive, n_resamples=200)
    assert (fast.estimate, fast.low, fast.high) == pytest.approx((plain.estimate, plain.low, plain.high), abs=1e-12)


def test_resamples_without_a_class_are_counted_and_left_out():
    interval = auc_interval([1, 2, 3, 4], [0, 1, 0, 0], n_resamples=1000)
    # The positive is missing from a resample with probability (3/4)^4, the negatives with (1/4)^4.
    assert interval.n_dropped / 1000 == pytest.approx(0.75**4 + 0.25**4, abs=0.05)
    assert 0 <= interval.low <= interval.estimate <= interval.high <= 1


def test_no_class_no_interval():
    interval = auc_interval([1, 2, 3], [0, 0, 0], n_resamples=10)
    assert np.isnan([interval.estimate, interval.low, interval.high]).all() and interval.n_dropped == 10


def test_width_agrees_with_delong():
    score, positive = two_classes(400, 1.0, seed=5)
    other = score + np.random.default_rng(6).normal(size=400)
    _, cov = delong_covariance([score, other], positive)
    single = auc_interval(score, positive)
    assert (single.high - single.low) / (2 * 1.96) == pytest.approx(np.sqrt(cov[0, 0]), rel=0.1)
    difference = auc_difference_interval(score, other, positive)
    expected = np.sqrt(cov[0, 0] + cov[1, 1] - 2 * cov[0, 1])
    assert (difference.high - difference.low) / (2 * 1.96) == pytest.approx(expected, rel=0.1)


def test_coverage_of_a_known_auc():
    truth, bootstrap, delong = norm.cdf(1 / np.sqrt(2)), [], []
    for seed in range(300):
        score, positive = two_classes(200, 1.0, seed)
        bootstrap.append(truth in auc_interval(score, positive, n_resamples=300))
        (estimate,), ((variance,),) = delong_covariance([score], positive)
        delong.append(abs(estimate - truth) < 1.96 * np.sqrt(variance))
    # At a coverage of 0.945 (1,000 seeds) 300 trials fall below 0.90 with probability 0.001; the closed form on the
    # same samples takes most of that chance out.
    assert np.mean(bootstrap) > 0.9
    assert np.mean(bootstrap) == pytest.approx(np.mean(delong), abs=0.02)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((), {}, "one or more arrays"),
        (([1, 2], [1]), {}, "equal numbers of rows"),
        (([],), {}, "at least one row"),
        (([1, 2],), {"level": 95}, "between 0 and 1"),
        (([1, 2],), {"n_resamples": 0}, "one resample"),
    ],
)
def test_bad_input_is_named(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(lambda *arrays: 0.0, *arguments, **options)

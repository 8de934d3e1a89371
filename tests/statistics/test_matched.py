import numpy as np
import pytest
from scipy.stats import norm

from rrm.statistics.auc import auc
from rrm.statistics.auc_interval import auc_interval
from rrm.statistics.matched import drift_decile_auc, label_shuffle, stop_time_matched_auc, stratified_auc
from rrm.statistics.transient_chaos import transient_chaos


def toy(n=4000, horizon=16):
    """The toy with its first quiet step, the one after the capture, as stopping time."""
    searches = transient_chaos(n, horizon, eps=0.04)
    return searches, ~searches.captured, np.minimum(searches.capture_time + 1, horizon + 1)


def confounded(n, seed=0):
    """Six strata that drive both score and outcome; within a stratum the AUC is Phi(0.7 / sqrt 2) = 0.690."""
    rng = np.random.default_rng(seed)
    strata = rng.integers(6, size=n)
    positive = rng.random(n) < 0.1 + 0.1 * strata
    return rng.normal(0.7 * positive + strata), positive, strata


def ends(interval):
    return interval.estimate, interval.low, interval.high


def test_one_stratum_is_the_plain_auc_with_its_interval():
    score, positive, _ = confounded(300)
    plain = stratified_auc(score.round(1), positive, np.zeros(300))
    assert ends(plain) == pytest.approx(ends(auc_interval(score.round(1), positive)), abs=1e-9)
    assert plain.estimate == pytest.approx(auc(score.round(1), positive), abs=1e-14)


def test_only_pairs_within_a_stratum_count():
    score, positive, strata = confounded(200)
    score = score.round(1)
    pairs = (strata[positive][:, None] == strata[~positive]).astype(float)
    higher = score[positive][:, None] - score[~positive]
    expected = (pairs * ((higher > 0) + 0.5 * (higher == 0))).sum() / pairs.sum()
    assert stratified_auc(score, positive, strata).estimate == pytest.approx(expected, abs=1e-14)


def test_stratifying_removes_a_confounder():
    score, positive, strata = confounded(20_000)
    assert auc(score, positive) > 0.76
    assert stratified_auc(score, positive, strata).estimate == pytest.approx(norm.cdf(0.7 / np.sqrt(2)), abs=0.012)


def test_intervals_cover_the_truth():
    stratified = [norm.cdf(0.7 / np.sqrt(2)) in stratified_auc(*confounded(200, seed)) for seed in range(300)]
    matched = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        failed, stop = np.arange(120) < 40, rng.integers(3, 9, 120)
        stop[failed] = 9
        # Exponents that last: a failed puzzle is compared with the same one at every segment.
        exponent = np.repeat(rng.normal(failed), 8).reshape(120, 8)
        matched.append(norm.cdf(1 / np.sqrt(2)) in stop_time_matched_auc(exponent, failed, stop))
    assert np.mean(stratified) > 0.91 and np.mean(matched) > 0.91


def test_strata_without_both_classes():
    interval = stratified_auc([1, 2, 3, 4], [1, 1, 0, 0], [0, 0, 1, 1])
    assert np.isnan(ends(interval)).all() and interval.n == 0
    assert stratified_auc([1, 2, 3, 4, 5], [0, 1, 0, 1, 0], [0, 0, 0, 1, 2]).n == 3
    with pytest.raises(ValueError, match="strata"):
        stratified_auc([1, 2], [0, 1], [0])


def test_drift_deciles_deflate_a_copy_of_drift_to_the_floor_of_drift_itself():
    rng = np.random.default_rng(0)
    failed = rng.random(5000) < 0.3
    drift = rng.normal(2.5 * failed)
    copy, fresh = drift + rng.normal(0, 0.5, 5000), rng.normal(1.0 * failed)
    floor = drift_decile_auc(drift, failed, drift)
    assert auc(copy, failed) > 0.93 and 0.55 < floor.estimate < 0.7
    assert drift_decile_auc(copy, failed, drift).estimate < floor.low
    assert drift_decile_auc(fresh, failed, drift).low > floor.high


def test_stop_time_matching_sees_through_the_toy():
    searches, failed, stop = toy(20_000)
    assert auc(searches.lambda_1, failed) == pytest.approx(0.966, abs=0.001)
    matched = [stop_time_matched_auc(searches.lambda_cumulative, failed, stop, lead=lead).estimate for lead in range(4)]
    # Contraction in the first quiet step, then the landing that selects the step before: science, not noise.
    assert matched == pytest.approx([0.80, 0.28, 0.45, 0.49], abs=0.01)


def test_stop_time_matching_finds_a_signal_that_precedes_settling():
    searches, failed, stop = toy()
    ahead = searches.lambda_cumulative + 0.5 * failed[:, None]
    assert stop_time_matched_auc(ahead, failed, stop).low > 0.8


def test_stop_time_matching_by_hand():
    exponents = [[1, 5, 0], [2, 4, 0], [3, 1, 0], [0, 5, 0], [9, 9, 9]]
    failed = np.array([0, 0, 1, 1, 1], dtype=bool)
    # Solved 0 settles at 1 against failed 2, 3, 4 (values 3, 0, 9 over 1): 2/3; solved 1 at 2 against 3, 4 over 4: 1.
    matched = stop_time_matched_auc(exponents, failed, [1, 2, 2, 4, 4], lead=0)
    assert matched.estimate == pytest.approx((2 / 3 + 1) / 2) and matched.n == 5
    # With a lead of 1 the second alone is compared, over 1 segment: 2 against 0 and 9.
    assert stop_time_matched_auc(exponents, failed, [1, 2, 2, 4, 4], lead=1).estimate == 0.5
    assert np.isnan(stop_time_matched_auc(exponents, failed, [1, 2, 2, 4, 4], lead=2).estimate)
    assert np.isnan(stop_time_matched_auc(exponents, failed, [4, 4, 2, 4, 4], lead=0).estimate)


@pytest.mark.parametrize(
    ("exponents", "stop", "lead", "message"),
    [
        (np.ones((3, 2)), [1, 2], 0, "shapes"),
        (np.ones((3, 2)), [1, 2, 4], 0, r"from 1 to T \+ 1 = 3"),
        (np.ones((3, 2)), [1, 2, 3], -1, "lead"),
        (np.full((3, 2), np.nan), [1, 2, 3], 0, "not finite"),
    ],
)
def test_stop_time_matching_says_what_is_wrong(exponents, stop, lead, message):
    with pytest.raises(ValueError, match=message):
        stop_time_matched_auc(exponents, [0, 1, 1], stop, lead=lead)


def test_label_shuffle_agrees_with_shuffling():
    rng = np.random.default_rng(0)
    score, positive = rng.integers(4, size=60), np.arange(60) < 15
    closed = label_shuffle(score, positive)
    shuffled = [auc(score, rng.permutation(positive)) for _ in range(2000)]
    assert closed.estimate == 0.5
    assert (closed.low, closed.high) == pytest.approx(np.quantile(shuffled, [0.025, 0.975]), abs=0.015)
    assert np.isnan(label_shuffle([1, 2], [1, 1]).low)

import math

import numpy as np
import pytest
from scipy.stats import ttest_rel

from rrm.statistics import SweepPoint, arm_sentences, arm_table, compare_arms
from rrm.statistics.arms import holm, noncentrality, paired_t

# Student's t, two-sided 5 %, 2 degrees of freedom.
T2 = 4.302653


def runs(arm, peaks, **changes):
    """One run a seed, from seed 0 on."""
    fields = {"model": "TRM", "sigma": 0 if arm == "baseline" else 0.1, "n": 500, "stopped_early": False}
    fields |= {"arm": arm, "call_units": 100.0} | changes
    return [
        SweepPoint(best=peak, final=peak - 0.1, area=peak - 0.2, seed=seed, **fields) for seed, peak in enumerate(peaks)
    ]


BASELINE = runs("baseline", (0.60, 0.62, 0.64))


def test_the_paired_interval_of_three_seeds():
    # Differences .02, .04, .06: mean .04, standard deviation .02.
    (found,) = compare_arms([*BASELINE, *runs("noise", (0.62, 0.66, 0.70))])
    assert (found.seeds, found.arms, found.compute_ratio) == ((0, 1, 2), 1, 1)
    assert list(found.contrasts) == ["peak", "final", "area"]
    for contrast, lower in zip(found.contrasts.values(), (0, 0.1, 0.2), strict=True):
        margin = T2 * 0.02 / math.sqrt(3)
        ends = (contrast.difference.estimate, contrast.difference.low, contrast.difference.high)
        assert ends == pytest.approx((0.04, 0.04 - margin, 0.04 + margin))
        assert (contrast.arm_mean, contrast.baseline_mean) == pytest.approx((0.66 - lower, 0.62 - lower))
        assert contrast.baseline_sd == pytest.approx(0.02) and not contrast.exceeds_seed_noise
        assert contrast.p == contrast.p_holm == pytest.approx(ttest_rel((0.62, 0.66, 0.70), (0.60, 0.62, 0.64)).pvalue)


def test_holm_by_hand():
    # Sorted .005 x 4, .01 x 3, .03 x 2, .04 x 1, each raised to the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.01, np.nan, 0.04]) == pytest.approx([0.02, np.nan, 0.04], nan_ok=True)
    found = compare_arms(
        [*BASELINE, *runs("a", (0.70, 0.73, 0.74)), *runs("b", (0.61, 0.63, 0.66)), *runs("c", (0.6,))]
    )
    a, b, c = (comparison.contrasts["peak"] for comparison in found)
    assert (a.p_holm, b.p_holm) == pytest.approx((2 * a.p, b.p)) and a.p < b.p and math.isnan(c.p_holm)
    assert [comparison.arms for comparison in found] == [2, 2, 2]


def test_smallest_detectable_difference():
    # R: power.t.test(delta = .5, sd = 1, power = .8, type = "paired") gives n = 33.37.
    assert noncentrality(34) / math.sqrt(34) < 0.5 < noncentrality(33) / math.sqrt(33)
    rng = np.random.default_rng(0)
    for n in (2, 3, 5):
        mean, margin, _ = paired_t(rng.normal(noncentrality(n) / math.sqrt(n), 1, (100_000, n)))
        assert np.mean(mean > margin) == pytest.approx(0.8, abs=4 * math.sqrt(0.16 / 100_000))
    (found,) = compare_arms([*BASELINE, *runs("noise", (0.62, 0.66, 0.70))])
    assert found.contrasts["peak"].detectable == pytest.approx(0.02 * noncentrality(3) / math.sqrt(3))


def test_without_an_effect_few_studies_claim_one():
    # Arms share the baseline of their study, as they do in a sweep.
    rng = np.random.default_rng(1)
    studies, arms, seeds = 4000, 5, 3
    differences = rng.normal(size=(studies, arms, seeds)) - rng.normal(size=(studies, 1, seeds))
    _, _, p = paired_t(differences)
    allowed = 0.05 + 3 * math.sqrt(0.05 * 0.95 / studies)
    assert np.mean((holm(p) < 0.05).any(-1)) <= allowed
    assert np.mean((p < 0.05).any(-1)) > allowed  # what the correction is for
    assert np.mean(p < 0.05) == pytest.approx(0.05, abs=0.01)


def test_one_seed_cannot_tell():
    (found,) = compare_arms([*runs("baseline", (0.6,)), *runs("noise", (0.9,))])
    peak = found.contrasts["peak"]
    assert peak.difference.estimate == pytest.approx(0.3)
    assert all(map(math.isnan, (peak.difference.low, peak.difference.high, peak.p, peak.baseline_sd, peak.detectable)))
    assert not peak.exceeds_seed_noise
    assert arm_sentences([found]) == [
        "TRM, noise: peak 90.0 % against 60.0 % with one seed, difference +30.0 points: one seed cannot tell an effect "
        "from seed noise; final +30.0; area +30.0"
    ]


def test_equal_differences_are_no_certainty():
    (found,) = compare_arms([*BASELINE, *runs("noise", (0.65, 0.67, 0.69))])
    assert math.isnan(found.contrasts["peak"].difference.low) and not found.contrasts["peak"].exceeds_seed_noise
    assert "difference +5.0 points: the same in all 3 seeds, which leaves no spread" in arm_sentences([found])[0]


def test_sentences():
    within, beyond, slight = arm_sentences(
        compare_arms(
            [*BASELINE, *runs("a", (0.62, 0.66, 0.70)), *runs("b", (0.70, 0.73, 0.74), call_units=150.0)]
            + runs("c", (0.61, 0.634, 0.659), call_units=None)
        )
    )
    assert within == (
        "TRM, a: peak 66.0 % against 62.0 % over 3 seeds, difference +4.0 [-1.0, +9.0] points: no larger than seed "
        "noise (baseline SD 2.0; 3 seeds would find 6.5 points 4 times in 5); final +4.0 [-1.0, +9.0]; "
        "area +4.0 [-1.0, +9.0]"
    )
    assert ": larger than seed noise, also after Holm's correction for 3 arms (baseline SD 2.0); final" in beyond
    assert "(larger); compute not matched, 1.50 times the baseline's" in beyond
    assert "larger than seed noise, but not after Holm's correction for 3 arms" in slight
    assert slight.endswith("compute not recorded")
    assert max(map(len, (within, beyond, slight))) <= 300


def test_what_is_compared():
    stopped = runs("stopped", (0.9, 0.9, 0.9), stopped_early=True)
    elsewhere = runs("elsewhere", (0.9, 0.9, 0.9), model="HRM")
    partly = runs("partly", (0.7, 0.7, 0.7, 0.9))
    lucky = [*runs("drawn", (0.9,), drawn=True), *runs("partly", (0.9,), drawn=True)]
    (found,) = compare_arms([*BASELINE, *stopped, *elsewhere, *lucky, *partly, *partly[:1]])
    assert (found.arm, found.seeds) == ("partly", (0, 1, 2))
    assert found.contrasts["peak"].arm_mean == pytest.approx(0.7)
    with pytest.raises(ValueError, match=r"TRM .* same test puzzles; got \[100, 500\]"):
        compare_arms([*BASELINE, *runs("noise", (0.7,), n=100)])


def test_the_table_has_the_baseline_over_all_its_seeds():
    rows = arm_table(compare_arms([*BASELINE, *runs("noise", (0.62, 0.66), call_units=101.0)]))
    assert [(row["arm"], row["seeds"], row["peak %"], row["compute"]) for row in rows] == [
        ("baseline", "3", "62.0", "1.00"),
        ("noise", "2", "64.0", "1.01"),
    ]
    assert rows[1]["final difference"] == "+3.0 [-9.7, +15.7]" and rows[0]["final difference"] == ""
    assert arm_table([]) == []

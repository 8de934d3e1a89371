import math
from collections import Counter
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy.stats import ttest_rel

from rrm.statistics import SweepPoint, arm_sentences, arm_table, compare_arms

# Student's t, two-sided 5 %, 2 degrees of freedom.
T2 = 4.302653


def runs(arm, peaks, **changes):
    """One run a seed, from seed 0 on."""
    fields = {"model": "TRM", "n": 500, "stopped_early": False, "baseline": arm == "baseline"}
    fields |= {"arm": arm, "call_units": 100.0} | changes
    return [
        SweepPoint(best=peak, final=peak - 0.1, area=peak - 0.2, seed=seed, **fields) for seed, peak in enumerate(peaks)
    ]


BASELINE = runs("baseline", (0.60, 0.62, 0.64))


def test_the_paired_interval_of_three_seeds():
    # Differences .02, .04, .06: mean .04, standard deviation .02.
    (found,) = compare_arms([*BASELINE, *runs("noise", (0.62, 0.66, 0.70))])
    assert (found.seeds, found.tests, found.compute_ratio) == ((0, 1, 2), 3, 1)
    assert list(found.contrasts) == ["peak", "final", "area"]
    for contrast, lower in zip(found.contrasts.values(), (0, 0.1, 0.2), strict=True):
        margin = T2 * 0.02 / math.sqrt(3)
        ends = (contrast.difference.estimate, contrast.difference.low, contrast.difference.high)
        assert ends == pytest.approx((0.04, 0.04 - margin, 0.04 + margin))
        assert (contrast.arm_mean, contrast.baseline_mean) == pytest.approx((0.66 - lower, 0.62 - lower))
        assert contrast.baseline_sd == pytest.approx(0.02) and not contrast.different
        assert contrast.p == pytest.approx(ttest_rel((0.62, 0.66, 0.70), (0.60, 0.62, 0.64)).pvalue)
        assert contrast.p_holm == pytest.approx(3 * contrast.p)


def test_an_arm_is_its_name_whatever_it_changes():
    uniform = runs("uniform", (0.6, 0.62, 0.64), baseline=True, settings={"curriculum": "uniform"})
    ordered = runs("easy to hard", (0.7, 0.73, 0.74), settings={"curriculum": "easy to hard"})
    (found,) = compare_arms([*uniform, *ordered])
    assert (found.arm, found.contrasts["peak"].baseline_mean) == ("easy to hard", pytest.approx(0.62))
    assert "TRM, easy to hard: " in arm_sentences([found])[0]


def test_the_correction_covers_every_measure_arm_and_model_type():
    a, b, c = runs("a", (0.70, 0.73, 0.74)), runs("b", (0.61, 0.63, 0.66)), runs("c", (0.6,))
    other = [*runs("baseline", (0.5, 0.52, 0.54), model="HRM"), *runs("b", (0.52, 0.56, 0.57), model="HRM")]
    other[3:] = [replace(point, area=None) for point in other[3:]]
    found = compare_arms([*BASELINE, *a, *b, *c, *other])
    contrasts = [contrast for comparison in found for contrast in comparison.contrasts.values()]
    tested = sorted((contrast for contrast in contrasts if not math.isnan(contrast.p)), key=lambda one: one.p)
    # Three measures of a and b, two of b without area; c has one seed and no p.
    assert [comparison.tests for comparison in found] == [8] * 4 == [len(tested)] * 4
    assert tested[0].p_holm == pytest.approx(8 * tested[0].p)
    assert all(math.isnan(contrast.p_holm) for contrast in found[2].contrasts.values())


def test_reports_of_pure_noise_seldom_call_an_arm_different():
    """Two model types, six arms, three seeds: without a correction over all of it, six reports in ten call one."""
    rng, reports, called = np.random.default_rng(0), 80, Counter()
    for _ in range(reports):
        points = []
        for model, arm in product(("TRM", "SRM"), ("baseline", *"abcdef")):
            for seed, (peak, drop, noise) in enumerate(rng.normal(0, (0.03, 0.02, 0.01), (3, 3))):
                scores = {"best": 0.6 + peak, "final": 0.6 + peak - abs(drop), "area": 0.3 + peak / 2 + noise}
                (run,) = runs(arm, (scores["best"],), model=model)
                points.append(replace(run, seed=seed, **scores))
        compared = compare_arms(points)
        contrasts = [contrast for comparison in compared for contrast in comparison.contrasts.values()]
        verdicts = [sentence.partition(": ")[2] for sentence in arm_sentences(compared)]
        called["corrected"] += any(contrast.different for contrast in contrasts)
        called["said"] += any(verdict.startswith(("better", "worse")) for verdict in verdicts)
        called["uncorrected"] += any(contrast.p < 0.05 for contrast in contrasts)
    assert called["corrected"] == called["said"] <= 0.05 * reports + 3 * math.sqrt(0.05 * 0.95 * reports)
    assert called["uncorrected"] > 0.4 * reports


def test_one_seed_cannot_tell():
    (found,) = compare_arms([*runs("baseline", (0.6,)), *runs("noise", (0.9,))])
    peak = found.contrasts["peak"]
    assert peak.difference.estimate == pytest.approx(0.3)
    numbers = (peak.difference.low, peak.difference.high, peak.p, peak.baseline_sd, peak.detectable())
    assert all(map(math.isnan, numbers)) and not peak.different
    assert arm_sentences([found]) == [
        "TRM, noise: one seed cannot tell an effect from seed noise. Peak 90.0 % against 60.0 % with one seed, "
        "difference +30.0 points; final +30.0; area +30.0."
    ]


def test_equal_differences_are_no_certainty():
    (found,) = compare_arms([*BASELINE, *runs("noise", (0.65, 0.67, 0.69))])
    assert math.isnan(found.contrasts["peak"].difference.low) and not found.contrasts["peak"].different
    assert found.tests == 0 and ": the same in all 3 seeds, which leaves no spread" in arm_sentences([found])[0]


def test_sentences():
    nothing, better, alone, worse = arm_sentences(
        compare_arms(
            [*BASELINE, *runs("a", (0.62, 0.66, 0.70)), *runs("b", (0.80, 0.8202, 0.8401), call_units=150.0)]
            + [*runs("c", (0.64, 0.675, 0.70), call_units=None), *runs("d", (0.35, 0.3702, 0.3901))]
        )
    )
    # Differences of 2, 4 and 6 points: Student's t of 2 degrees of freedom asks 5.65 standard errors of 1.15 points.
    assert nothing == (
        "TRM, a: no difference is shown after Holm's correction for 12 tests. Peak 66.0 % against 62.0 % over 3 seeds, "
        "difference +4.0 [-1.0, +9.0] points (by seed +2.0 +4.0 +6.0); final +4.0 [-1.0, +9.0]; "
        "area +4.0 [-1.0, +9.0]; 3 seeds would find about 6.5 points 4 times in 5 in a single test, "
        "about 23 after the correction."
    )
    assert better.startswith("TRM, b: better in peak (p = ") and " after Holm's correction for 12 tests. Peak" in better
    assert better.endswith("; compute not matched, 1.50 times the baseline's.") and "would find" not in better
    assert "no difference is shown after Holm's correction for 12 tests (without it better in peak (p = 0.01" in alone
    assert alone.endswith("; compute not recorded.")
    assert worse.startswith("TRM, d: worse in peak (p = ") and "better" not in worse


def test_what_no_sweep_could_find_is_said():
    (found,) = compare_arms([*runs("baseline", (0.5, 0.6)), *runs("noise", (0.5, 0.7))])
    assert "about 82 points 4 times in 5 in a single test, no possible difference after" in arm_sentences([found])[0]


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


def test_accuracy_at_halting_is_a_measure_and_finished_puzzles_are_columns():
    seen = {"finished": 800, "segments_per_puzzle": 2.0}
    lost = [replace(point, final=0.01, final_at_halting=point.best) for point in runs("lost", (0.7, 0.73), **seen)]
    baseline = [
        replace(point, finished=100 + point.seed, segments_per_puzzle=16.0, final_at_halting=point.best)
        for point in BASELINE
    ]
    (found,) = compared = compare_arms([*baseline, *lost])
    assert found.contrasts["final at halting"].difference.estimate == pytest.approx(0.105) and found.tests == 4
    assert "final -50.0 [-62.7, -37.3]; final at halting +10.5 [" in arm_sentences(compared)[0]
    first, second = arm_table(compared)
    assert (first["finished puzzles"], first["segments a puzzle"]) == ("101", "16.00")
    assert (second["finished puzzles"], second["segments a puzzle"]) == ("800", "2.00")
    assert (second["final %"], second["final at halting %"]) == ("1.0", "71.5")
    # Of an older sweep none of it is known.
    (old, _) = arm_table(compare_arms([*BASELINE, *runs("noise", (0.62, 0.66))]))
    assert old["finished puzzles"] == old["segments a puzzle"] == "" and "final at halting %" not in old
    with pytest.raises(ValueError, match="final_at_halting must be a fraction"):
        replace(baseline[0], final_at_halting=71.5)

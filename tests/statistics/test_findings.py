import numpy as np
import pytest

from rrm.statistics import OutcomePanel, SweepPoint, by_model, perturbation_sentence, separation, separation_sentence
from rrm.statistics.auc_interval import auc_interval
from rrm.statistics.outcomes import class_shortage
from rrm.statistics.proportions import paired_newcombe_interval
from rrm.statistics.sweep import pack_outcomes, select, unpack_outcomes
from tests.sweep_points import perturbed


def panel(n_solved=60, n_failed=40, lambda_gap=2.0, drift_gap=2.0, seed=0):
    rng = np.random.default_rng(seed)
    solved = np.arange(n_solved + n_failed) < n_solved
    leading = rng.normal(np.where(solved, 0, lambda_gap), 1)
    drift = np.exp(rng.normal(np.where(solved, 0, drift_gap), 1))
    return OutcomePanel("TRM", np.stack([leading, leading - 1], axis=1), solved, drift)


def point(sigma, best, validation=None, **changes):
    fields = {"model": "TRM", "final": best, "n": 500, "stopped_early": False} | changes
    return perturbed(sigma, best=best, validation=validation, **fields)


def test_separation_takes_failed_as_the_positive_class():
    data = panel()
    found = separation(data)
    assert found.lambda_1 == auc_interval(data.lambda_1, ~data.solved)
    assert found.late_drift == auc_interval(data.late_drift, ~data.solved)
    assert found.lambda_1.estimate > 0.8
    assert found.difference.estimate == pytest.approx(found.lambda_1.estimate - found.late_drift.estimate)


@pytest.mark.parametrize(
    ("gaps", "separates", "against_drift"),
    [
        ((2, 2), "it separates failed from solved (AUC 0.9", "is no better than late drift alone"),
        ((0.8, 6), "it separates failed from solved (AUC 0.", "separates worse than late drift alone"),
        ((3, 0), "it separates failed from solved (AUC 0.", "separates better than late drift alone"),
        ((0, 0), "does not measurably separate failed from solved", "is no better than late drift alone"),
        ((-2, 0), "in the unexpected direction", "separates worse than late drift alone"),
        ((50, 50), "separates failed from solved completely in this sample", "is no better than late drift alone"),
    ],
)
def test_separation_in_words(gaps, separates, against_drift):
    data = panel(lambda_gap=gaps[0], drift_gap=gaps[1])
    sentence = separation_sentence(data)
    assert separates in sentence and against_drift in sentence
    found = separation(data)
    for text in (f"{found.lambda_1:.3f}", f"{found.late_drift:.3f}", f"{found.difference:+.3f}"):
        assert text in sentence
    assert f"{np.median(data.lambda_1[~data.solved]):+.3f} nats per call on 40 failed" in sentence


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ((20, 0), "none of 20 failed"),
        ((0, 20), "none of 20 solved"),
        ((20, 4), "only 4 of 24 failed"),
        ((2, 3), "only 2 of 5 solved and only 3 of 5 failed"),
        ((0, 0), "none of 0 solved and none of 0 failed"),
    ],
)
def test_too_few_of_a_class_is_said(sizes, words):
    data = panel(*sizes)
    assert class_shortage(data) == words
    assert separation(data) is None
    assert separation_sentence(data).startswith(f"TRM: {words}, so nothing can be said")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ((np.ones(3), np.ones(3), np.ones(3)), r"lambda_spectrum \[N, k\]"),
        ((np.ones((3, 0)), np.ones(3), np.ones(3)), r"lambda_spectrum \[N, k\]"),
        ((np.ones((3, 2)), np.ones(3), np.ones(2)), "late_drift"),
        ((np.ones((4, 2)), np.ones(3), np.ones(3)), "4 spectra for 3 outcomes"),
        ((np.full((3, 2), np.nan), np.ones(3), np.ones(3)), "finite"),
    ],
)
def test_a_panel_checks_its_arrays(arrays, message):
    with pytest.raises(ValueError, match=message):
        OutcomePanel("TRM", *arrays)


def test_puzzles_that_are_not_finite_are_left_out_and_counted():
    whole = panel(30, 20)
    spectrum, drift, finite = whole.lambda_spectrum.copy(), whole.late_drift.copy(), np.ones(50, bool)
    spectrum[3, 1], drift[40], finite[7] = np.nan, np.inf, False
    for kept, left_out in ((None, 2), (finite, 3)):
        found = OutcomePanel.of_finite("TRM", spectrum, whole.solved, drift, kept)
        assert (found.left_out, found.solved.size) == (left_out, 50 - left_out)
        assert f"; {left_out} more left out, whose numbers are not finite)." in separation_sentence(found)
    assert "left out" not in separation_sentence(whole)
    nothing = OutcomePanel.of_finite("TRM", np.full((9, 2), np.nan), whole.solved[:9], drift[:9], None)
    assert separation_sentence(nothing).endswith("from solved; 9 more left out, whose numbers are not finite.")


@pytest.mark.parametrize(
    "changes",
    [{"best": 1.2}, {"final": np.nan}, {"area": 2}, {"n": 0}, {"call_units": 0}, {"arm": ""}],
)
def test_a_sweep_point_checks_its_numbers(changes):
    with pytest.raises(ValueError, match="TRM"):
        SweepPoint(**{"model": "TRM", "arm": "a", "best": 0.5, "final": 0.5, "n": 9, "stopped_early": False} | changes)


def test_selection_uses_validation_and_says_when_it_cannot():
    luckier, better = point(0.1, 0.9, validation=0.5), point(0.01, 0.8, validation=0.6)
    assert select([luckier, better]) == (better, True)
    assert select([luckier, point(0.01, 0.8)]) == (luckier, False)
    assert select([]) == (None, True)


def test_points_are_grouped_by_model():
    groups = by_model([point(0.1, 0.5), point(0, 0.5, model="HRM"), point(0, 0.5)])
    assert list(groups) == ["TRM", "HRM"]
    assert [p.settings["sigma"] for p in groups["TRM"]] == [0.1, 0]


def test_perturbation_within_sampling_error():
    sentence = perturbation_sentence([point(0, 0.874, 0.87), point(1e-3, 0.9, 0.91), point(1e-2, 0.95, 0.6)])
    assert "best of 2 other runs, initial state σ = 0.001, solves 90.0 [87.1, 92.3] % of 500 test" in sentence
    assert "against 87.4 [" in sentence
    assert "+2.6 [-1.3, +6.6] percentage points (unpaired and so too wide" in sentence
    assert "; selected on validation, scored on test)" in sentence
    # Wald: 2.8 standard errors of sqrt(.1 x .9 / 500 + .126 x .874 / 500) = .0200.
    assert "within sampling error (about 5.6 points would be found 4 times in 5)" in sentence
    assert "two single training runs cannot tell an effect from seed noise" in sentence and "winner's curse" in sentence


@pytest.mark.parametrize(("best", "sign"), [(0.9, "+"), (0.3, "-")])
def test_perturbation_beyond_sampling_error(best, sign):
    sentence = perturbation_sentence([point(0, 0.6), point(0, best, kind="clean_copies", stopped_early=True)])
    assert "the only run beside the baseline, clean copies, solves" in sentence and "(stopped early)" in sentence
    assert f"a difference of {sign}30.0 [" in sentence
    assert f", {'better' if sign == '+' else 'worse'} by more than sampling error" in sentence
    assert "selected on validation" in sentence and "winner" not in sentence


def test_perturbation_is_paired_where_the_outcomes_of_puzzles_are_known():
    baseline = np.arange(500) < 437
    better = baseline | (np.arange(500) >= 487)
    runs = [point(0, 0.874, 0.87, solved=baseline.tobytes()), point(0.1, 0.9, 0.91, solved=better.tobytes())]
    sentence = perturbation_sentence(runs)
    paired = paired_newcombe_interval(better, baseline) * 100
    assert f"a difference of {paired:+.1f} percentage points (paired on the same puzzles; " in sentence
    assert "better by more than sampling error" in sentence  # unpaired it is within: -1.3 to 6.6
    with pytest.raises(ValueError, match="500 outcomes are kept of 400 test puzzles"):
        point(0, 0.874, n=400, solved=baseline.tobytes())


@pytest.mark.parametrize("n", [1, 8, 13])
def test_outcomes_survive_packing(n):
    solved = np.random.default_rng(n).random(n) < 0.5
    assert unpack_outcomes(pack_outcomes(solved), n) == solved.tobytes()
    with pytest.raises(ValueError, match=f"bytes do not hold the outcomes of {n + 9} puzzles"):
        unpack_outcomes(pack_outcomes(solved), n + 9)


def test_an_arm_is_called_by_its_name():
    flossed = point(0, 0.6, flossing="pre", arm="pre-flossing")
    assert ", pre-flossing, solves" in perturbation_sentence([point(0, 0.5), flossed])


def test_perturbation_admits_selection_on_test():
    assert "so it is optimistic" in perturbation_sentence([point(0, 0.5), point(0.1, 0.6), point(0.2, 0.5)])


def test_perturbation_with_missing_pieces():
    assert "only the baseline was run" in perturbation_sentence([point(0, 0.5)])
    assert "no baseline was run" in perturbation_sentence([point(0, 0.5, flossing="pre")])
    assert perturbation_sentence([]).startswith("No run was scored")
    with pytest.raises(ValueError, match="HRM, TRM"):
        perturbation_sentence([point(0, 0.5), point(0.1, 0.5, model="HRM")])

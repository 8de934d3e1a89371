from dataclasses import replace

import numpy as np
import pytest

from rrm.statistics import ladder_lines, ladder_sentence
from rrm.statistics.auc import auc
from rrm.statistics.auc_interval import auc_interval
from rrm.statistics.detectable_gain import detectable_gain
from rrm.statistics.ladder import ladder
from rrm.statistics.logistic import out_of_fold


@pytest.fixture(scope="module")
def data():
    """Drift and Q head know the outcome; lambda_1 is a noisy copy of drift, `fresh` has information of its own."""
    rng = np.random.default_rng(0)
    failed = rng.random(1500) < 0.25
    drift = np.exp(rng.normal(2.5 * failed))
    q = rng.normal(1.0 * failed)
    return {
        "failed": failed,
        "base": {"late drift": drift, "q_halt": q},
        "copy": np.log(drift) + rng.normal(0, 0.5, 1500),
        "fresh": rng.normal(1.0 * failed),
        "rng": rng,
    }


@pytest.fixture(scope="module")
def deflated(data):
    spectrum = np.stack([data["copy"], data["copy"] + data["rng"].normal(size=1500)], axis=1)
    return ladder(data["base"], {"lambda_1": data["copy"], "spectrum": spectrum}, data["failed"])


def test_rungs_are_the_scores_alone(data, deflated):
    assert [rung.name for rung in deflated.rungs] == ["late drift", "q_halt", "lambda_1", "spectrum"]
    assert deflated.rungs[0].auc == auc_interval(data["base"]["late drift"], data["failed"])
    assert deflated.rungs[2].auc.estimate == pytest.approx(auc(data["copy"], data["failed"]))
    p = data["failed"].mean()
    assert deflated.prevalence_log_loss == pytest.approx(-p * np.log(p) - (1 - p) * np.log(1 - p))
    assert deflated.base.log_loss.estimate < min(rung.log_loss.estimate for rung in deflated.rungs)
    assert deflated.base.gain.estimate == pytest.approx(deflated.prevalence_log_loss - deflated.base.log_loss.estimate)


def test_a_noisy_copy_of_drift_adds_nothing_and_the_sentence_says_so(deflated):
    assert deflated.rungs[2].auc.low > 0.9
    assert not any(step.adds for step in deflated.steps)
    assert all(abs(step.gain.estimate) < 1e-3 for step in deflated.steps)
    sentence = ladder_sentence("TRM", deflated)
    assert sentence.startswith(
        f"TRM: lambda_1 alone has AUC {deflated.rungs[2].auc:.3f} for {deflated.n_failed} failed"
    )
    assert f"late drift alone {deflated.rungs[0].auc:.3f}" in sentence
    assert "lambda_1 adds nothing measurable beyond convergence detection" in sentence
    assert "then spectrum adds nothing measurable beyond convergence detection" in sentence


def test_information_of_its_own_is_a_gain(data):
    found = ladder(data["base"], {"lambda_1": data["fresh"], "again": data["fresh"]}, data["failed"])
    first, second = found.steps
    assert first.adds and first.gain.low > 0.005
    assert first.gain.estimate == pytest.approx(found.base.log_loss.estimate - first.log_loss.estimate)
    assert not second.adds
    sentence = ladder_sentence("TRM", found)
    assert f"lambda_1 lowers it after correction for 2 comparisons (gain {first.gain:+.5f}), then" in sentence
    assert f"about {second.detectable:.5f} would have been found 4 times in 5" in sentence


def test_a_gain_has_to_beat_the_gain_of_the_null(data):
    draws = np.random.default_rng(1)
    known = [{"lambda_1": draws.normal(1.0 * data["failed"])} for _ in range(4)]
    unrelated = [{"lambda_1": draws.normal(size=1500)} for _ in range(4)]
    arguments = data["base"], {"lambda_1": data["fresh"]}, data["failed"]
    (beaten,), (adds,) = ladder(*arguments, nulls=known).steps, ladder(*arguments, nulls=unrelated).steps
    assert beaten.gain == adds.gain and beaten.gain.low > 0
    assert not beaten.adds and beaten.null_gain.low < beaten.gain.estimate < beaten.null_gain.high
    assert adds.adds and adds.null_gain.high < adds.gain.estimate
    with pytest.raises(ValueError, match="one draw of the null"):
        ladder(*arguments, nulls=known[:1])


def test_a_detectable_gain_is_found_four_times_in_five():
    rng = np.random.default_rng(0)
    failed = np.arange(200) < 80
    known = rng.normal(1.0 * failed)
    strength, gain = detectable_gain(out_of_fold([known], failed), failed)
    assert 0.4 < strength < 1 and 0.01 < gain < 0.1
    steps = [ladder({"known": known}, {"score": rng.normal(strength * failed)}, failed).steps[0] for _ in range(60)]
    # Three standard deviations of 60 trials.
    assert np.mean([step.adds for step in steps]) == pytest.approx(0.8, abs=0.16)
    assert np.mean([step.gain.estimate for step in steps]) == pytest.approx(gain, rel=0.25)


def test_scores_that_already_tell_the_outcomes_leave_no_gain_to_find():
    failed = np.arange(200) < 80
    assert np.isnan(detectable_gain(np.where(failed, 1 - 1e-5, 1e-5), failed)).all()


def test_permuted_labels_show_nothing_anywhere(data):
    failed = data["rng"].permutation(data["failed"])
    found = ladder(data["base"], {"lambda_1": data["copy"]}, failed)
    assert 0.5 in found.rungs[0].auc and 0.5 in found.rungs[2].auc
    for model in (*found.rungs, found.base, *found.steps):
        assert found.prevalence_log_loss - 1e-3 < model.log_loss.estimate < found.prevalence_log_loss + 0.01
    assert not found.base.adds and not found.steps[0].adds


def test_a_gain_below_the_tolerance_of_the_fits_is_not_one(deflated):
    step = deflated.steps[0]
    tiny = type(step.gain)(1e-6, 0.9e-6, 1.1e-6, 0.95, 1500)
    assert not replace(step, gain=tiny, p=1e-9).adds
    assert replace(step, gain=replace(tiny, estimate=1e-2), p=1e-9).adds


def test_table_lines(deflated):
    lines = ladder_lines(deflated)
    assert [line["score"] for line in lines] == [
        "success rate alone",
        *(f"{name} alone" for name in ("late drift", "q_halt", "lambda_1", "spectrum")),
        "all 2 null scores",
        "+ lambda_1",
        "+ spectrum",
    ]
    assert lines[1]["AUC"] == f"{deflated.rungs[0].auc:.3f}" and lines[1]["gain"] == ""
    assert lines[-1]["gain"] == f"{deflated.steps[1].gain:+.5f}"
    assert {tuple(line) for line in lines} == {("score", "AUC", "log-loss", "gain", "gain of the null")}


def test_too_few_of_a_class_is_said():
    assert ladder({"drift": np.arange(30.0)}, {"lambda_1": np.arange(30.0)}, np.arange(30) < 9) is None
    assert "fewer than 10 failed or fewer than 10 solved" in ladder_sentence("TRM", None)


@pytest.mark.parametrize(
    ("base", "added", "message"),
    [
        ({"drift": [np.nan] * 2 + [1.0] * 38}, {"lambda_1": np.ones(40)}, "drift: 2 of 40 rows are not finite"),
        ({"drift": np.ones(40)}, {"spectrum": np.full((40, 2), np.inf)}, "spectrum: 40 of 40 rows"),
        ({"drift": np.ones((40, 2))}, {"lambda_1": np.ones(40)}, "if not first"),
        ({"drift": np.ones(39)}, {"lambda_1": np.ones(40)}, "shape"),
        ({}, {"lambda_1": np.ones(40)}, "different names"),
        ({"drift": np.ones(40)}, {"drift": np.ones(40)}, "different names"),
    ],
)
def test_bad_input_is_named(base, added, message):
    with pytest.raises(ValueError, match=message):
        ladder(base, added, np.arange(40) < 20)

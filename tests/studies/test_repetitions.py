"""Which configurations a sweep trains again, and what it expects of its trials."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from rrm.jobs.record import Arm, TrialRecord
from rrm.jobs.spec import Preset
from rrm.studies import estimate
from rrm.studies.sweep import repetitions
from rrm.training.pace import Pace


def trial(number, model, exact, drawn, **axes):
    arm = Arm("drawn" if drawn else "baseline", not drawn, {})
    best = {"exact": exact, "cells": 0.5, "step": 1}
    config = {"trial": number, "seed": 7, "model": model, **axes}
    return TrialRecord(f"trial-{number:03d}", config, arm, drawn=drawn, checkpoint="somewhere", best=best)


def test_the_best_of_each_model_type_that_learns_is_trained_again_beside_its_baseline():
    searched = [
        trial(0, "trm_mlp", 0.8, drawn=False),
        trial(1, "hrm", 0.0, drawn=False),
        trial(2, "srm_mlp", 0.04, drawn=False),
        trial(3, "trm_mlp", 0.3, drawn=True, sigma=0.1),
        trial(4, "trm_mlp", 0.4, drawn=True, sigma=0.2),
        trial(5, "hrm", 0.049, drawn=True, sigma=0.3),
        trial(6, "srm_mlp", 0.05, drawn=True, sigma=0.4),
        replace(trial(7, "srm_mlp", 1.0, drawn=True, sigma=0.5), checkpoint=None),
    ]
    again = repetitions(searched, seeds=2, seed=7, learns=0.05)
    assert [(config["model"], config.get("sigma")) for config in again] == 2 * [
        ("trm_mlp", None), ("trm_mlp", 0.2), ("srm_mlp", None), ("srm_mlp", 0.4)
    ]  # fmt: skip
    assert [config["seed"] for config in again] == [8] * 4 + [9] * 4
    assert [config["trial"] for config in again] == list(range(8, 16))
    assert repetitions(searched[:3], seeds=2, seed=7, learns=0.05) == []


def test_a_quick_preset_keeps_the_cells_that_it_computes():
    quick = Preset(8, 2, steps=64, evaluations=4, validation=64, test=128, batch_size=32, quick=True)
    assert quick.fitted(16, 16) == replace(quick, quick=False) == quick.fitted(16, 9)
    larger = quick.fitted(16, 64)
    assert (larger.batch_size, larger.steps, larger.validation, larger.test) == (8, 64, 16, 32)
    largest = quick.fitted(16, 1600)
    assert (largest.batch_size, largest.steps, largest.validation, largest.test) == (4, 20, 4, 4)
    assert quick.fitted(16, 1600, tiered=True) == replace(largest, test=32)  # enough for three tiers
    assert largest.quick is False and (quick.k, quick.fitted(16, 16).k, largest.k) == (8, 8, 2)


def test_the_expected_time_of_a_sweep_with_a_search(monkeypatch):
    """Two trainings of 10 s and 20 s, each with two evaluations of 1 s on as many puzzles as the test has."""
    recipes = {
        name: SimpleNamespace(config={"model": name}, data="", recipe=SimpleNamespace(budget=budget, evaluations=2))
        for name, budget in (("trm_mlp", 10), ("hrm", 20))
    }
    splits = SimpleNamespace(test=range(5), validation=range(5))
    run = SimpleNamespace(
        recipes=SimpleNamespace(make=lambda config: recipes[config["model"]]), splits={"": splits}, resources={},
        request=SimpleNamespace(gpus=0), at_once=2, preset=SimpleNamespace(seeds=3, k=8),
        objectives={"accuracy": SimpleNamespace(measure=None)}, spec=SimpleNamespace(stages=("score",)),
    )  # fmt: skip
    monkeypatch.setattr(estimate, "run_tasks", lambda *_: [(1, Pace(1.0, 1.0), 0.0), (0, Pace(1.0, 1.0), 0.0)])
    fixed = [{"model": "trm_mlp"}, {"model": "hrm"}]
    grid = estimate.expected_seconds(run, fixed, 2)
    assert grid == pytest.approx(estimate.OVERHEAD_S + (12 + 22 + estimate.SCORED * 2) / 2)
    search = estimate.expected_seconds(run, fixed, 6)
    trained, scored = 12 + 22 + 17 * (4 * estimate.STOPPED_AT + 12), estimate.SCORED * (6 + 12)
    assert search == pytest.approx(estimate.OVERHEAD_S + (trained + scored) / 2)

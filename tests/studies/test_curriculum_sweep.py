"""Sweeps of curricula and loops by budget: arms train at equal calls, and what they say comes from rated tiers."""

import json
import runpy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rrm.commands.sweep import run_command
from rrm.jobs.spec import Preset, grid
from rrm.models import build
from rrm.statistics.tiers import MEASURES
from rrm.tasks import get_task

ROOT = Path(__file__).parents[2]
SPEC, HALF = (
    runpy.run_path(str(ROOT / "tune_specs" / f"{name}.py"))["SPEC"] for name in ("curriculum_sweep", "half_sweep")
)
TINY = Preset(0, seeds=2, steps=48, evaluations=1, task="sudoku-4x4", givens=(7, 12), train=64, validation=8, test=32,
              batch_size=4)  # fmt: skip


@pytest.mark.parametrize("spec", [SPEC, HALF], ids=lambda spec: spec.name)
def test_arms_of_one_budget_cost_the_same_and_predictions_are_of_arms_that_run(spec):
    preset = spec.presets["default"]
    task, spent = get_task(preset.task), {}
    for config in spec.fixed(["trm_mlp"]):
        made = spec.recipe(config, task, preset, 0)
        with torch.device("meta"):
            model = build(made.model)
        steps = made.steps(model)
        total = steps * made.units_per_step(model) + made.hook_units(model, steps)
        spent[config["budget"], config["arm"]] = total / (12 * preset.batch_size * preset.steps)
    for (budget, arm), share in spent.items():
        if arm != "p(1-p), unpaid":
            assert share == pytest.approx({"full": 1, "half": 0.5, "quarter": 0.25}[budget], rel=0.01), arm
    assert spec.data_of({}, preset) == replace(preset.data, rated=True)
    for made in spec.tiers.predictions:
        assert {(made.at, made.arm), (made.other_at, made.other)} <= spent.keys() and made.measure in MEASURES


def test_a_sweep_says_what_became_of_its_predictions(cluster, tmp_path, capsys):
    few = ("uniform", "easy to hard", "p(1-p)")
    spec = replace(
        SPEC, presets={"default": TINY}, fixed=lambda models: grid(model=models, arm=few, budget=("full",)),
        recipe=lambda config, *rest: replace(SPEC.recipe(config, *rest), budget=4e3),
    )  # fmt: skip
    run_command(spec, "", ["--storage", str(tmp_path), "--name", "curricula"])
    said, folder = capsys.readouterr().out, tmp_path / "curricula"
    assert "arms against uniform, over seeds" in said and "worst tenth %" in said
    assert "the test puzzles by tier, and the noise of their ratings" in said
    assert "predictions, which were written before the first run" in said
    assert "p(1-p) is no better than uniform where all puzzles have labels" in said
    assert list(folder.rglob("arms_by_tier*")) and "worst tenth %" in (folder / "tables.txt").read_text()
    trials = json.loads((folder / "trials.json").read_text())["searched"]
    assert [trial["config"]["arm"] for trial in trials[:3]] == list(few) and not any(t["failed"] for t in trials)


@pytest.mark.parametrize(
    ("changes", "options", "says"),
    [
        ({"data": None}, [], "64 of 64 training puzzles of sudoku-4x4 have no rating"),
        ({"presets": {"default": replace(TINY, test=2)}}, [], "3 tiers"),
        ({}, ["--model", "srm_mlp"], "not SRM: the objective 'last_step' of srm grows by itself"),
    ],
)
def test_what_no_arm_can_train_on_is_refused_before_anything_starts(tmp_path, capsys, changes, options, says):
    spec = replace(SPEC, **{"presets": {"default": TINY}} | changes)
    with pytest.raises(SystemExit) as refused:
        run_command(spec, "", ["--storage", str(tmp_path), "--name", "curricula", *options])
    said = capsys.readouterr().err.strip().splitlines()
    assert refused.value.code == 2 and len(said) == 1 and says in said[-1]
    assert not (tmp_path / "curricula").exists()

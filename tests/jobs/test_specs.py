"""Every recipe in tune_specs: whatever it may ask for can be trained within its budget, and its arms are told apart."""

import runpy
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rrm.cluster.search import sampled
from rrm.errors import InputError
from rrm.jobs.record import Arm, TrialRecord
from rrm.jobs.spec import SweepSpec
from rrm.models import build
from rrm.studies.checks import check_recipes
from rrm.tasks import get_task
from rrm.tasks.splits import generate_splits
from tests.sweeps import recipes_of

FOLDER = Path(__file__).resolve().parents[2] / "tune_specs"
SPECS = {path.stem: runpy.run_path(str(path))["SPEC"] for path in sorted(FOLDER.glob("*.py"))}
SWEEPS = {name: spec for name, spec in SPECS.items() if isinstance(spec, SweepSpec)}


@pytest.mark.parametrize("name", SWEEPS)
def test_every_configuration_fits_its_budget_and_every_model_type_has_its_baseline(name):
    spec = SWEEPS[name]
    models = list(spec.models)
    fixed, drawn = spec.fixed(models), sampled(spec, models, None, seed=0)
    for preset in spec.presets.values():
        task, baselines, arms = get_task(preset.task), set(), set()
        for config in fixed + drawn:
            recipe = spec.recipe(config, task, preset, seed=0)
            with torch.device("meta"):
                model = build(recipe.model)
            steps = recipe.steps(model)
            spent = steps * recipe.units_per_step(model) + recipe.hook_units(model, steps)
            assert 0.95 * recipe.budget < spent <= recipe.budget, config
            found = recipes_of(spec, preset).make(config | {"seed": 0}).arm
            arms.add((config["model"], found.name))
            if found.baseline:
                baselines.add(config["model"])
        assert baselines == set(models)
        assert len(arms) == len({tuple(sorted(config.items())) for config in fixed + drawn})


@pytest.mark.parametrize("name", SWEEPS)
def test_a_quick_sweep_fits_large_boards(name):
    spec = SWEEPS[name]
    preset, models = spec.presets["smoke"], list(spec.models)
    assert preset.quick
    fitted, maze = preset.fitted(get_task(preset.task).seq_len, 900), get_task("maze-30x30")
    for config in spec.fixed(models) + sampled(spec, models, None, seed=0):
        recipe = spec.recipe(config, maze, fitted, seed=0)
        with torch.device("meta"):
            model = build(recipe.model)
        assert recipe.steps(model) >= recipe.evaluations and recipe.batch_size * recipe.trajectories <= 8


def test_an_arm_says_what_was_changed():
    spec = SWEEPS["perturb_sweep"]
    preset = spec.presets["default"]
    config = {"model": "hrm", "sigma": 0.01, "kind": "every_call", "location": "z_L", "flossing": "pre"}
    settings = {"kind": "every_call", "sigma": 0.01, "location": "z_L", "flossing": "pre, steps 48"}
    found = recipes_of(spec, preset).make(config | {"seed": 0}).arm
    assert found == Arm("every call σ = 0.01 on z_L, flossing pre, steps 48", False, settings)
    spec, config = SWEEPS["interventions"], {"model": "trm_mlp", "arm": "eqr"}
    found = recipes_of(spec, preset).make(config | {"seed": 0}).arm
    settings = {"kind": "eqr", "sigma": 0.01, "location": "both", "flossing": "none"}
    assert found == Arm("eqr", False, settings)


def test_arms_that_train_differently_have_different_names_and_one_is_the_baseline(tmp_path):
    spec = SWEEPS["interventions"]
    preset = spec.presets["smoke"]
    splits = generate_splits(preset.task, (64, 8, 8), 0, preset.givens, tmp_path)

    def check(**changes):
        args = Namespace(model=["trm_mlp"], seed=0, sigma=None, workers_per_trial=1, data=None)
        changed = replace(spec, **changes)
        check_recipes(changed, args, preset, recipes_of(changed, preset), {"": splits})

    check()
    check(arm=lambda config, recipe: f"mine: {config['arm']}", baseline="mine: baseline")
    with pytest.raises(InputError, match="'the same': give the sweep interventions an arm"):
        check(arm=lambda config, recipe: "the same", baseline="the same")
    with pytest.raises(InputError, match="no arm called 'uniform' for trm_mlp"):
        check(baseline="uniform")


def test_records_of_arms_from_before_they_had_a_flag():
    settings = {"kind": "none", "sigma": 0.0, "location": "both", "flossing": "none"}
    old = [
        {"name": "a", "arm": settings | {"arm": "baseline"}},
        {"name": "b", "arm": settings | {"flossing": "pre", "arm": "pre"}},
    ]
    plain, flossed = (TrialRecord.from_dict({"config": {}} | known) for known in old)
    assert plain.arm == Arm("baseline", True, settings)
    assert flossed.arm.name == "pre" and not flossed.arm.baseline
    assert TrialRecord.from_dict(plain.to_dict()) == plain
    assert plain.finished is plain.segments_per_puzzle is None
    counted = replace(plain, checkpoint="a", finished={"puzzles": 8, "segments": 20})
    assert TrialRecord.from_dict(counted.to_dict()) == counted and counted.segments_per_puzzle == 2.5

"""Every recipe in tune_specs: whatever it may ask for can be trained within its budget, and its arms are told apart."""

import runpy
from pathlib import Path

import pytest
import torch

from rrm.cluster.phase import arm
from rrm.cluster.search import sampled
from rrm.models import build
from rrm.tasks import get_task
from rrm.training import interventions

FOLDER = Path(__file__).resolve().parents[2] / "tune_specs"
SPECS = {path.stem: runpy.run_path(str(path))["SPEC"] for path in sorted(FOLDER.glob("*.py"))}
SWEEPS = {name: spec for name, spec in SPECS.items() if hasattr(spec, "recipe")}


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
            rollouts = interventions.perturbation(**recipe.perturbation).trajectories
            steps = recipe.steps(model, rollouts)
            spent = steps * recipe.units_per_step(model, rollouts) + recipe.flossing_units(model, steps)
            assert 0.95 * recipe.budget < spent <= recipe.budget, config
            found = arm(config, recipe)
            arms.add((config["model"], found["arm"]))
            if found["kind"] == "none" and found["flossing"] == "none":
                baselines.add(config["model"])
        assert baselines == set(models)
        assert len(arms) == len({tuple(sorted(config.items())) for config in fixed + drawn})


def test_an_arm_says_what_was_changed():
    spec = SWEEPS["perturb_sweep"]
    preset = spec.presets["default"]
    config = {"model": "hrm", "sigma": 0.01, "kind": "every_call", "location": "z_L", "flossing": "pre"}
    found = arm(config, spec.recipe(config, get_task(preset.task), preset, seed=0))
    assert found == {
        "kind": "every_call", "sigma": 0.01, "location": "z_L", "flossing": "pre, steps 53",
        "arm": "every call σ = 0.01 on z_L, flossing pre, steps 53",
    }  # fmt: skip
    eqr = SWEEPS["interventions"]
    found = arm({"arm": "eqr"}, eqr.recipe({"model": "trm_mlp", "arm": "eqr"}, get_task("sudoku-6x6"), preset, 0))
    assert found == {"kind": "eqr", "sigma": 0.01, "location": "both", "flossing": "none", "arm": "eqr"}

"""Checkpoints of version 1, whose recipes were flat: their trainings go on to where they would have gone.

tests/training/files/version_1 holds folders written by the code of that version after the first of three evaluations:
a TRM with perturbed copies, puzzle vectors and flossing, and an SRM that grows. `reached` holds the weights and metrics
of the same code at the end of the training.

Another processor rounds otherwise: weights that are off by 1e-6 when a training goes on are off by 1.3e-6 at its end,
and lost moments, averages or step counts move them by 4e-5 or more.
"""

import json
from pathlib import Path

import pytest
import torch

from rrm.tasks import get_task
from rrm.tasks.splits import generate_splits
from rrm.training import checkpoint
from rrm.training.assemble import assemble
from rrm.training.recipe import Recipe, upgrade

FOLDERS = Path(__file__).parent / "files" / "version_1"
TASK = get_task("sudoku-4x4")


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    torch.set_num_threads(1)
    return generate_splits(TASK.name, (48, 16, 16), 0, (6, 9), tmp_path_factory.mktemp("puzzles"))


def resumed(splits, folder):
    recipe = Recipe(**upgrade(checkpoint.read_meta(folder)["recipe"]))
    run = assemble(recipe, TASK, splits.train, splits.validation)
    run.load(folder)
    return run


def off_by(weights, reached):
    """Norm of the difference over the norm, of all weights together."""
    difference = sum((value - reached[key]).double().square().sum() for key, value in weights.items())
    return (difference / sum(value.double().square().sum() for value in reached.values())).sqrt()


@pytest.mark.parametrize("name", ["deep_supervision", "last_step"])
def test_a_training_of_version_1_goes_on_to_the_same_weights(splits, tmp_path, name):
    folder = FOLDERS / name
    run = resumed(splits, folder)
    assert run.recipe.objective["kind"] == name and run.step > 0 and run.initial_weights is None
    rest = [*run.run()]
    for metrics, before in zip(rest, json.loads((folder / "reached.json").read_text()), strict=True):
        assert {key: metrics[key] for key in before} == pytest.approx(before, rel=1e-4, abs=5e-3)
    assert "train/finished" not in rest[-1]  # that version did not count
    reached = checkpoint.load_tensors(folder / "reached.safetensors")
    for head, weights in (("model", run.model.state_dict()), ("ema", run.ema.shadow)):
        assert off_by(weights, {key: reached[f"{head}/{key}"] for key in weights}) < 1e-5
    # What it writes now is of this version, and goes on as well.
    run.save(tmp_path, "hash")
    assert resumed(splits, tmp_path).step == run.total_steps


def test_the_models_of_version_1_load():
    for name in ("deep_supervision", "last_step"):
        final = checkpoint.load_tensors(FOLDERS / name / "final.safetensors")
        model = checkpoint.load_model(FOLDERS / name, "final")
        assert all(torch.equal(value, final[key]) for key, value in model.state_dict().items())


def test_a_flat_recipe_finds_its_parts():
    flat = json.loads((FOLDERS / "last_step" / "checkpoint.json").read_text())["recipe"]
    recipe = Recipe(**upgrade(flat))
    assert recipe.objective == {
        "kind": "last_step", "prob_detach_prev_H": 0.7, "growth": {"H": [[40.0, 1]], "L": [[60.0, 1]]},
        "moment_reset_scale": 0.5, "transition_warmup_steps": 2,
    }  # fmt: skip
    assert recipe.optimizer["betas"] == (0.8, 0.9) and recipe.hooks == {} and recipe.clip_norm == 1.0
    assert Recipe(**upgrade(json.loads(json.dumps(recipe.to_dict())))) == recipe
    flat = json.loads((FOLDERS / "deep_supervision" / "checkpoint.json").read_text())["recipe"]
    assert Recipe(**upgrade(flat)).hooks == {"flossing": flat["flossing"]}

"""Recipes by name: sizes, steps and schedules of the papers, and one training step of every model type."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from rrm.models import VARIANTS, build, parameter_count
from rrm.tasks import get_task
from rrm.tasks.splits import generate_splits
from rrm.training import recipes
from rrm.training.assemble import assemble
from rrm.training.last_step import LastStepSettings, LastStepSupervision
from rrm.training.perturbation import TrajectoryPerturbation
from rrm.training.schedule import Growth, cosine
from rrm.training.stream import to_batch

SUDOKU = get_task("sudoku-9x9")


@pytest.mark.parametrize(
    ("name", "parameters", "steps"),
    [
        ("trm_sudoku", 5_028_866, 65_104),
        ("hrm_sudoku", 27_275_266, 26_041),
        ("srm_sudoku", 2_513_920, 14_968),
        ("eqr_sudoku", 4_855_298, 50_000),
    ],
)
def test_sizes_and_steps_of_the_papers(name, parameters, steps):
    recipe = getattr(recipes, name)(SUDOKU)
    with torch.device("meta"):
        model = build(recipe.model)
    assert parameter_count(model) == parameters
    assert recipe.steps(model) == steps
    perturbed = replace(recipe, perturbation={"kind": "multi4"})
    assert perturbed.steps(model) == steps // 4


def test_growth_table_of_srm_sudoku():
    """Depth at every milestone, and the learning rate after a growth step (models that use it)."""
    growth = recipes.srm_sudoku(SUDOKU).objective_settings.growing(2, 2)
    table = {0: (2, 2), 20: (2, 2), 20.1: (3, 2), 30.1: (3, 3), 40.1: (4, 3), 55.1: (5, 4), 75.1: (7, 5), 94.1: (8, 12)}
    for percent, depth in table.items():
        assert growth.depth(int(percent * 10), 1000) == depth, percent
    assert growth.last_transition(300, 1000) == 201 and growth.last_transition(200, 1000) == 0
    assert Growth(2, 2, H=((50.0, 1),)).depth(5, 10) == (3, 2)


def test_learning_rate_schedule():
    assert [cosine(s, 100, 10, 1.0) for s in (1, 5, 10, 100)] == [0.1, 0.5, 1.0, 1.0]
    assert cosine(55, 100, 10, 0.02) == pytest.approx(0.51) and cosine(100, 100, 10, 0.02) == pytest.approx(0.02)


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    return generate_splits("sudoku-4x4", (32, 8, 8), 0, (6, 9), tmp_path_factory.mktemp("puzzles"))


@pytest.mark.parametrize("name", [*VARIANTS, "eqr", "muon"])
def test_every_model_type_trains_and_resumes_bit_for_bit(splits, tmp_path, name):
    task = get_task("sudoku-4x4")
    changes = {"batch_size": 8, "evaluations": 4, "lr": 1e-3, "clip_norm": 1.0, "prob_detach_prev_H": 0.5}
    if name == "eqr":
        changes |= {"perturbation": {"kind": "eqr"}}
    growth = {"H": [[50.0, 1]], "L": [[50.0, 1]]} if name.startswith("srm") else {}
    changes |= {"growth": growth, "moment_reset_scale": 0.0}
    recipe = recipes.cpu_sudoku(task, {"eqr": "trm_mlp", "muon": "hrm"}.get(name, name), **changes)
    if name == "muon":
        grid = {"pos_encodings": "rope_2d", "rope_theta": 10.0, "swiglu": "normalised"}
        recipe = replace(recipe, optimizer={"kind": "muon", "by_head": True}, model=recipe.model | grid)
    recipe = replace(recipe, budget=4.5 * recipe.units_per_step(build(recipe.model)))

    def make():
        return assemble(recipe, task, splits.train, splits.validation)

    torch.set_num_threads(1)
    unbroken, broken, resumed = make(), make(), make()
    metrics = [*unbroken.run()]
    assert len(metrics) == 4 and np.isfinite(metrics[-1]["train/loss"])
    next(broken.run())
    broken.save(tmp_path, "hash")
    resumed.load(tmp_path)
    assert [m["train/loss"] for m in resumed.run()] == [m["train/loss"] for m in metrics[1:]]
    for key, value in unbroken.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[key], value), key
    if growth:
        assert unbroken.objective.depth == 3
        assert unbroken.model.config.L_cycles == 3
        # Half of the steps keep the transition: 2 x 1/2 more.
        assert metrics[-1]["call_units"] == 8 * (2 * 3 + 6 + 1 + 3 * (3 * 4 + 8 + 1))


@pytest.mark.parametrize(("keep", "recorded"), [(False, 3), (True, 4)])
def test_gradient_calls_of_last_step_supervision(splits, keep, recorded):
    task = get_task("sudoku-4x4")
    model = build(recipes.cpu_sudoku(task, "srm_mlp").model)
    objective = LastStepSupervision(model, TrajectoryPerturbation(), LastStepSettings(0.0 if keep else 1.0))
    objective.depth = 3
    counted, step = [], model.step
    model.step = lambda *args: counted.append(torch.is_grad_enabled()) or step(*args)
    batch = to_batch(splits.train.subset(slice(0, 4)), task)
    objective(objective.initial_carry(batch), batch, torch.Generator())
    assert sum(counted) == recorded


@pytest.mark.parametrize("tenths", [1, 201, 301, 333, 401, 501, 551, 651, 751, 801, 851, 941, 999])
def test_depth_grows_at_the_transition_whatever_the_number_of_steps(tenths):
    growth = Growth(2, 2, H=((tenths / 10, 1),))
    for total in (*range(100, 4000, 7), 14_968, 3_906):
        first = -(-tenths * total // 1000)
        assert [growth.depth(step, total) for step in (first - 1, first)] == [(2, 2), (3, 2)], total
        assert [growth.last_transition(step, total) for step in (first - 1, first, total)] == [0, first, first], total


@pytest.mark.parametrize("keep", [False, True])
def test_a_rollout_has_two_cycles_in_training_at_least(splits, keep):
    task = get_task("sudoku-4x4")
    recipe = recipes.cpu_sudoku(task, "srm_mlp", growth={}, prob_detach_prev_H=0.0 if keep else 1.0)
    model = build(recipe.model)
    objective = LastStepSupervision(model, TrajectoryPerturbation(), recipe.objective_settings)
    objective.depth = 1
    counted, step = [], model.step
    model.step = lambda *args: counted.append(torch.is_grad_enabled()) or step(*args)
    batch = to_batch(splits.train.subset(slice(0, 4)), task)
    objective(objective.initial_carry(batch), batch, torch.Generator())
    assert counted == [False, False, keep, True, True, True]
    shallow = replace(recipe, model=recipe.model | {"H_cycles": 1})
    assert shallow.units(model, 1, 1) == recipe.units(model, 1, 1) == len(counted) + 2 * sum(counted)


def test_the_kept_transition_is_priced():
    recipe = recipes.cpu_sudoku(get_task("sudoku-4x4"), "srm_mlp", growth={}, prob_detach_prev_H=0.75)
    recipe = replace(recipe, model=recipe.model | {"H_cycles": 8})
    assert recipe.units(build(recipe.model), 1, 1) == 8 * 3 + 2 * 3 + 2 * 0.25

"""Deep supervision at a depth that grows: the price of every step, the depth that is kept, and no growth at all."""

from dataclasses import replace

import pytest
import torch

from rrm.errors import InputError
from rrm.models import build
from rrm.tasks import get_task
from rrm.tasks.splits import generate_splits
from rrm.training import checkpoint
from rrm.training.assemble import assemble
from rrm.training.recipes import cpu_sudoku

TASK = get_task("sudoku-4x4")
GROWTH = {"H": [[50, 1]], "L": [[25, 1]]}


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    torch.set_num_threads(1)
    return generate_splits(TASK.name, (25, 8, 8), 0, (6, 9), tmp_path_factory.mktemp("puzzles"))


def recipe(model="trm_mlp", **objective):
    made = cpu_sudoku(TASK, model, batch_size=6, budget=1.0, evaluations=2, warmup_steps=1)
    made = replace(made, model=made.model | {"H_cycles": 1, "L_cycles": 1}, objective=objective)
    return replace(made, budget=8 * made.units_per_step(build(made.model)) + 1)


# Forward calls and twice the recorded ones at depths 1 x 1, 1 x 2 and 2 x 2; HRM records 2 and looks ahead.
PRICES = {"trm_mlp": (2 + 4, 3 + 6, 6 + 6), "hrm": (2 + 4 + 2, 3 + 4 + 3, 6 + 4 + 6)}


@pytest.mark.parametrize("model", PRICES)
def test_a_step_costs_its_depth_and_the_last_one_is_kept(splits, tmp_path, model):
    settings = recipe(model, kind="growing_depth", growth=GROWTH, halt_max_steps=3)
    run = assemble(settings, TASK, splits.train, splits.validation)
    charged, forwards = [], []
    run.charge = lambda units: charged.append(units / 6)
    count = lambda *_: forwards.append(run.step)  # noqa: E731
    for network in {run.model.network(half) for half in "HL"}:
        network.register_forward_hook(count)
    metrics = [*run.run()]
    assert len(charged) == 8 and charged == [PRICES[model][0]] + [PRICES[model][1]] * 2 + [PRICES[model][2]] * 5
    # The price counts the calls that were made.
    made = [forwards.count(step) for step in range(8)]
    ahead = 2 if model == "hrm" else 1
    assert made == [ahead * calls for calls in [2] + [3] * 2 + [6] * 5]
    run.save(tmp_path, "hash")
    final = checkpoint.load_model(tmp_path, "final")
    assert (final.config.H_cycles, final.config.L_cycles) == (2, 2) and len(final.segment_calls) == 6
    assert len(metrics) == 2


def test_without_growth_it_is_deep_supervision(splits):
    trained = []
    for kind in ("deep_supervision", "growing_depth"):
        run = assemble(recipe(kind=kind), TASK, splits.train, splits.validation)
        [*run.run()]
        trained.append((run.total_steps, run.model.state_dict()))
    assert trained[0][0] == trained[1][0]
    assert all(torch.equal(value, trained[1][1][name]) for name, value in trained[0][1].items())


def test_bad_growth_is_refused():
    with pytest.raises(InputError, match="growth has a part 'K': it has H and L"):
        recipe(kind="growing_depth", growth={"K": []})
    with pytest.raises(InputError, match="the objective 'last_step' of srm grows by itself"):
        recipe("srm_mlp", kind="growing_depth")

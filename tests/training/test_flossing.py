"""Gradient flossing in training: penalties, price, what an episode moves, and runs that are broken off."""

import pytest
import torch

from rrm.dynamics import rollout
from rrm.errors import InputError
from rrm.models import build
from rrm.tasks import get_task
from rrm.tasks.splits import generate_splits
from rrm.training.assemble import assemble
from rrm.training.flosser import Flosser
from rrm.training.flossing import PENALTIES, Flossing, flossing
from rrm.training.objective import Diverged
from rrm.training.recipes import cpu_sudoku
from rrm.training.stream import to_batch

TASK = get_task("sudoku-4x4")
SHORT = {"steps": 3, "k": 2, "segments": 1, "transient": 1}


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    torch.set_num_threads(1)
    return generate_splits(TASK.name, (48, 16, 16), 0, (6, 9), tmp_path_factory.mktemp("puzzles"))


def trainer(splits, model="trm_mlp", **changes):
    settings = {"batch_size": 8, "budget": 12 * 8 * 12, "evaluations": 3, "halt_max_steps": 2} | changes
    recipe = cpu_sudoku(TASK, model, **settings)
    return assemble(type(recipe)(**recipe.to_dict()), TASK, splits.train, splits.validation)


def flosser(splits, model="trm_mlp", seed=0, **settings):
    torch.manual_seed(seed)
    model = build(cpu_sudoku(TASK, model).model)
    return Flosser(Flossing(pre=True, **SHORT | settings), model, splits.train, TASK, seed=0)


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_one_sided_penalties_leave_contracting_spectra_alone():
    excess = torch.tensor([[0.3, -0.1], [-0.2, -0.4], [-0.1, 0.2]], requires_grad=True)
    values = {name: penalty(excess) for name, penalty in PENALTIES.items()}
    assert values["two_sided"].tolist() == pytest.approx([0.05, 0.1, 0.025])
    assert values["leading"].tolist() == pytest.approx([0.09, 0, 0])
    assert values["spectrum"].tolist() == pytest.approx([0.045, 0, 0.02])
    assert values["volume"].tolist() == pytest.approx([0.01, 0, 0.0025])
    for name, value in values.items():
        (gradient,) = torch.autograd.grad(value.sum(), excess)
        assert bool((gradient[1] == 0).all()) == (name != "two_sided")


def test_schedule_window_and_price():
    both = Flossing(pre=True, every=100, episodes=2)
    assert both.episodes_at(500) == [0, 100, 200] and both.episodes_at(100) == [0]
    assert Flossing(every=100, episodes=2).episodes_at(201) == [100, 200]
    late = Flossing(pre=True, segments=2, late=True, k=3, batch_size=1)
    assert late.window(5, 6) == (18, 12) and late.window(1, 6) == (0, 6)
    # 18 calls that only lead there, then forward 1 and backward 2 for the state and each of three tangents.
    assert late.units(5, 6) == 18 + 3 * 4 * 12
    assert Flossing(pre=True, examples="failed", k=3, batch_size=2).units(5, 6) == 2 * (30 + 3 * 4 * 12)


@pytest.mark.parametrize("model", ["trm_mlp", "hrm", "srm_mlp"])
def test_flossing_is_paid_from_the_same_budget(splits, model):
    schedule = {"preset": "pre_inter", "every": 1, **SHORT, "steps": 2}
    plain, flossed = (trainer(splits, model, growth={}, **more) for more in ({}, {"flossing": schedule}))
    assert flossed.total_steps < plain.total_steps and plain.hooks == {}
    per_step = plain.recipe.units_per_step(plain.model)
    last = [*flossed.run()][-1]
    assert last["flossing/episodes"] == 3 and last["call_units"] == pytest.approx(
        flossed.total_steps * per_step + flossed.recipe.hook_units(flossed.model, flossed.total_steps)
    )
    assert flossed.recipe.budget - per_step < last["call_units"] <= flossed.recipe.budget
    assert not any(name.startswith("flossing") for name in [*plain.run()][-1])


def test_an_episode_moves_exponents_to_the_target_and_only_the_blocks(splits):
    run = flosser(splits, steps=15, lr=1e-2)
    start = weights(run.model)
    record = run.episode(0, depth=2)
    assert abs(record["mean_lambda_after"]) < 0.5 * abs(record["mean_lambda_before"])
    assert record["updates"] == 15 and record["gradient_norm"] > 0 and len(record["spectrum_after"]) == 2
    moved = {name for name, value in run.model.state_dict().items() if not torch.equal(value, start[name])}
    assert moved and all(name.startswith("L_level.") for name in moved)
    everything = flosser(splits, parameters="all")
    everything.episode(0, depth=2)
    after = everything.model.state_dict()
    moved = {name for name in after if not torch.equal(after[name], start[name])}
    assert "embed_tokens.embedding_weight" in moved and not any("head" in name for name in moved)


def test_one_sided_flossing_of_a_contracting_model_is_no_training(splits):
    run = flosser(splits, penalty="spectrum", target=5.0)
    start = weights(run.model)
    record = run.episode(0, depth=2)
    assert record["loss"] == record["gradient_norm"] == 0 and record["spectrum_before"] == record["spectrum_after"]
    assert all(torch.equal(value, start[name]) for name, value in run.model.state_dict().items())


@pytest.mark.parametrize("late", [False, True])
def test_failed_examples_alone_drive_the_step(splits, late):
    """A batch of one solved and one failed puzzle moves the weights as the failed puzzle alone does."""
    settings = {"steps": 1, "late": late}
    chosen, alone = flosser(splits, examples="failed", **settings), flosser(splits, **settings)
    batch = to_batch(splits.train.subset(slice(0, 2)), TASK)
    batch["labels"][0] = rollout(chosen.model, batch, 2).predictions[-1, 0]
    chosen._stream.batch = lambda step: batch
    alone._stream.batch = lambda step: {name: value[1:] for name, value in batch.items()}
    assert chosen.episode(0, 2)["updates"] == alone.episode(0, 2)["updates"] == 1
    start, model = weights(flosser(splits).model), alone.model.state_dict()
    for name, value in chosen.model.state_dict().items():
        assert torch.allclose(value - start[name], model[name] - start[name], atol=1e-6), name
    batch["labels"] = rollout(chosen.model, batch, 2).predictions[-1]
    assert chosen.episode(1, 2)["updates"] == 0


@pytest.mark.parametrize("model", ["trm_mlp", "hrm", "srm_mlp"])
def test_interrupted_flossing_continues_bit_for_bit(splits, tmp_path, model):
    growth = {"H": [[50.0, 1]]} if model.startswith("srm") else {}
    schedule = {"preset": "pre_inter", "every": 2, "examples": "failed", "weighted": True, **SHORT, "steps": 2}
    changes = {"flossing": schedule, "budget": 12 * 8 * 17, "growth": growth}
    unbroken, broken = (trainer(splits, model, **changes) for _ in range(2))
    metrics = [*unbroken.run()]
    assert len(unbroken.hooks["flossing"].records) == 3
    next(broken.run())
    broken.save(tmp_path, "hash")
    torch.manual_seed(99)  # whatever state the process is in
    resumed = trainer(splits, model, **changes)
    resumed.load(tmp_path)
    rest = [*resumed.run()]
    untimed = [[{k: v for k, v in m.items() if "time/" not in k} for m in history] for history in (metrics[1:], rest)]
    assert untimed[0] == untimed[1] and resumed.hooks["flossing"].records == unbroken.hooks["flossing"].records
    for key, value in unbroken.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[key], value), key


def test_flossing_that_diverges_is_named(splits):
    run = trainer(splits, flossing={"preset": "pre", **SHORT, "lr": 1e30})
    with pytest.raises(Diverged, match="gradient flossing is not finite before step 1"):
        next(run.run())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preset": "pre", "tooth": 1}, "flossing schedule 'pre' has no setting 'tooth': it has pre, every"),
        ({"preset": "none", "k": 1}, "flossing schedule 'none' has no setting 'k': it has none"),
        ({"preset": "pre", "penalty": "l1"}, "flossing penalty 'l1' is unknown: use one of two_sided, leading"),
        ({"preset": "inter", "every": None}, "every = None, episodes = 2"),
        ({"preset": "pre", "k": 0}, "flossing k is 0: it must be positive"),
    ],
)
def test_bad_settings_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        flossing(change)


def test_a_budget_and_a_window_that_do_not_fit_are_refused(splits):
    with pytest.raises(InputError, match="pays for 0 steps .* raise the budget to"):
        trainer(splits, flossing={"preset": "pre", **SHORT, "steps": 1000})
    with pytest.raises(InputError, match="flossing transient is 12: the window has 12 calls"):
        trainer(splits, flossing={"preset": "pre", "transient": 12})

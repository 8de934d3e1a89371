"""Trainings on modular arithmetic through the common trainer: they grok, resume, share their work and keep honest."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from rrm.curves import CurveFile, read_curves
from rrm.errors import InputError
from rrm.training import checkpoint, computation
from rrm.training.assemble import assemble
from rrm.training.grokking import grokking
from rrm.training.recipe import Recipe
from tests.workers import run_workers

FILTERED = {"gradient_filter": {"filter": "window", "window": 4}}
SMALL = {"p": 7, "train_share": 0.5, "twins": False, "steps": 24, "evaluations": 3, "journal": {"every": 4}}
SGD = {"kind": "sgd", "momentum": 0.9}
CASES = {
    "token_mlp by AdamW, filtered": {"hooks": FILTERED},
    "transformer in batches, clipped": {"model": "transformer", "batch_size": 8, "clip_norm": 0.5},
    "routed_mlp by Adam": {"model": "routed_mlp", "routing": "entropy", "optimizer": {"kind": "adam"}},
    "gated_transformer by SGD": {"model": "gated_transformer", "price": 0.01, "optimizer": SGD},
    "token_mlp, smoothed": {"smoothness": 0.5, "smooth_every": 3, "operations": ["add", "subtract"]},
    "gated_mlp, float64": {"model": "gated_mlp", "price": 0.01, "cost": "flops", "precision": "float64"},
}  # fmt: skip


def small(**changes):
    torch.set_num_threads(1)
    return grokking(**SMALL | {"network": {"hidden_size": 8, "mlp_size": 16}} | changes)


def untimed(history):
    return [{name: value for name, value in metrics.items() if "time/" not in name} for metrics in history]


# Fault 13 of an earlier system: a resumed training overwrote the history before it.
@pytest.mark.parametrize("changes", CASES.values(), ids=CASES)
def test_a_training_goes_on_bit_for_bit(tmp_path, changes):
    made = small(**changes)
    unbroken, broken = (assemble(made, curve=CurveFile(tmp_path / f"{name}.jsonl")) for name in "ab")
    metrics = [*unbroken.run()]
    next(run := broken.run())
    broken.save(tmp_path, "")
    next(run)  # which a crash takes
    broken.curve.flush()
    torch.manual_seed(99)
    resumed = assemble(made, curve=CurveFile(tmp_path / "b.jsonl"))
    resumed.load(tmp_path)
    assert untimed(resumed.run()) == untimed(metrics[1:])
    for name, value in unbroken.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    for run in (unbroken, resumed):
        run.save(tmp_path, "")
        run.curve.flush()
    one, other = (read_curves(tmp_path / f"{name}.jsonl") for name in "ab")
    # The history is whole: rows before and after the crash, in steps.
    assert one["test/accuracy"][0].tolist() == other["test/accuracy"][0].tolist()
    assert sorted({*one["test/accuracy"][0].tolist()}) == [4, 8, 12, 16, 20, 24]
    assert np.array_equal(one["train/loss"][1], other["train/loss"][1])
    answers = checkpoint.load_model(tmp_path, "final")(torch.tensor([[1, 7, 2, 8]]))
    assert torch.equal(answers, unbroken.model.eval()(torch.tensor([[1, 7, 2, 8]])))
    assert checkpoint.read_meta(tmp_path)["recipe"]["table"]["p"] == 7


def worker(rank: int, folder: str, made: Recipe) -> None:
    run = assemble(made, rank=rank, world=2, wrap=DistributedDataParallel)
    metrics = [*run.run()]
    torch.save({"metrics": metrics, "weights": run.model.state_dict(), "step": run.step}, f"{folder}/{rank}.pt")


@pytest.mark.parametrize("changes", [{"hooks": FILTERED}, {"model": "gated_mlp", "price": 0.01, "batch_size": 8}])
def test_two_workers_train_what_one_does_and_end_together(tmp_path, changes):
    journal = {"every": 4, "stop_at": 0.01, "stop_after": 3}
    made = small(**changes, journal=journal)
    run_workers(worker, tmp_path, 2, made)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in range(2))
    alone = assemble(made)
    metrics = [*alone.run()]
    assert first["step"] == second["step"] == alone.step < 24
    assert metrics[-1]["evaluation"] == made.evaluations == first["metrics"][-1]["evaluation"]
    for name, value in alone.model.state_dict().items():
        assert torch.equal(first["weights"][name], second["weights"][name])
        assert torch.allclose(first["weights"][name], value, atol=1e-5), name
    for mine, other in zip(first["metrics"], metrics, strict=True):
        for name in ("train/loss", "test/loss", "train/lm_loss"):
            assert mine[name] == pytest.approx(other[name], rel=1e-4)


def test_a_training_that_ended_early_stays_ended(tmp_path):
    made = small(journal={"every": 2, "stop_at": 0.01, "stop_after": 3})
    run = assemble(made)
    metrics = [*run.run()]
    end = run.hooks["journal"].events["end"]
    assert metrics[-1]["step"] == run.step == end < 24 and metrics[-1]["budget_percent"] == 100
    run.save(tmp_path, "")
    again = assemble(made)
    again.load(tmp_path)
    assert [*again.run()] == [] and again.total_steps == end
    assert assemble(small(journal={"every": 2})).total_steps == 24


# Fault 15 of an earlier system: its best weights were chosen on the test pairs.
def test_test_pairs_decide_nothing(tmp_path):
    """Other answers to the test pairs change what the journal says, and neither weights nor the choice of the best."""
    runs = []
    for shift in (0, 1):
        made = small()
        run = assemble(made)
        tokens, targets = run.objective._sides["test"]
        run.objective._sides["test"] = tokens, (targets + shift) % 7
        runs.append((run, [*run.run()]))
    (one, first), (other, second) = runs
    assert first[-1]["test/loss"] != second[-1]["test/loss"]
    assert one.best["step"] == other.best["step"] and "test" not in " ".join(one.objective.ranking)
    assert all(torch.equal(one.best_weights[name], value) for name, value in other.best_weights.items())


@pytest.mark.parametrize("seed", [0])
def test_decay_makes_a_network_grok_long_after_it_has_memorised(seed):
    """31 numbers, 60 % of the pairs: seconds. Events are steps, whatever the distance of rows."""
    made = grokking(p=31, train_share=0.6, twins=False, steps=3000, evaluations=1, seed=seed, data_seed=seed,
                    journal={"every": 50, "stop_after": 0})  # fmt: skip
    (last,) = assemble(made).run()
    assert last["grokking/memorised_step"] <= 150 and 1000 <= last["grokking/grokked_step"] <= 2500
    control = grokking(p=31, train_share=0.6, twins=False, steps=800, evaluations=1, weight_decay=0.0)
    (last,) = assemble(control).run()
    assert "grokking/grokked_step" not in last and last["grokking/memorised_step"] <= 150
    assert last["train/accuracy"] == 1 and last["test/accuracy"] < 0.1


# Fault 6 of an earlier system: it planned for fewer training pairs to make a network grok sooner.
def test_more_training_pairs_make_a_network_grok_sooner():
    found = []
    for share in (0.7, 0.9):
        made = grokking(p=23, train_share=share, twins=False, lr=0.01, steps=2000, evaluations=1,
                        journal={"every": 20, "stop_after": 0})  # fmt: skip
        (last,) = assemble(made).run()
        found.append(last["grokking/grokked_step"])
    assert found[1] < 0.6 * found[0]


def test_decay_reaches_every_weight_but_gates_and_routers():
    for model, spared in (("transformer", ""), ("gated_mlp", "gates."), ("routed_transformer", ".router.")):
        run = assemble(small(model=model, lr=0.1, weight_decay=1.0, warmup_steps=0, network={"num_layers": 2}))
        before = {name: p.detach().clone() for name, p in run.model.named_parameters()}
        for parameter in run.model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        run.optimizer.step()
        for name, p in run.model.named_parameters():
            share = 1.0 if spared and spared in name else 0.9
            assert torch.allclose(p, share * before[name]), name


def test_gradient_filters_are_their_formulas():
    gradients = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    mean, window = gradients[0].clone(), {"filter": "window", "window": 3, "gain": 5.0}
    for settings in ({"filter": "ema", "decay": 0.9, "gain": 2.0}, window):
        made = small(hooks={"gradient_filter": settings})
        hook = assemble(made).hooks["gradient_filter"]
        weight = torch.nn.Parameter(torch.zeros(3))
        hook.parameters = {"w": weight}
        for step, gradient in enumerate(gradients):
            weight.grad = gradient.clone()
            hook.after_backward(step)
            mean = gradients[0] if step == 0 else 0.9 * mean + 0.1 * gradient
            slow = gradients[step - 2 : step + 1].mean(0) if step >= 2 else torch.zeros(3)
            expected = gradient + (2 * mean if settings["filter"] == "ema" else 5 * slow)
            assert torch.allclose(weight.grad, expected, atol=1e-6)


# Fault 5 of an earlier system: a regulariser in its documentation that its constructor refused.
@pytest.mark.parametrize("name", computation.ROUTING)
def test_every_regulariser_builds_and_is_least_where_it_should_be(name):
    assemble(small(model="routed_transformer", routing=name, steps=3))
    one_head = torch.eye(4)[[2, 2, 2]].unsqueeze(1)
    shared, apart = torch.full((3, 1, 4), 0.25), torch.eye(4)[[0, 1, 2]].unsqueeze(1)
    found = [float(computation.ROUTING[name](weights)) for weights in (one_head, shared, apart)]
    expected = {
        "entropy": [0, np.log(4), 0], "sparsity": [0, 0.75, 0], "gini": [0.25, 1, 0.25], "consistency": [0, 0, 2 / 3]
    }  # fmt: skip
    assert found == pytest.approx(expected[name], abs=1e-6)


def test_costs_of_gates():
    gates, work = torch.tensor([1.0, 0.5, 0.0]), [1.0, 4.0, 1.0]
    assert computation.COSTS["sum"](gates, work).item() == 1.5
    assert computation.COSTS["flops"](gates, work).item() == pytest.approx((1 + 2) / 2)
    assert computation.COSTS["entropy"](gates, work).item() == pytest.approx(np.log(2))
    numbers = computation.gate_numbers(gates, work)
    assert numbers["gates/effective_depth"] == 1.5 and numbers["gates/open"] == 1 and numbers["gates/layer_1"] == 0.5
    cheap, dear = (assemble(small(model="gated_mlp", price=price, steps=60, lr=0.05)) for price in (0.0, 1.0))
    (*_, free), (*_, priced) = cheap.run(), dear.run()
    assert priced["gates/effective_depth"] < free["gates/effective_depth"] - 0.1


def test_a_loss_in_float64_keeps_what_float32_rounds_away():
    """A margin of 30 nats leaves a loss of 6 exp(-30), whose gradient pulls the right logit up by as much."""
    found = {}
    for precision in ("float32", "float64"):
        objective = assemble(small(precision=precision)).objective
        logits = torch.zeros(1, 7).index_fill_(1, torch.tensor([3]), 30.0).requires_grad_()
        loss = objective.row_losses(logits, torch.tensor([3])).sum()
        loss.backward()
        found[precision] = loss.item(), -logits.grad[0, 3].item()
    assert found["float32"] == (0, 0)
    assert found["float64"] == pytest.approx((6 * np.exp(-30), 6 * np.exp(-30)), rel=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"price": -0.1}, "price is -0.1: use 0 or more"),
        ({"price": 0.1}, "price 0.1 needs a gated network, TokenMLP has no gates"),
        ({"routing": "gini"}, "routing 'gini' needs a routed network"),
        ({"routing": "spectral"}, "routing regulariser 'spectral' is unknown: use one of none, entropy"),
        ({"smoothness": -1.0}, "smoothness is -1: use 0 or more"),
        ({"smooth_radius": 0.0}, "smooth_radius is 0: use a share of p between 0 and 1"),
        ({"cost": "time"}, "cost of gates 'time' is unknown"),
        ({"optimizer": {"kind": "lion"}}, "optimizer 'lion' is unknown"),
        ({"model": "rnn"}, "model family 'rnn' is unknown"),
        ({"batch_size": 100}, "24 training pairs, fewer than the batch size 100"),
        ({"journal": {"every": 0}}, "every is 0"),
        ({"hooks": {"gradient_filter": {"filter": "fourier"}}}, "gradient filter 'fourier' is unknown"),
        ({"network": {"depth": 3}}, "no setting 'depth'"),
        ({"optimizer": {"kind": "sgd", "momentum": 1.0}}, "momentum is 1"),
    ],
)
def test_bad_settings_are_refused_in_one_line(changes, message):
    with pytest.raises(InputError, match=message) as refused:
        assemble(small(**changes))
    assert "\n" not in str(refused.value)


def test_a_part_that_needs_a_table_says_so():
    made = small()
    with pytest.raises(InputError, match="the recipe names none: give it a table"):
        assemble(replace(made, table={}))
    with pytest.raises(InputError, match="a table has no setting 'q': it has p"):
        replace(made, table={"p": 7, "q": 3})
    with pytest.raises(InputError, match="classes of the model is 7: add mod 11 needs 11|vocab_size of the model is 9"):
        assemble(replace(made, table={"p": 11}))

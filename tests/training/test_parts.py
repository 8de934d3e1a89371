"""One contract for every part that a recipe can name: objectives, optimizers, losses, schedules, sources and hooks."""

import json
from dataclasses import replace

import pytest
import torch

from rrm.errors import InputError
from rrm.models import build, describe
from rrm.tasks import get_task
from rrm.tasks.modular import ModularArithmetic
from rrm.tasks.splits import generate_splits
from rrm.training.assemble import assemble
from rrm.training.losses import IGNORED
from rrm.training.part import Context, Data, read_part
from rrm.training.perturbation import TrajectoryPerturbation
from rrm.training.recipe import Recipe
from rrm.training.recipes import cpu_sudoku
from rrm.training.registry import HOOKS, LOSSES, OBJECTIVES, OPTIMIZERS, SCHEDULES, SOURCES

TASK = get_task("sudoku-4x4")
ROWS = 6
MLP = {"family": "mlp", "vocab_size": TASK.vocab_size, "seq_len": TASK.seq_len, "hidden_size": 32}
# A model that each objective trains, and settings with which each hook has work in a short training.
TABLE = {"p": 7, "operations": ("add",), "train_share": 0.5}
TOKENS = {"family": "token_mlp", "vocab_size": 9, "classes": 7, "hidden_size": 8, "mlp_size": 16}
MODELS = {
    "deep_supervision": cpu_sudoku(TASK).model,
    "growing_depth": cpu_sudoku(TASK).model,
    "last_step": cpu_sudoku(TASK, "srm_mlp").model,
    "supervised": MLP,
    "classification": TOKENS,
}
AT_WORK = {
    "dream": {"rounds": 2, "puzzles": 1, "rollouts": 1, "fresh": 2, "verifier": "everything"},
    "flossing": {"preset": "pre_inter", "every": 2, "steps": 1, "k": 1, "segments": 1, "transient": 1},
    "gradient_filter": {"filter": "window", "window": 3},
    "journal": {"every": 2, "memorised": 0.2, "grokked": 0.1},
    "probes": {"every": 2},
    "snapshots": {"every": 3},
    "trials": {"every": 3, "puzzles": 18, "rollouts": 2, "segments": 1},
}
# Sources that ask for a hook, or a hook for a source.
LEARNABILITY = {"kind": "curriculum", "curriculum": {"kind": "learnability"}, "every": 3}
ON_TABLES = {"classification", "rows", "journal"}


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    torch.set_num_threads(1)
    return generate_splits(TASK.name, (25, 8, 8), 0, (6, 9), tmp_path_factory.mktemp("puzzles"))


def context(splits, model, rank=0, world=1):
    torch.manual_seed(0)
    data, table = Data(TASK, splits.train, splits.validation), ModularArithmetic(**TABLE)
    shared = (LOSSES["stablemax"], TrajectoryPerturbation(), ROWS, 0, data, rank, world, table)
    return Context(build(model), *shared, steps=8)


def recipe(model=MODELS["deep_supervision"], evaluations=3, **changes):
    on_table = {"table": TABLE, "source": {"kind": "rows"}} if model is TOKENS else {}
    made = Recipe(model=model, budget=1.0, batch_size=ROWS, evaluations=evaluations, warmup_steps=2, lr=1e-3,
                  **on_table | changes)  # fmt: skip
    with torch.device("meta"):
        return replace(made, budget=8.5 * made.units_per_step(build(made.model)))


def trained(splits, settings, tmp_path=None):
    """A whole training, or with a folder one that is interrupted after its first evaluation and resumed."""
    run = assemble(settings, TASK, splits.train, splits.validation)
    history = run.run()
    metrics = [next(history)]
    if tmp_path:
        run.save(tmp_path, "hash")
        torch.manual_seed(99)
        run = assemble(settings, TASK, splits.train, splits.validation)
        run.load(tmp_path)
        history = run.run()
    metrics += history
    return run, [{name: value for name, value in m.items() if "time/" not in name} for m in metrics]


def goes_on_as_if_never_interrupted(splits, settings, tmp_path):
    """-> the resumed run and its metrics, after comparing both with those of a run that was left alone."""
    (whole, metrics), (resumed, again) = trained(splits, settings), trained(splits, settings, tmp_path)
    assert metrics == again
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    return resumed, metrics


@pytest.mark.parametrize(
    ("registry", "name"),
    [(registry, name) for registry in (OBJECTIVES, OPTIMIZERS, SOURCES) for name in registry],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_settings_are_plain_and_strangers_among_them_are_refused(registry, name):
    field = {id(OBJECTIVES): "objective", id(OPTIMIZERS): "optimizer", id(SOURCES): "source"}[id(registry)]
    model = MODELS.get(name, MODELS["deep_supervision"])
    made = recipe(model, **{field: {"kind": name}})
    assert Recipe(**json.loads(json.dumps(made.to_dict()))) == made and getattr(made, field)["kind"] == name
    with pytest.raises(InputError, match=f"{field} '{name}' has no setting 'tooth': it has"):
        read_part(registry, field, {"kind": name, "tooth": 1})
    with pytest.raises(InputError, match=f"{field} 'none' is unknown: use one of"):
        read_part(registry, field, {"kind": "none"})


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objective(splits, tmp_path, name):
    settings = read_part(OBJECTIVES, "objective", {"kind": name})
    made = context(splits, MODELS[name])
    objective, batch = settings.build(made), SOURCES["rows" if name in ON_TABLES else "uniform"]().build(made).batch(0)
    carry = objective.initial_carry(batch)
    loss, after, outcome = objective(carry, batch, torch.Generator().manual_seed(0))
    loss.backward()
    assert loss.shape == () and any(p.grad.any() for p in objective.model.parameters() if p.grad is not None)
    assert sorted(outcome.rows) == ["halted", "loss", "row", "solved"]
    assert torch.equal(outcome.rows["row"], batch["rows"]) and outcome.rows["row"].dtype == torch.int64
    assert all(len(values) == ROWS and not values.requires_grad for values in outcome.rows.values())
    assert outcome.rows["loss"].mean().item() == pytest.approx(outcome.sums["lm_loss"].item() / ROWS)

    # A carry comes apart into puzzles, and is the same when they are put together or read from its tensors.
    parts = [after.part(slice(0, 2)), after.part(slice(2, ROWS))]
    for again in (type(after).join(parts), objective.initial_carry(batch).replaced(after.tensors())):
        assert again.tensors().keys() == after.tensors().keys()
        assert all(torch.equal(value, again.tensors()[key]) for key, value in after.tensors().items())

    scores = objective.evaluate(objective.model)
    assert objective.rank(scores) == tuple(scores[score] for score in objective.ranking)
    how = objective.how_to_run()
    assert json.loads(json.dumps(how)) == how and how["model"] == describe(objective.model)
    assert settings.units(objective.model, MODELS[name], 1, 10) >= 3
    resumed, metrics = goes_on_as_if_never_interrupted(splits, recipe(MODELS[name], objective={"kind": name}), tmp_path)
    assert metrics[-1]["train/lm_loss"] > 0 and metrics[-1]["call_units"] <= resumed.recipe.budget


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer(splits, tmp_path, name):
    weight = torch.nn.Parameter(torch.tensor([3.0, -2.0]))
    bowl = torch.nn.ParameterDict({"weight": weight})
    optimizer = read_part(OPTIMIZERS, "optimizer", {"kind": name}).build(bowl, 0.1, 0.0)
    for _ in range(200):
        weight.square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert weight.detach().abs().max() < 0.5
    goes_on_as_if_never_interrupted(splits, recipe(MLP, optimizer={"kind": name}), tmp_path)


@pytest.mark.parametrize("name", LOSSES)
def test_loss(name):
    labels = torch.tensor([[2, 0, IGNORED], [1, IGNORED, 3]])
    uniform = torch.full((2, 3, 7), 0.5, requires_grad=True)
    loss = LOSSES[name](uniform, labels)
    nats = torch.tensor(7.0).log().item()
    assert loss.shape == (2, 3) and loss.flatten().tolist() == pytest.approx([nats, nats, 0, nats, 0, nats])
    (gradient,) = torch.autograd.grad(loss.sum(), uniform)
    assert gradient[0, 0, 2] < 0 < gradient[0, 0, 1] and not gradient[0, 2].any()
    right = torch.nn.functional.one_hot(labels.clamp_min(0), 7) * 30.0
    assert LOSSES[name](right, labels).max() < LOSSES[name](right / 2, labels).max() + 1e-6 < nats


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule(name):
    factors = [SCHEDULES[name](step, 100, 10, 0.1) for step in range(1, 101)]
    assert factors[:10] == pytest.approx([step / 10 for step in range(1, 11)])
    assert all(0.1 <= factor <= 1 for factor in factors[10:]) and SCHEDULES[name](1, 1, 0, 1.0) == 1.0


@pytest.mark.parametrize("name", SOURCES)
def test_source(splits, name):
    settings = read_part(SOURCES, "source", {"kind": name})
    whole, again = (settings.build(context(splits, MLP)) for _ in range(2))
    shares = [settings.build(context(splits, MLP, rank, 2)) for rank in range(2)]
    for step in (7, 0, 3):
        batch = whole.batch(step)
        assert sorted({*batch} - {"puzzle_identifiers"}) == ["inputs", "labels", "rows"]
        assert all(len(values) == ROWS and values.dtype == torch.int64 for values in batch.values())
        for key, values in batch.items():
            assert torch.equal(values, torch.cat([share.batch(step)[key] for share in shares])), key
        # What a row is called is the puzzle that it is made of, whatever symmetry was applied.
        if name in ON_TABLES:
            table = ModularArithmetic(**TABLE)
            for key, of_table in (("inputs", table.tokens), ("labels", table.targets)):
                assert (batch[key].numpy() == of_table[table.train][batch["rows"]]).all()
        else:
            # Random labels are those of other puzzles.
            puzzles = whole.puzzles if name == "random_labels" else splits.train
            dealt = (batch[key].numpy().astype("uint8") for key in ("inputs", "labels"))
            named = puzzles.inputs[batch["rows"]], puzzles.labels[batch["rows"]]
            assert (TASK.symmetry_key(*dealt) == TASK.symmetry_key(*named)).all()
        again.load(whole.tensors())
        assert torch.equal(again.batch(step)["inputs"], batch["inputs"])
        rows = {"row": batch["rows"], "loss": torch.ones(ROWS), "solved": torch.ones(ROWS), "halted": torch.ones(ROWS)}
        whole.observe(step + 1, rows)


@pytest.mark.parametrize("name", HOOKS)
def test_hook(splits, tmp_path, name):
    plain = recipe(TOKENS if name in ON_TABLES else MODELS["deep_supervision"])
    hooked = replace(plain, hooks={name: AT_WORK[name]})
    if name == "trials":
        with pytest.raises(InputError, match="the source is none: leave it out"):
            hooked.steps(build(hooked.model))
        hooked = replace(hooked, source=LEARNABILITY, budget=2 * hooked.budget)
    if name == "dream":
        hooked = replace(hooked, source={"kind": "dream"})
    resumed, metrics = goes_on_as_if_never_interrupted(splits, hooked, tmp_path)
    # It charges what it promised, and the training pays for it with steps.
    price = hooked.hook_units(resumed.model, resumed.total_steps)
    steps = resumed.total_steps * hooked.units_per_step(resumed.model)
    assert metrics[-1]["call_units"] == pytest.approx(steps + price) and steps + price <= hooked.budget
    hook = resumed.hooks[name]
    assert json.loads(json.dumps(hook.records)) == hook.records
    assert all("/" in key or key == "learning_rate" for key in hook.metrics())
    assert all(isinstance(value, float) for value in hook.metrics().values())
    with pytest.raises(InputError, match="hook 'none' is unknown: use one of"):
        replace(plain, hooks={"none": {}})


def test_a_source_that_observes_hears_of_every_row(splits):
    run = assemble(recipe(MLP), TASK, splits.train, splits.validation)
    heard, dealt, deal = {}, {}, run.source.batch
    run.source.observes = True
    run.source.observe = lambda step, rows: heard.update({step: rows})
    run.source.batch = lambda step: dealt.setdefault(step + 1, deal(step))
    [*run.run()]
    assert sorted(heard) == list(range(1, 9))
    for step, rows in heard.items():
        assert torch.equal(rows["row"], dealt[step]["rows"]) and rows["halted"].all()


def test_hooks_act_in_their_places(splits, tmp_path):
    """What a gradient filter and a probe need: gradients before the update, and a row for the curve after it."""
    from rrm.curves import CurveFile, read_curves
    from rrm.training.hook import Hook
    from rrm.training.trainer import Trainer

    class Silence(Hook):
        def before_step(self, step):
            assert step == self.training.step

        def after_backward(self, step):
            for parameter in self.training.model.parameters():
                parameter.grad.zero_()

        def after_step(self, step, outcome):
            assert step == self.training.step and len(outcome.rows["row"]) == ROWS
            return {"probe/norm": sum(p.norm().item() for p in self.training.model.parameters())} if step % 3 else None

    made = recipe(MLP, weight_decay=0.0)
    parts = context(splits, made.model)
    objective = made.objective_settings.build(parts)
    before = {name: value.clone() for name, value in objective.model.state_dict().items()}
    curve = CurveFile(tmp_path / "curve.jsonl")
    run = Trainer(made, objective, made.source_settings.build(parts), {"silence": Silence()}, curve=curve)
    [*run.run()]
    assert all(torch.equal(value, before[name]) for name, value in run.model.state_dict().items())
    curve.close()
    curves = read_curves(curve.path)
    assert curves["probe/norm"][0].tolist() == [1, 2, 4, 5, 7, 8]
    assert curves["validation/exact"][0].tolist() == run.evaluation_steps


def test_random_labels_are_the_answers_of_other_puzzles_and_another_order_begins_alike(splits):
    source = read_part(SOURCES, "source", {"kind": "random_labels"}).build(context(splits, MLP))
    wrong, right = source.puzzles.labels, splits.train.labels
    assert sorted(map(bytes, wrong)) == sorted(map(bytes, right)) and (wrong != right).any(1).mean() > 0.8
    one, other = (assemble(recipe(order=order), TASK, splits.train, splits.validation) for order in (0, 1))
    assert all(torch.equal(a, b) for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True))
    assert not torch.equal(one.source.batch(0)["inputs"], other.source.batch(0)["inputs"])

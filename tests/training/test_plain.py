"""A network without recursion through the common trainer: trained, evaluated, stored and resumed."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from rrm.curves import CurveFile, read_curves
from rrm.errors import InputError
from rrm.models import PlainModel, build, describe, recursive
from rrm.tasks import get_task
from rrm.tasks.splits import generate_splits
from rrm.training import checkpoint
from rrm.training.assemble import assemble
from rrm.training.evaluate import predict, puzzle_scores
from rrm.training.recipe import Recipe

TASK = get_task("sudoku-4x4")
MODEL = {"family": "mlp", "vocab_size": TASK.vocab_size, "seq_len": TASK.seq_len, "hidden_size": 128}
RECIPE = Recipe(
    model=MODEL, budget=3 * 16 * 150, batch_size=16, loss="cross_entropy", optimizer={"kind": "adamw"}, lr=3e-3,
    weight_decay=0.01, warmup_steps=10, lr_min_ratio=0.1, ema_decay=0.9, evaluations=3, schedule="cosine",
)  # fmt: skip


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    torch.set_num_threads(1)
    return generate_splits(TASK.name, (64, 32, 16), 0, (11, 13), tmp_path_factory.mktemp("puzzles"))


def trainer(splits, curve=None, **changes):
    return assemble(replace(RECIPE, **changes), TASK, splits.train, splits.validation, curve=curve)


def untimed(history):
    return [{name: value for name, value in metrics.items() if "time/" not in name} for metrics in history]


@pytest.mark.parametrize("micro_batches", [1, 4])
def test_an_mlp_learns_and_resumes_bit_for_bit(splits, tmp_path, micro_batches):
    unbroken, broken = (
        trainer(splits, CurveFile(tmp_path / f"{name}.jsonl"), micro_batches=micro_batches) for name in "ab"
    )
    assert unbroken.recipe.objective == {"kind": "supervised"} and unbroken.total_steps == 150
    metrics = [*unbroken.run()]
    first, last = metrics[0], metrics[-1]
    assert last["train/lm_loss"] < first["train/lm_loss"] < np.log(TASK.vocab_size)
    assert last["validation/cells"] > 0.5 and last["call_units"] == RECIPE.budget
    next(run := broken.run())
    broken.save(tmp_path, "hash")
    next(run)  # which a crash takes
    broken.curve.flush()
    torch.manual_seed(99)
    resumed = trainer(splits, CurveFile(tmp_path / "b.jsonl"), micro_batches=micro_batches)
    initial = {name: value.clone() for name, value in resumed.model.state_dict().items()}
    resumed.load(tmp_path)
    assert untimed(resumed.run()) == untimed(metrics[1:])
    for name, value in unbroken.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name
        assert torch.equal(resumed.ema.shadow[name], unbroken.ema.shadow[name]), name
        assert torch.equal(resumed.initial_weights[name], initial[name]), name
    for run in (unbroken, resumed):
        run.save(tmp_path, "hash")
        curves = read_curves(run.curve.path)
        assert curves["train/loss"][0].tolist() == [50, 100, 150]
        assert curves["train/loss"][1].tolist() == [m["train/loss"] for m in metrics]
    kept = checkpoint.load_tensors(tmp_path / "initial.safetensors")
    assert all(torch.equal(kept[name], value) for name, value in initial.items())


def test_its_checkpoint_is_a_model_that_answers(splits, tmp_path):
    run = trainer(splits)
    last = [*run.run()][-1]
    run.save(tmp_path, "hash")
    model = checkpoint.load_model(tmp_path, "final")
    assert isinstance(model, PlainModel) and describe(model) == {**MODEL, "num_layers": 2}
    assert "segments" not in checkpoint.read_meta(tmp_path)["best"]
    scores = puzzle_scores(model, splits.validation, TASK, None)
    assert scores["exact"].mean() == last["validation/exact"] and not {"q_right", "exact_at_halting"} & scores.keys()
    assert last["train/finished"] == 150 * 16 and "train/segments_per_puzzle" not in last
    assert predict(model, splits.test, TASK, None)["predictions"].shape == splits.test.labels.shape
    with pytest.raises(InputError, match="a study needs a recursive model, and MLP has no recursion"):
        recursive(model, "a study")
    meta = json.loads((tmp_path / "checkpoint.json").read_text())
    meta["final"]["model"]["hidden_size"] = 1 << 20
    (tmp_path / "checkpoint.json").write_text(json.dumps(meta))
    with pytest.raises(InputError, match="hidden_size.*allowed are 1 to"):
        checkpoint.load_model(tmp_path, "final")


def test_tokens_that_are_no_row_are_refused():
    with pytest.raises(ValueError, match="token 6 is no row of the table"):
        build(MODEL)(torch.full((1, 16), 6))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objective": {"kind": "deep_supervision"}}, "objective 'deep_supervision' needs a recursive model"),
        ({"objective": {"kind": "last_step"}}, "objective 'last_step' trains models that start every rollout anew"),
        ({"perturbation": {"kind": "multi4"}}, "objective 'supervised' has no state to perturb"),
        ({"hooks": {"flossing": {"preset": "pre"}}}, "gradient flossing needs a recursive model"),
        ({"model": MODEL | {"num_layers": 0}}, "num_layers is 0: it must be at least 1"),
    ],
)
def test_parts_that_do_not_fit_are_refused(splits, change, message):
    with pytest.raises(InputError, match=message):
        trainer(splits, **change)

"""The training step, the loop around it, and its checkpoints."""

import json
import math
import shutil
from dataclasses import replace

import pytest
import torch

from rrm.errors import InputError
from rrm.models import build
from rrm.tasks import get_task
from rrm.tasks.splits import generate_splits
from rrm.training import checkpoint
from rrm.training.assemble import assemble
from rrm.training.deep_supervision import DeepSupervision, DeepSupervisionSettings
from rrm.training.flossing import flossing
from rrm.training.losses import IGNORED, stablemax_cross_entropy
from rrm.training.objective import Diverged
from rrm.training.perturbation import TrajectoryPerturbation, perturbation
from rrm.training.recipes import cpu_sudoku
from rrm.training.stream import TrainStream, to_batch

TASK = get_task("sudoku-4x4")


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    return generate_splits(TASK.name, (48, 16, 16), 0, (6, 9), tmp_path_factory.mktemp("puzzles"))


def recipe(sigma=0.0, **changes):
    noise = {"kind": "initial_state", "sigma": sigma, "copies": 1}
    settings = {"batch_size": 8, "budget": 12 * 8 * 6, "evaluations": 3, "perturbation": noise} | changes
    return cpu_sudoku(TASK, **settings)


def trainer(splits, **changes):
    torch.set_num_threads(1)
    return assemble(recipe(**changes), TASK, splits.train, splits.validation)


def weights(run):
    return run.model.state_dict()


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_stablemax_loss():
    labels = torch.tensor([[2, 0, IGNORED]])
    uniform = stablemax_cross_entropy(torch.full((1, 3, 7), 1.7), labels)
    assert uniform.dtype == torch.float64 and uniform[0].tolist() == pytest.approx([math.log(7)] * 2 + [0])
    # s(1) = 2, s(0) = 1, s(-1) = 1/2: probabilities 4/7, 2/7, 1/7
    one = stablemax_cross_entropy(torch.tensor([[[1.0, 0.0, -1.0]]]), torch.tensor([[2]]))
    assert one.item() == pytest.approx(math.log(7))


def test_carry_refills_halted_rows_and_keeps_the_others(splits):
    torch.manual_seed(0)
    model = build(recipe().model)
    objective = DeepSupervision(model, TrajectoryPerturbation(), DeepSupervisionSettings(3, 0.0))
    first, second = (to_batch(splits.train.subset(slice(i, i + 4)), TASK) for i in (0, 4))
    generator = torch.Generator().manual_seed(0)
    _, carry, _ = objective(objective.initial_carry(first), first, generator)
    assert torch.equal(carry.data["inputs"], first["inputs"]) and carry.steps.tolist() == [1] * 4
    carry.halted = torch.tensor([False, True, False, False])
    _, carry, _ = objective(carry, second, generator)
    assert torch.equal(carry.data["inputs"][[0, 2, 3]], first["inputs"][[0, 2, 3]])
    assert torch.equal(carry.data["inputs"][1], second["inputs"][1]) and carry.steps.tolist() == [2, 1, 2, 2]
    _, carry, _ = objective(carry, second, generator)
    assert carry.halted.tolist() == [True, False, True, True]  # at the last step, whatever the Q head says


def test_perturbed_rollouts_share_the_row_of_their_puzzle(splits):
    torch.manual_seed(0)
    objective = DeepSupervision(build(recipe().model), TrajectoryPerturbation(0.1, copies=3))
    batch = to_batch(splits.train.subset(slice(0, 8)), TASK)
    _, carry, outcome = objective(objective.initial_carry(batch), batch, torch.Generator())
    assert carry.state.z_H.shape[0] == 32 and len(carry.steps) == 8 and outcome.sums["rows"] == 8


def test_zero_noise_is_the_baseline_bit_for_bit(splits):
    plain, zero = trainer(splits), trainer(splits, perturbation={"kind": "initial_state", "sigma": 0.0, "copies": 3})
    assert [*plain.run()][-1]["train/loss"] == [*zero.run()][-1]["train/loss"]
    assert same(weights(plain), weights(zero))


def test_equal_budget_means_equal_call_units(splits):
    plain, perturbed = trainer(splits), trainer(splits, sigma=0.1)
    assert plain.recipe.units(plain.model, 1, 6) == 6 + 2 * 3
    assert plain.total_steps == 6 and perturbed.total_steps == 3
    last = [[*run.run()][-1] for run in (plain, perturbed)]
    assert last[0]["call_units"] == last[1]["call_units"] and [r["evaluation"] for r in last] == [3, 3]
    assert last[1]["perturbation/realised_sigma"] > 0 == last[0]["perturbation/realised_sigma"]


@pytest.mark.parametrize("sigma", [0.0, 0.1])
def test_interrupted_training_continues_bit_for_bit(splits, tmp_path, sigma):
    changes = {"sigma": sigma, "budget": 12 * 8 * 12}
    unbroken = trainer(splits, **changes)
    metrics = [*unbroken.run()]
    broken = trainer(splits, **changes)
    next(broken.run())
    broken.save(tmp_path, "hash")
    torch.manual_seed(99)  # whatever state the process is in
    resumed = trainer(splits, **changes)
    resumed.load(tmp_path)
    rest = [*resumed.run()]
    assert same(weights(unbroken), weights(resumed)) and same(unbroken.ema.shadow, resumed.ema.shadow)
    assert same(unbroken.best_weights, resumed.best_weights)
    untimed = [[{k: v for k, v in m.items() if "time/" not in k} for m in history] for history in (metrics[1:], rest)]
    assert untimed[0] == untimed[1]


def test_a_step_that_does_not_fit_the_memory_is_done_in_parts(splits, tmp_path, monkeypatch):
    """Bit for bit as if it had been asked for, and so is what resumes."""
    changes = {"sigma": 0.1, "model": "trm_mlp"}
    asked = trainer(splits, **changes, micro_batches=2)
    metrics = [*asked.run()]
    fits, real = 4, DeepSupervision.forward

    def forward(objective, carry, batch, generator):
        loss, *others = real(objective, carry, batch, generator)
        if len(batch["inputs"]) > fits:
            loss.backward()  # some gradients are there already
            raise torch.OutOfMemoryError("tried to allocate 20.00 GiB")
        return loss, *others

    monkeypatch.setattr(DeepSupervision, "forward", forward)
    short = trainer(splits, **changes)
    history = short.run()
    assert next(history)["train/micro_batches"] == 2
    short.save(tmp_path, "hash")
    resumed = trainer(splits, **changes)
    resumed.load(tmp_path)
    assert resumed.micro_batches == 2
    for run, rest in ((short, [*history]), (resumed, [*resumed.run()])):
        assert same(weights(run), weights(asked)) and same(run.ema.shadow, asked.ema.shadow)
        assert rest[-1]["train/loss"] == metrics[-1]["train/loss"]
    fits = 0
    with pytest.raises(torch.OutOfMemoryError):
        next(trainer(splits, **changes).run())


@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="torch.compile needs a C++ compiler")
@pytest.mark.parametrize("changes", [{}, {"perturbation": {"kind": "winner_take_all"}}], ids=["plain", "winner"])
def test_compiled_training_is_the_eager_one_to_rounding(splits, changes):
    runs = [trainer(splits, batch_size=4, evaluations=1, compiled=compiled, **changes) for compiled in (False, True)]
    losses = [next(run.run())["train/loss"] for run in runs]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    eager, compiled = (run.ema.weights(run.model) for run in runs)
    assert eager.keys() == compiled.keys() and not same(eager, compiled)
    assert all(torch.allclose(eager[name], compiled[name], atol=1e-5) for name in eager)


def test_checkpoint_holds_initial_best_and_final_weights(splits, tmp_path):
    run = trainer(splits)
    first = {name: value.clone() for name, value in weights(run).items()}
    metrics = [*run.run()]
    run.save(tmp_path, "hash")
    resumed = trainer(splits)
    resumed.load(tmp_path)
    resumed.save(tmp_path, "hash")
    assert same(checkpoint.load_model(tmp_path, "initial").state_dict(), first)
    final = checkpoint.load_model(tmp_path, "final").state_dict()
    assert same(final, run.ema.weights(run.model)) and not same(final, weights(run))
    best = max(range(3), key=lambda i: (metrics[i]["validation/exact"], metrics[i]["validation/cells"]))
    assert checkpoint.read_meta(tmp_path)["best"]["step"] == metrics[best]["step"]
    assert checkpoint.read_meta(tmp_path)["data_hash"] == "hash"
    curve = [m["validation/exact"] for m in metrics]
    assert checkpoint.read_meta(tmp_path)["curve"] == curve
    assert metrics[-1]["validation/area"] == pytest.approx(sum(curve) / 3)


def test_broken_checkpoints_are_refused(splits, tmp_path):
    run = trainer(splits)
    run.save(tmp_path, "hash")
    with pytest.raises(InputError, match="of another recipe: lr = .*, not 0.5.*start it anew"):
        trainer(splits, lr=0.5).load(tmp_path)
    trainer(splits, micro_batches=2).load(tmp_path)
    state = tmp_path / "training.safetensors"
    checkpoint.save_tensors({"stranger": torch.ones(2)}, state)
    with pytest.raises(InputError, match="not a readable checkpoint of this training .*start it anew"):
        trainer(splits).load(tmp_path)
    path = tmp_path / "best.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="best.safetensors: not a readable safetensors file"):
        checkpoint.load_model(tmp_path)
    path.write_bytes(b"\x80\x04cos\nsystem\n(S'touch stolen'\ntR.")  # a pickle
    with pytest.raises(InputError, match="not a readable safetensors file"):
        checkpoint.load_model(tmp_path)
    meta = json.loads((tmp_path / "checkpoint.json").read_text())
    (tmp_path / "checkpoint.json").write_text(json.dumps(meta | {"version": 7}))
    with pytest.raises(InputError, match="has version 7"):
        checkpoint.load_model(tmp_path)
    with pytest.raises(InputError, match="is not a checkpoint"):
        checkpoint.load_model(tmp_path / "none")


def test_divergence_names_its_step(splits):
    run = trainer(splits, lr=1e30)
    with pytest.raises(Diverged, match="not finite at step 2"):
        list(run.run())


def test_workers_share_each_batch_without_overlap(splits):
    whole = TrainStream(splits.train, TASK, 8, seed=3)
    parts = [TrainStream(splits.train, TASK, 8, seed=3, rank=rank, world=2) for rank in range(2)]
    for step in (0, 5, 6):
        together = torch.cat([part.batch(step)["inputs"] for part in parts])
        assert torch.equal(whole.batch(step)["inputs"], together)
    epoch = {tuple(row.tolist()) for step in range(6) for row in whole.batch(step)["labels"]}
    assert len(epoch) > 40  # an epoch meets different puzzles, not one batch again and again
    with pytest.raises(InputError, match="batch size 8 does not divide among 3 workers"):
        TrainStream(splits.train, TASK, 8, seed=3, rank=0, world=3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: TrajectoryPerturbation(sigma=-0.1), "sigma is -0.1"),
        (lambda: perturbation("earthquake"), "perturbation 'earthquake' is unknown"),
        (lambda: flossing("always"), "flossing schedule 'always' is unknown: use one of none"),
        (lambda: recipe(budget=0), "budget is 0"),
        (lambda: recipe(micro_batches=3), "batch size 8 does not divide into 3 micro-batches"),
        (lambda: replace(recipe(), budget=5.0).steps(build(recipe().model)), "budget 5 pays for 0 steps"),
        (lambda: cpu_sudoku(TASK, "lstm"), "model 'lstm' is unknown"),
    ],
)
def test_bad_settings_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        change()


@pytest.mark.parametrize("model", ["trm_mlp", "hrm"])
def test_one_halting_step_is_training_without_halting(splits, model):
    """As in the public code: every row halts at once, nothing is explored, and q_continue has no target."""
    run = trainer(splits, model=model, halt_max_steps=1)
    metrics = [*run.run()]
    assert metrics[-1]["train/halting_step"] == 1 and math.isfinite(metrics[-1]["train/loss"])
    assert run.recipe.units(run.model, 1, 6) == 6 + 2 * run.model.grad_calls
    objective = DeepSupervision(run.model, TrajectoryPerturbation(), DeepSupervisionSettings(halt_max_steps=1))
    batch = to_batch(splits.train.subset(slice(0, 4)), TASK)
    before = objective.initial_carry(batch)
    _, carry, outcome = objective(before, batch, torch.Generator())
    readout = run.model.readout(carry.state)
    solved = objective.score(readout.logits, batch["labels"]).solved.to(readout.q_halt)
    q_loss = torch.nn.functional.binary_cross_entropy_with_logits(readout.q_halt, solved, reduction="sum")
    assert carry.halted.all() and outcome.sums["q_loss"].item() == pytest.approx(q_loss.item(), rel=1e-5)

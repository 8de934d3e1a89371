"""Training on one to three gloo workers, and in parts, against one process on the whole batch."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from rrm.tasks import get_task
from rrm.tasks.splits import generate_splits
from rrm.training import checkpoint
from rrm.training.assemble import assemble
from rrm.training.recipes import cpu_sudoku
from rrm.training.trainer import Trainer
from tests.workers import run_workers

TASK = get_task("sudoku-4x4")
BATCH, STEPS = 12, 6
BUDGET = 12 * BATCH * STEPS


@dataclass(frozen=True)
class Case:
    """world: workers.  changes of the recipe, and more changes of it for the one process.  rounding of gradients."""

    world: int
    changes: dict = field(default_factory=dict)
    alone: dict = field(default_factory=dict)
    dtype: str = "float32"
    rounding: float = 1e-6


FLOSSING = {"preset": "pre_inter", "every": 2, "steps": 2, "k": 2, "segments": 1}
NOISE = {"kind": "every_call", "sigma": 0.1, "copies": 1}
# Noise and exploration are drawn by worker and part: with as many of both together they are the same.
NOISY = {"perturbation": NOISE, "halt_exploration_prob": 0.5, "budget": BUDGET * 2}
CASES = {
    "1": Case(1),
    "2": Case(2),
    "3": Case(3),
    "1 in 3 parts": Case(1, {"micro_batches": 3}, {"micro_batches": 1}),
    "2 in 2 parts with noise": Case(2, {"micro_batches": 2} | NOISY, {"micro_batches": 4}),
    "2 with a winner": Case(2, {"perturbation": {"kind": "winner_take_all"}, "budget": BUDGET * 3}),
    "2 in 2 parts with a random learner": Case(
        2,
        {"micro_batches": 2} | NOISY | {"perturbation": NOISE | {"start": "fresh", "learns": "random"}},
        {"micro_batches": 4},
    ),
    # With seed 0 a cell of an answer is so close to a tie that rounding by other numbers of rows turns it.
    "2 by Muon": Case(2, {"optimizer": {"kind": "muon"}, "seed": 1}),
    # Flossing comes before the first step: the weights of its gradients are rounded already. With some
    # other seeds flossing makes more of the rounding, 2e-4 of a loss, or a cell of an answer is that close to a tie.
    "2 flossed": Case(2, {"flossing": FLOSSING, "budget": BUDGET * 3, "seed": 2}, rounding=1e-5),
}


def watched(run: Trainer) -> Trainer:
    """A trainer that keeps what it was given, and the gradients of its first step as the optimizer meets them."""
    run.rows, run.gradients, deal = {}, {}, run.source.batch

    def batch(step):
        run.rows[step] = (dealt := deal(step))["inputs"]
        return dealt

    def keep_gradients(*_):
        if not run.gradients:
            run.gradients = {name: value.grad.clone() for name, value in run.model.named_parameters()}

    run.source.batch, run.source.observes, run.heard = batch, True, {}
    run.source.observe = lambda step, rows: run.heard.update({step: rows})
    run.optimizer.register_step_pre_hook(keep_gradients)
    return run


def make(splits, case, rank=0, wrap=None):
    torch.set_num_threads(1)
    plain = {"batch_size": BATCH, "budget": BUDGET, "evaluations": 2, "halt_exploration_prob": 0.0}
    recipe = cpu_sudoku(TASK, **plain | case.changes | ({} if wrap else case.alone))
    model = {"puzzle_emb_len": 1, "puzzle_emb_ndim": 64, "forward_dtype": case.dtype}
    recipe = replace(recipe, model=recipe.model | model)
    together = {"rank": rank, "world": case.world, "wrap": wrap} if wrap else {}
    return watched(assemble(recipe, TASK, splits.train, splits.validation, **together))


def worker(rank: int, folder: str, splits, case: Case) -> None:
    run = make(splits, case, rank, DistributedDataParallel)
    history = run.run()
    metrics = [next(history)]
    Path(folder, "half").mkdir(exist_ok=True)
    run.save(f"{folder}/half", "hash")
    metrics += history
    run.save(folder, "hash")
    assert (metrics == [{}, {}]) == (rank > 0)
    kept = {"metrics": metrics, "rows": run.rows, "gradients": run.gradients, "ema": run.ema.shadow}
    kept["heard"] = run.heard
    torch.save(kept, f"{folder}/rank-{rank}.pt")
    resumed = make(splits, case, rank, DistributedDataParallel)
    dist.barrier()
    resumed.load(folder)
    assert all(torch.equal(a, b) for a, b in zip(resumed.carry.state, run.carry.state, strict=True))


def train_together(folder, case: Case) -> tuple:
    """-> (puzzles, what each worker kept)."""
    splits = generate_splits(TASK.name, (36, 8, 8), 0, (6, 9), folder / "puzzles")
    run_workers(worker, folder, case.world, splits, case)
    return splits, [torch.load(folder / f"rank-{rank}.pt", weights_only=False) for rank in range(case.world)]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_workers_train_what_one_process_trains_on_the_whole_batch(tmp_path, case):
    splits, ranks = train_together(tmp_path, case)
    alone = make(splits, case)
    metrics = [*alone.run()]

    for step, rows in alone.rows.items():
        assert torch.equal(torch.cat([kept["rows"][step] for kept in ranks]), rows), f"rows of step {step}"
    for step, heard in alone.heard.items():
        for kept in ranks:
            assert kept["heard"][step].keys() == heard.keys()
            assert all(torch.equal(kept["heard"][step][name], heard[name]) for name in ("row", "halted")), step
    for kept in ranks:
        assert kept["gradients"].keys() == alone.gradients.keys()
        for name, value in alone.gradients.items():
            assert torch.equal(kept["gradients"][name], ranks[0]["gradients"][name]), name
            assert (kept["gradients"][name] - value).norm() <= case.rounding * value.norm() + 1e-9, name
        for name, value in ranks[0]["ema"].items():
            assert torch.equal(kept["ema"][name], value), name
    for mine, other in zip(ranks[0]["metrics"], metrics, strict=True):
        assert mine.keys() == other.keys()
        for name in (name for name in other if not name.startswith(("time/", "train/micro_batches"))):
            # A difference of two losses is as exact as they are. After some steps, ten times the rounding is left.
            size = abs(other[name.replace("task_loss_jump", "task_loss_before")])
            assert mine[name] == pytest.approx(other[name], abs=max(10 * case.rounding * size, 1e-6)), name

    # Half way, a single process may go on for all of them.
    left = make(splits, replace(case, alone={"micro_batches": 1}))
    left.load(tmp_path / "half")
    assert left.micro_batches == case.world * case.changes.get("micro_batches", 1)
    assert len([*left.run()]) == 1
    together = checkpoint.load_model(tmp_path, "final").state_dict()
    for run in (alone, left):
        for name, value in run.ema.weights(run.model).items():
            assert torch.allclose(together[name], value, atol=2e-6), name
    assert checkpoint.read_meta(tmp_path)["final"]["step"] == metrics[-1]["step"] == alone.total_steps >= 4


def test_workers_differ_in_bfloat16_by_less_than_bfloat16_does(tmp_path):
    """Each worker rounds its own sums over rows; the gradients in float32 give the size of such rounding."""
    case = Case(2, dtype="bfloat16")
    splits, (first, second) = train_together(tmp_path, case)
    alone, wide = make(splits, case), make(splits, replace(case, dtype="float32"))
    for run in (alone, wide):
        next(run.run())
    for name, value in alone.gradients.items():
        together = first["gradients"][name]
        assert torch.equal(together, second["gradients"][name]), name
        assert 2 * (together - value).norm() <= (wide.gradients[name] - value).norm() < 0.05 * value.norm(), name


def test_the_rows_of_an_epoch_are_its_puzzles_each_once():
    """Over all workers and steps of an epoch, whatever their number: no overlap, no loss."""
    from rrm.training.stream import TrainStream

    puzzles = TASK.generate(36, seed=0)
    puzzles = replace(puzzles, puzzle_identifiers=np.arange(36, dtype=puzzles.puzzle_identifiers.dtype))
    for world in (1, 2, 3):
        streams = [TrainStream(puzzles, TASK, BATCH, 0, rank, world) for rank in range(world)]
        seen = [s.batch(step)["puzzle_identifiers"] for step in range(36 // BATCH) for s in streams]
        assert torch.cat(seen).sort().values.tolist() == list(range(36))

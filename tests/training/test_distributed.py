"""Training on one to three gloo workers against one process on the whole batch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

from rrm.tasks import get_task
from rrm.tasks.splits import generate_splits
from rrm.training import checkpoint
from rrm.training.recipes import cpu_sudoku
from rrm.training.trainer import Trainer

TASK = get_task("sudoku-4x4")
BATCH, STEPS = 12, 6

FLOSSING = {"preset": "pre_inter", "every": 2, "steps": 2, "k": 2, "segments": 1}


class Watched(Trainer):
    """A trainer that keeps what it was given, and the gradients of its first step as the optimizer meets them."""

    def __init__(self, *args, **settings):
        super().__init__(*args, **settings)
        self.rows: dict[int, torch.Tensor] = {}
        self.gradients: dict[str, torch.Tensor] = {}
        self.optimizer.register_step_pre_hook(lambda *_: self.keep_gradients())

    def _batch(self, step):
        batch = super()._batch(step)
        if hasattr(self, "rows"):
            self.rows[step] = batch["inputs"]
        return batch

    def keep_gradients(self):
        if not self.gradients:
            self.gradients = {name: value.grad.clone() for name, value in self.model.named_parameters()}


def make(splits, flossing, rank=0, world=1, wrap=lambda objective: objective):
    torch.set_num_threads(1)
    # Exploration is drawn per worker, so a comparison with one process does without it.
    budget = 12 * BATCH * STEPS
    recipe = cpu_sudoku(TASK, batch_size=BATCH, budget=budget, evaluations=2, halt_exploration_prob=0.0)
    if flossing != "none":
        recipe = replace(recipe, flossing=flossing, budget=budget * 3)
    recipe = replace(recipe, model=recipe.model | {"puzzle_emb_len": 1, "puzzle_emb_ndim": 64})
    return Watched(recipe, TASK, splits.train, splits.validation, rank=rank, world=world, wrap=wrap)


def worker(rank: int, world: int, folder: str, splits, flossing) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world)
    run = make(splits, flossing, rank, world, DistributedDataParallel)
    metrics = [*run.run()]
    run.save(folder, "hash")
    assert (metrics == [{}, {}]) == (rank > 0)
    kept = {"metrics": metrics, "rows": run.rows, "gradients": run.gradients, "ema": run.ema.shadow}
    torch.save(kept, f"{folder}/rank-{rank}.pt")
    resumed = make(splits, flossing, rank, world, DistributedDataParallel)
    dist.barrier()
    resumed.load(folder)
    assert all(torch.equal(a, b) for a, b in zip(resumed.carry.state, run.carry.state, strict=True))
    dist.destroy_process_group()


CASES = {"1": (1, "none"), "2": (2, "none"), "3": (3, "none"), "2-flossed": (2, FLOSSING)}


@pytest.mark.parametrize(("world", "flossing"), CASES.values(), ids=CASES)
def test_workers_train_what_one_process_trains_on_the_whole_batch(tmp_path, world, flossing):
    splits = generate_splits(TASK.name, (36, 8, 8), 0, (6, 9), tmp_path / "puzzles")
    mp.spawn(worker, args=(world, str(tmp_path), splits, flossing), nprocs=world)
    ranks = [torch.load(tmp_path / f"rank-{rank}.pt", weights_only=False) for rank in range(world)]
    alone = make(splits, flossing)
    metrics = [*alone.run()]
    # Flossing comes before the first step: the weights of its gradients are rounded already. Metrics, steps later, may
    # differ by ten times as much.
    rounding = 1e-6 if flossing == "none" else 1e-5

    for step, rows in alone.rows.items():
        assert torch.equal(torch.cat([kept["rows"][step] for kept in ranks]), rows), f"rows of step {step}"
    for kept in ranks:
        assert kept["gradients"].keys() == alone.gradients.keys()
        for name, value in alone.gradients.items():
            assert torch.equal(kept["gradients"][name], ranks[0]["gradients"][name]), name
            assert (kept["gradients"][name] - value).norm() <= rounding * value.norm() + 1e-9, name
        for name, value in ranks[0]["ema"].items():
            assert torch.equal(kept["ema"][name], value), name
    for mine, other in zip(ranks[0]["metrics"], metrics, strict=True):
        assert mine.keys() == other.keys()
        for name in (name for name in other if not name.startswith("time/")):
            # A difference of two losses is as exact as they are.
            size = abs(other[name.replace("task_loss_jump", "task_loss_before")])
            assert mine[name] == pytest.approx(other[name], abs=max(10 * rounding * size, 1e-6)), name

    together = checkpoint.load_model(tmp_path, "final").state_dict()
    for name, value in alone.ema.weights(alone.model).items():
        assert torch.allclose(together[name], value, atol=2e-6), name
    assert checkpoint.read_meta(tmp_path)["final"]["step"] == metrics[-1]["step"] == alone.total_steps >= 4


def test_the_rows_of_an_epoch_are_its_puzzles_each_once():
    """Over all workers and steps of an epoch, whatever their number: no overlap, no loss."""
    from rrm.training.stream import TrainStream

    puzzles = TASK.generate(36, seed=0)
    puzzles = replace(puzzles, puzzle_identifiers=np.arange(36, dtype=puzzles.puzzle_identifiers.dtype))
    for world in (1, 2, 3):
        streams = [TrainStream(puzzles, TASK, BATCH, 0, rank, world) for rank in range(world)]
        seen = [s.batch(step)["puzzle_identifiers"] for step in range(36 // BATCH) for s in streams]
        assert torch.cat(seen).sort().values.tolist() == list(range(36))

"""Training on two gloo workers against one process on the whole batch."""

from dataclasses import replace

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


FLOSSING = {"preset": "pre_inter", "every": 2, "steps": 2, "k": 2, "segments": 1}


def make(splits, flossing, rank=0, world=1, wrap=lambda objective: objective):
    torch.set_num_threads(1)
    # Exploration is drawn per worker, so a comparison with one process does without it.
    recipe = cpu_sudoku(TASK, batch_size=8, budget=12 * 8 * 4, evaluations=2, halt_exploration_prob=0.0)
    if flossing != "none":
        recipe = replace(recipe, flossing=flossing, budget=12 * 8 * 14)
    recipe = replace(recipe, model=recipe.model | {"puzzle_emb_len": 1, "puzzle_emb_ndim": 64})
    return Trainer(recipe, TASK, splits.train, splits.validation, rank=rank, world=world, wrap=wrap)


def worker(rank: int, world: int, folder: str, splits, flossing) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world)
    run = make(splits, flossing, rank, world, DistributedDataParallel)
    metrics = [*run.run()]
    run.save(folder, "hash")
    assert (metrics == [{}, {}]) == (rank > 0)
    resumed = make(splits, flossing, rank, world, DistributedDataParallel)
    dist.barrier()
    resumed.load(folder)
    assert all(torch.equal(a, b) for a, b in zip(resumed.carry.state, run.carry.state, strict=True))
    dist.destroy_process_group()


@pytest.mark.parametrize("flossing", ["none", FLOSSING], ids=["plain", "flossed"])
def test_two_workers_train_what_one_process_trains_on_the_whole_batch(tmp_path, flossing):
    splits = generate_splits(TASK.name, (32, 8, 8), 0, (6, 9), tmp_path / "puzzles")
    mp.spawn(worker, args=(2, str(tmp_path), splits, flossing), nprocs=2)
    alone = make(splits, flossing)
    metrics = [*alone.run()][-1]
    together = checkpoint.load_model(tmp_path, "final").state_dict()
    for name, value in alone.ema.weights(alone.model).items():
        assert torch.allclose(together[name], value, atol=2e-6), name
    assert checkpoint.read_meta(tmp_path)["final"]["step"] == metrics["step"] == alone.total_steps >= 4

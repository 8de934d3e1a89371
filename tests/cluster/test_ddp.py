"""DDP through Ray: what the process group opens, and workers that run out of memory."""

import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from rrm.cluster.capacity import Request
from rrm.cluster.process_group import join_group
from rrm.cluster.trial import Job, train_trial, workers_left
from rrm.jobs.spec import Preset
from rrm.tasks import get_task
from rrm.tasks.splits import generate_splits
from rrm.training import checkpoint
from rrm.training.assemble import assemble
from rrm.training.deep_supervision import DeepSupervision
from rrm.training.recipes import cpu_sudoku
from tests.cluster.test_session import beyond, listeners
from tests.sweeps import recipes_of

TASK = get_task("sudoku-4x4")
BATCH, STEPS, FITS = 12, 6, 3


def member(rank: int, folder: str) -> None:
    join_group(rank, {"backend": "gloo", "init_method": f"file://{folder}/store", "world_size": 2})
    total = torch.ones(1)
    dist.all_reduce(total)
    found = listeners(os.getpid())
    assert total == 2 and found and not beyond(found), found
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads /proc")
def test_workers_of_one_machine_listen_on_loopback_alone(tmp_path):
    mp.spawn(member, args=(str(tmp_path),), nprocs=2)


def test_workers_that_the_cluster_still_holds():
    need = {"CPU": 0.99, "GPU": 1}
    assert workers_left(4, need, {"CPU": 16, "GPU": 4}) == 4
    assert workers_left(4, need, {"CPU": 16, "GPU": 3}) == 2  # which share the batch as evenly
    assert workers_left(3, need, {"CPU": 2, "GPU": 8}) == 1
    assert workers_left(4, need, {"CPU": 16}) == 4  # and wait


def small(config, task, preset, seed):
    return cpu_sudoku(task, batch_size=BATCH, budget=12 * BATCH * STEPS, evaluations=2, halt_exploration_prob=0.0)


def small_and_short_of_memory(config, task, preset, seed):
    """Called where it trains: from then on `FITS` puzzles fit the memory there."""
    real = DeepSupervision.forward

    def forward(objective, carry, batch, generator):
        if len(batch["inputs"]) > FITS:
            raise torch.OutOfMemoryError("tried to allocate 20.00 GiB")
        return real(objective, carry, batch, generator)

    DeepSupervision.forward = forward
    return small(config, task, preset, seed)


def test_workers_that_run_out_of_memory_go_on_with_smaller_parts(cluster, tmp_path):
    import ray
    from ray import tune

    splits = generate_splits(TASK.name, (36, 8, 8), 0, (6, 9), tmp_path / "puzzles")
    request = Request(workers=2, cpus=0.5)
    preset = Preset(1, 1, STEPS, 2, TASK.name, (6, 9), 36, 8, 8)
    job = Job(recipes_of(small_and_short_of_memory, preset, tmp_path), request, str(tmp_path / "train"))
    stored = {"": ray.put(splits)}
    (result,) = tune.Tuner(
        tune.with_resources(lambda config: train_trial(config, job, stored), {"cpu": 0.01}),
        param_space={"model": "trm_mlp", "seed": 0, "trial": 0},
        run_config=tune.RunConfig(name="tune", storage_path=str(tmp_path), verbose=0),
    ).fit()
    assert not result.error
    assert result.metrics["step"] == STEPS and result.metrics["train/micro_batches"] == 2
    alone = assemble(small({}, TASK, None, 0), TASK, splits.train, splits.validation)
    assert [*alone.run()][-1]["train/loss"] == pytest.approx(result.metrics["train/loss"], rel=1e-5)
    together = checkpoint.load_tensors(Path(result.metrics["checkpoint_path"]) / "final.safetensors")
    for name, value in alone.ema.weights(alone.model).items():
        assert torch.allclose(together[name], value, atol=2e-6), name

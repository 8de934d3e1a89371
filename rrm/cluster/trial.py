"""One trial: the training loop of `rrm.training` with Tune's or Train's way to report and to resume."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from rrm.cluster.session import Request
from rrm.cluster.spec import OBJECTIVES, Preset
from rrm.dynamics.success import success_lambda_1
from rrm.errors import InputError
from rrm.tasks import get_task
from rrm.tasks.base import PuzzleSet
from rrm.tasks.splits import Splits
from rrm.training.trainer import Trainer, more_micro_batches

# A coordinator of DDP workers only waits. Ray grants it no less than a little, which is taken off its workers' share:
# a whole CPU of its own could leave the workers of the last trial without one, and all would wait for ever.
COORDINATOR_CPU = 0.01

# The report of a trial that began again says here what is wrong with its checkpoint.
DAMAGE = "damaged_checkpoint"

# Validation puzzles on which a trial is asked for the stability of its successes.
STABILITY_PUZZLES = 64


@dataclass(frozen=True)
class Job:
    """What all trials of a sweep share; `objectives` are names of `rrm.cluster.spec.OBJECTIVES`."""

    recipe: Callable
    preset: Preset
    data_hash: str
    request: Request
    storage: str
    objectives: tuple[str, ...] = ("accuracy",)


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _train(
    job: Job, config: dict, splits: Splits, module, wrap=lambda objective: objective, micro_batches: int = 1
) -> None:
    """Train with the report and checkpoint functions of `module`, ray.tune or ray.train.

    `micro_batches`: as many or more than in the recipe.
    """
    torch.set_num_threads(max(1, int(job.request.cpus)))
    rank, world = 0, 1
    if job.request.workers > 1:
        context = module.get_context()
        rank, world = context.get_world_rank(), context.get_world_size()
    task = get_task(splits.train.task)

    recipe = job.recipe(config, task, job.preset, config["seed"])
    recipe = replace(recipe, micro_batches=max(recipe.micro_batches, micro_batches))

    def fresh() -> Trainer:
        return Trainer(
            recipe, task, splits.train, splits.validation, rank=rank, world=world, device=_device(), wrap=wrap
        )

    trainer, damage = fresh(), {}
    if previous := module.get_checkpoint():
        with previous.as_directory() as folder:
            try:
                trainer.load(folder)
            except InputError as error:
                # Half loaded, it is not what it was.
                trainer, damage = fresh(), {DAMAGE: str(error)}
    for metrics in trainer.run():
        if rank == 0:
            metrics |= damage
        if rank == 0 and "success_lambda_1" in job.objectives:
            metrics[OBJECTIVES["success_lambda_1"][0]] = _stability(trainer, splits.validation)
        with tempfile.TemporaryDirectory() as folder:
            trainer.save(folder, job.data_hash)
            # Every worker reports, for it is a barrier; the first one brings the checkpoint.
            checkpoint = module.Checkpoint.from_directory(folder) if rank == 0 else None
            module.report(metrics, checkpoint=checkpoint)


def _stability(trainer: Trainer, validation: PuzzleSet) -> float:
    """`success_lambda_1` of the averaged weights at the end of the budget; nan before it, for Tune wants a value."""
    if trainer.step < trainer.total_steps:
        return float("nan")
    puzzles = validation.subset(np.arange(min(STABILITY_PUZZLES, len(validation))))
    return success_lambda_1(trainer.averaged, puzzles, trainer.task, trainer.segments)


def train_trial(config: dict, job: Job, splits: Splits) -> None:
    """A Tune trainable: trains in this process, or coordinates `job.request.workers` DDP workers."""
    if job.request.workers == 1:
        from ray import tune

        return _train(job, config, splits, tune)
    return _coordinate(config, job, splits)


def _coordinate(config: dict, job: Job, splits: Splits) -> None:
    import ray.train
    from ray import tune
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback
    from ray.util import get_node_ip_address
    from torch.nn.parallel import DistributedDataParallel

    from rrm.cluster.process_group import LocalTorchConfig

    backend = "nccl" if job.request.gpus else "gloo"

    def worker(settings: dict) -> None:
        _train(job, settings["config"], splits, ray.train, DistributedDataParallel, settings["micro_batches"])

    resources = {"CPU": job.request.cpus - COORDINATOR_CPU} | ({"GPU": job.request.gpus} if job.request.gpus else {})

    def train(micro_batches: int, folder: str) -> None:
        # A Ray that listens on the loopback interface alone has no other machine.
        local = get_node_ip_address() == "127.0.0.1"
        TorchTrainer(
            worker,
            train_loop_config={"config": config, "micro_batches": micro_batches},
            torch_config=LocalTorchConfig(backend, folder=folder) if local else TorchConfig(backend),
            scaling_config=ray.train.ScalingConfig(
                num_workers=job.request.workers, use_gpu=job.request.gpus > 0, resources_per_worker=resources
            ),
            run_config=ray.train.RunConfig(
                # The trial's own name: a retried trial resumes its job, another trial never meets it.
                name=f"train-{tune.get_context().get_trial_id()}",
                storage_path=job.storage,
                callbacks=[TuneReportCallback()],
                failure_config=ray.train.FailureConfig(max_failures=1, controller_failure_limit=3),
                checkpoint_config=ray.train.CheckpointConfig(num_to_keep=2),
            ),
        ).fit()

    recipe = job.recipe(config, get_task(splits.train.task), job.preset, config["seed"])
    micro_batches = recipe.micro_batches
    while True:
        try:
            with tempfile.TemporaryDirectory() as folder:
                return train(micro_batches, folder)
        except ray.train.TrainingFailedError as error:
            # The one that ran out of memory could not go on alone, for the others were waiting for its gradients.
            more = more_micro_batches(recipe.share(job.request.workers), micro_batches)
            if "OutOfMemoryError" not in str(error) or not more:
                raise
            micro_batches = more

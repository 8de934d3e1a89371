"""One trial: the training loop of `rrm.training` with Tune's or Train's way to report and to resume."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from rrm.cluster.session import Request
from rrm.dynamics.success import success_lambda_1
from rrm.errors import InputError
from rrm.jobs.spec import OBJECTIVES, Preset
from rrm.models import recursive
from rrm.tasks import Task, get_task
from rrm.tasks.base import PuzzleSet
from rrm.tasks.splits import Splits
from rrm.training import interventions
from rrm.training.assemble import assemble
from rrm.training.memory import more_micro_batches
from rrm.training.recipe import Recipe
from rrm.training.trainer import Trainer, unwrapped

# A coordinator of DDP workers only waits. Ray grants it no less than a little, which is taken off its workers' share:
# a whole CPU of its own could leave the workers of the last trial without one, and all would wait for ever.
COORDINATOR_CPU = 0.01

# Within this time Ray has noticed that a node is gone.
NODE_LOSS_S = 20

# The report of a trial that began again says here what is wrong with its checkpoint.
DAMAGE = "damaged_checkpoint"

# Validation puzzles on which a trial is asked for the stability of its successes.
STABILITY_PUZZLES = 64


@dataclass(frozen=True)
class Job:
    """What all trials of a sweep share; `objectives` are names of `rrm.jobs.spec.OBJECTIVES`.

    recipe, arm, baseline: as in `rrm.jobs.spec.SweepSpec`.
    """

    recipe: Callable
    preset: Preset
    data_hash: str
    request: Request
    storage: str
    objectives: tuple[str, ...] = ("accuracy",)
    arm: Callable | None = None
    baseline: str = "baseline"

    def arm_of(self, config: dict, recipe: Recipe) -> dict:
        """Name, baseline flag and settings of a configuration's arm, as plain values: `SweepPoint` without scores."""
        found = interventions.summary(recipe)
        name = self.arm(config, recipe) if self.arm else config.get("arm") or interventions.name_of(**found)
        free = {key: value for key, value in config.items() if key not in ("model", "seed", "trial", "arm")}
        return {"arm": name, "baseline": name == self.baseline, "settings": free | found}

    def recipe_of(self, config: dict, task: Task) -> Recipe:
        """What a trial with this configuration trains."""
        return self.recipe(config, task, self.preset, config["seed"])


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _train(job: Job, config: dict, splits: Splits, module, wrap=unwrapped, micro_batches: int = 1) -> None:
    """Train with the report and checkpoint functions of `module`, ray.tune or ray.train.

    `micro_batches`: as many or more than in the recipe.
    """
    torch.set_num_threads(max(1, int(job.request.cpus)))
    rank, world = 0, 1
    if job.request.workers > 1:
        context = module.get_context()
        rank, world = context.get_world_rank(), context.get_world_size()
    task = get_task(splits.train.task)

    recipe = job.recipe_of(config, task)
    recipe = replace(recipe, micro_batches=max(recipe.micro_batches, micro_batches))

    def fresh() -> Trainer:
        return assemble(
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
    model, segments = recursive(trainer.averaged, "success_lambda_1"), trainer.objective.how_to_run()["segments"]
    return success_lambda_1(model, puzzles, get_task(puzzles.task), segments)


def train_trial(config: dict, job: Job, stored) -> None:
    """A Tune trainable: trains in this process, or coordinates `job.request.workers` DDP workers.

    stored: the Splits in Ray's object store
    """
    if job.request.workers == 1:
        import ray
        from ray import tune

        return _train(job, config, ray.get(stored), tune)
    return _coordinate(config, job, stored)


def _coordinate(config: dict, job: Job, stored) -> None:
    """Train a trial on DDP workers, again from its last checkpoint when they fail: once, or whenever memory runs out.

    One that runs out of memory cannot go on by itself, for the others wait for its gradients. Parts of a batch are
    counted over all workers: as long as they stay the same, so does the training, on however many workers.
    """
    import ray.train
    from ray import tune
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback
    from ray.util import get_node_ip_address
    from torch.nn.parallel import DistributedDataParallel

    from rrm.cluster.process_group import LocalTorchConfig

    request, backend = job.request, "nccl" if job.request.gpus else "gloo"
    need = {"CPU": request.cpus - COORDINATOR_CPU} | ({"GPU": request.gpus} if request.gpus else {})
    name = f"train-{tune.get_context().get_trial_id()}"  # a retried trial resumes its job, another trial never meets it

    def worker(settings: dict) -> None:
        _train(job, settings["config"], ray.get(stored), ray.train, DistributedDataParallel, settings["micro_batches"])

    def train(workers: int, micro_batches: int, folder: str) -> None:
        # A Ray that listens on the loopback interface alone has no other machine.
        local = get_node_ip_address() == "127.0.0.1"
        TorchTrainer(
            worker,
            train_loop_config={"config": config, "micro_batches": micro_batches},
            torch_config=LocalTorchConfig(backend, folder=folder) if local else TorchConfig(backend),
            scaling_config=ray.train.ScalingConfig(
                num_workers=workers, use_gpu=request.gpus > 0, resources_per_worker=need
            ),
            run_config=ray.train.RunConfig(
                name=name,
                storage_path=job.storage,
                callbacks=[TuneReportCallback()],
                failure_config=ray.train.FailureConfig(controller_failure_limit=3),
                checkpoint_config=ray.train.CheckpointConfig(num_to_keep=2),
            ),
        ).fit()

    recipe = job.recipe_of(config, get_task(ray.get(stored).train.task))
    parts, failures = request.workers * recipe.micro_batches, 1
    begun = Path(job.storage, name).exists()
    workers = workers_left(request.workers, need, ray.cluster_resources()) if begun else request.workers
    while True:
        try:
            with tempfile.TemporaryDirectory() as folder:
                return train(workers, parts // workers, folder)
        except ray.train.TrainingFailedError as error:
            more = more_micro_batches(recipe.batch_size // workers, parts // workers)
            if "OutOfMemoryError" in str(error) and more:
                parts = workers * more
                continue
            if not failures:
                raise
            failures -= 1
        if len(ray.nodes()) > 1:
            time.sleep(NODE_LOSS_S)
        workers = workers_left(request.workers, need, ray.cluster_resources())


def workers_left(asked: int, need: dict[str, float], resources: dict[str, float]) -> int:
    """How many workers train a trial that begins again: the largest divisor of `asked` that the cluster still holds.

    With none it is `asked`, and they wait for nodes.
    """
    held = min(int(resources.get(name, 0) / amount + 1e-9) for name, amount in need.items())
    return next((count for count in range(min(asked, held), 0, -1) if asked % count == 0), asked)

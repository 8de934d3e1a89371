"""One trial: the training loop of `rrm.training`, with the reports and checkpoints of Tune or Train."""

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from rrm.cluster.capacity import Request
from rrm.cluster.spread import spread_over_tasks
from rrm.curves import CurveFile, curve_path
from rrm.errors import InputError
from rrm.jobs.folder import ROUNDS
from rrm.jobs.naming import trial_name
from rrm.jobs.objectives import SearchObjective
from rrm.jobs.recipes import Recipes, TrialRecipe
from rrm.jobs.spec import Config
from rrm.tasks import get_task
from rrm.tasks.splits import Splits
from rrm.training.dream.shards import Kept
from rrm.training.memory import more_micro_batches
from rrm.training.spread import here
from rrm.training.trainer import Trainer, unwrapped

if TYPE_CHECKING:
    import ray

# CPUs of the coordinator of DDP workers, which only waits; they are taken from the share of its workers. With a whole
# CPU the coordinator could take the last one from its own workers, and the trial would wait for ever.
COORDINATOR_CPU = 0.01

# Ray notices the loss of a node within this time.
NODE_LOSS_S = 20

# Key in the report of a trial that began again: the damage of its checkpoint.
DAMAGE = "damaged_checkpoint"


@dataclass(frozen=True)
class Job:
    """The parts that all trials of a sweep share.

    Attributes:
        recipes: the recipe of each trial.
        request: resources of a trial.
        storage: folder in which Ray Train keeps the trials of several workers.
        objectives: the objectives of the search, by name.
    """

    recipes: Recipes
    request: Request
    storage: str
    objectives: Mapping[str, SearchObjective] = field(default_factory=dict)

    def trial(self, config: Config) -> TrialRecipe:
        """The recipe for a worker: from the folder of the job, or for a trial of an older rrm, from the spec.

        The driver writes down the same; a worker leaves the folder alone.
        """
        return self.recipes.known(config) or self.recipes.make(config)


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _train(
    job: Job,
    config: Config,
    splits: Splits | None,
    module: Any,
    wrap: Callable[[nn.Module], nn.Module] = unwrapped,
    micro_batches: int = 1,
) -> None:
    """Train with the report and checkpoint functions of `module`, ray.tune or ray.train.

    `micro_batches`: as many or more than in the recipe.
    """
    torch.set_num_threads(max(1, int(job.request.cpus)))
    rank, world = 0, 1
    if job.request.workers > 1:
        context = module.get_context()
        rank, world = context.get_world_rank(), context.get_world_size()
    trial = job.trial(config)
    recipe = replace(trial.recipe, micro_batches=max(trial.recipe.micro_batches, micro_batches))

    data = (get_task(splits.train.task), splits.train, splits.validation) if splits else (None, None, None)
    curve = CurveFile(curve_path(job.recipes.folder, trial_name(config))) if rank == 0 else None

    pieces = job.recipes.folder / ROUNDS / trial_name(config)

    def fresh() -> Trainer:
        made = job.recipes.trainer(recipe, *data, rank=rank, world=world, device=_device(), wrap=wrap, curve=curve)
        for hook in made.hooks.values():
            # A task has no GPU.
            hook.spread = Kept(pieces, spread_over_tasks if _device() == "cpu" else here)
        return made

    trainer, damage = fresh(), {}
    previous = module.get_checkpoint()
    if previous:
        with previous.as_directory() as folder:
            try:
                trainer.load(folder)
            except InputError as error:
                # A half loaded trainer is in no defined state.
                trainer, damage = fresh(), {DAMAGE: str(error)}
    if curve and not trainer.step:
        curve.cut(-1)  # the rows of an attempt that left no checkpoint, or a damaged one
    for metrics in trainer.run():
        report: dict[str, Any] = metrics
        if rank == 0:
            report = metrics | damage | _measured(job, trainer)
        with tempfile.TemporaryDirectory() as folder:
            trainer.save(folder, "" if trial.data is None else job.recipes.keys.hashes[trial.data])
            # A report is a barrier, so every worker makes one; only the first brings the checkpoint.
            checkpoint = module.Checkpoint.from_directory(folder) if rank == 0 else None
            if trainer.step >= trainer.total_steps:
                # Behind the last report there may be no time left.
                shutil.rmtree(pieces, ignore_errors=True)
            module.report(report, checkpoint=checkpoint)


def _measured(job: Job, trainer: Trainer) -> dict[str, float]:
    """The objectives that are measured at the end of a training; nan before, because Tune wants a value."""
    over = trainer.step >= trainer.total_steps
    return {
        objective.metric: objective.measure(trainer) if over else nan
        for objective in job.objectives.values()
        if objective.measure
    }


def train_trial(config: Config, job: Job, stored: "Mapping[str, ray.ObjectRef]") -> None:
    """A Tune trainable: trains in this process, or coordinates `job.request.workers` DDP workers.

    stored: the Splits in Ray's object store, by key
    """
    if job.request.workers == 1:
        from ray import tune

        return _train(job, config, _fetch(job, config, stored), tune)
    return _coordinate(config, job, stored)


def _fetch(job: Job, config: Config, stored: "Mapping[str, ray.ObjectRef]") -> Splits | None:
    """The puzzles of a trial; None where its objective brings its own data."""
    import ray

    key = job.trial(config).data
    return None if key is None else ray.get(stored[key])


def _coordinate(config: Config, job: Job, stored: "Mapping[str, ray.ObjectRef]") -> None:
    """Train a trial on DDP workers, again from its last checkpoint when they fail: once, or whenever memory runs out.

    A worker that runs out of memory cannot go on alone, because the others wait for its gradients. The training depends
    on the total number of micro-batches over all workers, not on the number of workers.
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
    name = f"train-{tune.get_context().get_trial_id()}"  # a retried trial resumes its run; no other has the name

    def worker(settings: dict[str, Any]) -> None:
        splits = _fetch(job, settings["config"], stored)
        _train(job, settings["config"], splits, ray.train, DistributedDataParallel, settings["micro_batches"])

    # Of the second version of Train; its types are those of the first.
    limits: dict[str, Any] = {"controller_failure_limit": 3}
    callbacks: list[Any] = [TuneReportCallback()]

    def train(workers: int, micro_batches: int, folder: str) -> None:
        # A Ray on the loopback interface has one machine only.
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
                checkpoint_config=ray.train.CheckpointConfig(num_to_keep=2),
                failure_config=ray.train.FailureConfig(**limits),
                callbacks=callbacks,
            ),
        ).fit()

    recipe = job.trial(config).recipe
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
    """The number of workers for a trial that begins again: the largest divisor of `asked` that the cluster still holds.

    If it holds none, `asked` workers wait for nodes.
    """
    held = min(int(resources.get(name, 0) / amount + 1e-9) for name, amount in need.items())
    return next((count for count in range(min(asked, held), 0, -1) if asked % count == 0), asked)

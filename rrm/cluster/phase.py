"""The training of a list of trials with Ray Tune: a search, or fixed configurations."""

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import ray
from ray import tune
from ray.air.constants import EXPR_PARAM_FILE
from ray.tune.logger import JsonLoggerCallback

from rrm.cluster.callbacks import TableCallback, TrackingCallback
from rrm.cluster.search import CLOCK, AtOnce, BaselinesFirst, scheduler
from rrm.cluster.session import environment, stop_on_signals
from rrm.cluster.trial import COORDINATOR_CPU, Job, train_trial
from rrm.cluster.tune_state import KeepState, restore
from rrm.jobs.folder import JobFolder
from rrm.jobs.naming import trial_name
from rrm.jobs.spec import OBJECTIVES
from rrm.tasks import Task
from rrm.tasks.splits import Splits
from rrm.tracking import Tracker
from rrm.training.checkpoint import read_meta

STATE_S = 0.05  # between two copies of Tune's state, for each trial: 0.7 s with 14 trials, 26 s with 512


@dataclass(frozen=True)
class Description:
    """(parameters, tags) of a trial's run. Tune writes it into its state again and again: no puzzles in here."""

    job: Job
    task: Task
    tags: dict[str, str]

    def __call__(self, config: dict) -> tuple[dict, dict]:
        recipe = self.job.recipe_of(config, self.task)
        arm = self.job.arm_of(config, recipe)
        tags = {"arm": arm["arm"], "baseline": arm["baseline"], "settings": json.dumps(arm["settings"])}
        tags |= {name: value for name, value in arm["settings"].items() if name not in tags}
        tags |= {"model": config["model"], "seed": config["seed"]}
        return config | {"recipe": recipe.to_dict()}, {f"rrm.{k}": str(v) for k, v in tags.items()} | self.tags


@dataclass(frozen=True)
class Training:
    """What the phases of a sweep share."""

    describe: Description
    splits: Splits
    folder: JobFolder
    tracker: Tracker
    at_once: int
    verbose: bool

    @cached_property
    def _stored(self) -> ray.ObjectRef:
        return ray.put(self.splits)

    def run(self, name: str, search: BaselinesFirst, count: int, fixed: float) -> list[dict]:
        """Run `count` trials, or carry on with them; -> plain records of them, by name.

        Tune keeps its files in the folder `name`. Trials whose number is below
        `fixed` are never stopped early.
        """
        job, trainable = self.describe.job, self._trainable()
        path = self.folder.path / name
        # Without its state the driver died before Tune knew any trial: there is nothing to restore.
        known = restore(path)
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                num_samples=count,
                search_alg=AtOnce(search, self.at_once),
                scheduler=scheduler(job.preset.evaluations, fixed, job.objectives),
                # A trial that waits for DDP workers cannot be reset for another.
                reuse_actors=job.request.workers == 1,
                trial_dirname_creator=lambda trial: trial_name(trial.config),
            ),
            run_config=tune.RunConfig(
                name=name,
                storage_path=str(self.folder.path),
                verbose=1 if self.verbose else 0,
                callbacks=[
                    JsonLoggerCallback(),  # the result.json from which the scheduler is restored
                    KeepState(),
                    TrackingCallback(self.tracker, self.describe),
                    TableCallback(count, job.preset.evaluations),
                ],
                failure_config=tune.FailureConfig(max_failures=1),
            ),
        )
        if known:
            # From the file that the line above has just written: a search goes on with the code and on the cluster of
            # today, whatever it was begun with.
            tuner = tune.Tuner.restore(str(path), trainable=trainable, resume_unfinished=True, resume_errored=True)
        # Tune writes down everything it knows, of all trials, each time: with more of them it does so less often.
        with environment(TUNE_GLOBAL_CHECKPOINT_S=f"{STATE_S * count:g}"):
            results = tuner.fit()
        stop_on_signals()  # Tune leaves a handler behind that swallows the next Ctrl-C
        if not all(self._over(result) for result in results):
            raise KeyboardInterrupt
        records = [self._record(result, fixed) for result in results]
        for t in records:
            if t["failed"]:
                print(f"{t['name']} failed: {t['failed']}")
        return sorted(records, key=lambda t: t["name"])

    def _trainable(self):
        """What Tune runs for every trial.

        `tune.with_parameters` would put the puzzles into the object store once more for each phase, and a copy whose
        name was pickled stays there as long as this process.
        """
        job, splits, request = self.describe.job, self._stored, self.describe.job.request

        def train(config: dict) -> None:
            train_trial(config, job, splits)

        train.__name__ = train_trial.__name__  # by which Tune knows it when it restores
        mine = {"cpu": request.cpus, "gpu": request.gpus} if request.workers == 1 else {"cpu": COORDINATOR_CPU}
        return tune.with_resources(train, mine)

    def _over(self, result) -> bool:
        """Whether a trial has failed, was stopped early or came to the end of its budget."""
        reported = (result.metrics or {}).get(CLOCK, 0)
        stopped_early = reported > 0 and result.metrics.get("done")
        return bool(result.error) or stopped_early or reported >= self.describe.job.preset.evaluations

    def _checkpoint(self, result) -> Path | None:
        """The folder of a trial's last checkpoint."""
        if result.checkpoint:
            return Path(result.checkpoint.path)
        of_workers = (result.metrics or {}).get("checkpoint_path")
        # Where it was written; since then the storage folder may have been moved.
        return Path(self.describe.job.storage, *Path(of_workers).parts[-2:]) if of_workers else None

    def _record(self, result, fixed: float) -> dict:
        metrics = result.metrics or {}
        # Tune leaves the configuration out where a worker died before it reported anything.
        config = result.config or json.loads(Path(result.path, EXPR_PARAM_FILE).read_text(encoding="utf-8"))
        folder = self._checkpoint(result)
        evaluation = metrics.get(CLOCK, 0)
        record = {
            "name": trial_name(config),
            "config": config,
            "arm": self.describe.job.arm_of(config, self.describe.job.recipe_of(config, self.describe.task)),
            "drawn": config["trial"] >= fixed,
            "failed": _reason(result.error) if result.error else "",
            "checkpoint": folder and os.path.relpath(folder, self.folder.path),  # the folder may be moved
            "evaluation": evaluation,
            "stopped_early": bool(metrics.get("done")) and 0 < evaluation < self.describe.job.preset.evaluations,
            "objectives": {name: metrics.get(OBJECTIVES[name][0]) for name in self.describe.job.objectives},
            "seconds": {"train": 0.0, "evaluate": 0.0},
        }
        if folder:
            meta = read_meta(folder)
            record |= {key: meta[key] for key in ("best", "final", "seconds", "call_units", "curve")}
        return record


def _reason(error: Exception) -> str:
    """Why a trial failed, in one line."""
    if isinstance(error, ray.exceptions.RayActorError):
        return "its worker died: the machine may be out of memory, which `dmesg` would tell"
    return str(error).strip().splitlines()[-1]

"""The training of a list of trials with Ray Tune: a search, or fixed configurations."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.air.constants import EXPR_PARAM_FILE
from ray.tune import Result
from ray.tune.logger import JsonLoggerCallback

from rrm.cluster.callbacks import TableCallback, TrackingCallback
from rrm.cluster.search import CLOCK, AtOnce, BaselinesFirst, scheduler
from rrm.cluster.session import environment, stop_on_signals
from rrm.cluster.trial import COORDINATOR_CPU, Job, train_trial
from rrm.cluster.tune_state import KeepState, restore
from rrm.jobs.folder import JobFolder
from rrm.jobs.naming import trial_name
from rrm.jobs.recipes import Recipes
from rrm.jobs.record import TrialRecord
from rrm.jobs.spec import Config
from rrm.tasks.splits import Splits
from rrm.tracking import Tracker
from rrm.training.checkpoint import read_meta

STATE_S = 0.05  # pause between two copies of Tune's state, times the number of trials: 0.7 s with 14, 26 s with 512


@dataclass(frozen=True)
class Description:
    """(parameters, tags) of a trial's run, without puzzles, because Tune copies it with every copy of its state."""

    recipes: Recipes
    tags: dict[str, str]

    def __call__(self, config: Config) -> tuple[dict[str, Any], dict[str, str]]:
        trial = self.recipes.of(config)
        arm = trial.arm
        tags = {"arm": arm.name, "baseline": arm.baseline, "settings": json.dumps(arm.settings)}
        tags |= {name: value for name, value in arm.settings.items() if name not in tags}
        tags |= {"model": config["model"], "seed": config["seed"]}
        named = {f"rrm.{name}": str(value) for name, value in tags.items()} | self.tags
        if trial.data:  # which of several sets of puzzles
            named |= {"rrm.data": trial.data, "rrm.data_hash": self.recipes.keys.hashes[trial.data]}
        return config | {"recipe": trial.recipe.to_dict()}, named


@dataclass(frozen=True)
class Training:
    """The training of a sweep; its phases share one.

    Attributes:
        splits: the sets of puzzles, by key.
        at_once: how many trials the cluster holds.
        score: that the live table shows.
    """

    job: Job
    describe: Description
    splits: dict[str, Splits]
    folder: JobFolder
    tracker: Tracker
    at_once: int
    verbose: bool
    score: str = "exact"

    @cached_property
    def _stored(self) -> dict[str, ray.ObjectRef]:
        return {key: ray.put(splits) for key, splits in self.splits.items()}

    def run(self, name: str, search: BaselinesFirst, count: int, fixed: float) -> list[TrialRecord]:
        """Run or resume `count` trials; -> their records, sorted by name.

        Tune keeps its files in the folder `name`. Trials whose number is below
        `fixed` are never stopped early.
        """
        job, trainable = self.job, self._trainable()
        path = self.folder.path / name
        search.handed_out = job.recipes.hand_out
        # Without a state the driver died before Tune had a trial: there is nothing to restore.
        known, evaluations = restore(path), job.recipes.preset.evaluations
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                num_samples=count,
                search_alg=AtOnce(search, self.at_once),
                scheduler=scheduler(evaluations, fixed, list(job.objectives.values())),
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
                    TableCallback(count, evaluations, self.score),
                ],
                failure_config=tune.FailureConfig(max_failures=1),
            ),
        )
        if known:
            # `Tuner.restore` reads the file that `Tuner` above has just written: a search goes on with today's code and
            # cluster, whatever it was begun with.
            self._write_recipes(path)
            tuner = tune.Tuner.restore(str(path), trainable=trainable, resume_unfinished=True, resume_errored=True)
        # Each copy of the state holds all trials, so with more trials Tune makes fewer copies.
        with environment(TUNE_GLOBAL_CHECKPOINT_S=f"{STATE_S * count:g}"):
            results = tuner.fit()
        stop_on_signals()  # undoes a handler of Tune, which would swallow the next Ctrl-C
        over = [results[number] for number in range(len(results))]
        # Interrupted between two trials, all that there are may be over, and others are still to come.
        if len(over) < count or not all(self._over(result) for result in over):
            raise KeyboardInterrupt
        records = [self._record(result, fixed) for result in over]
        for trial in records:
            if trial.failed:
                print(f"{trial.name} failed: {trial.failed}")
        return sorted(records, key=lambda trial: trial.name)

    def _write_recipes(self, path: Path) -> None:
        """Write the recipes of trials that an rrm without recipes/ has begun."""
        for file in path.glob(f"*/{EXPR_PARAM_FILE}"):
            self.job.recipes.of(_read_config(file.parent))

    def _trainable(self) -> Callable[[Config], None]:
        """The function that Tune runs for every trial.

        It does without `tune.with_parameters`, which would put the puzzles into the object store again for each phase,
        where a copy stays as long as this process if its name was pickled.
        """
        job, stored, request = self.job, self._stored, self.job.request

        def train(config: Config) -> None:
            train_trial(config, job, stored)

        train.__name__ = train_trial.__name__  # the name by which Tune restores it
        mine = {"cpu": request.cpus, "gpu": request.gpus} if request.workers == 1 else {"cpu": COORDINATOR_CPU}
        return tune.with_resources(train, mine)

    def _over(self, result: Result) -> bool:
        """Whether a trial has failed, was stopped early, or reached the end of its budget."""
        metrics = result.metrics or {}
        reported = metrics.get(CLOCK, 0)
        stopped_early = reported > 0 and metrics.get("done", False)
        return bool(result.error) or stopped_early or reported >= self.job.recipes.preset.evaluations

    def _checkpoint(self, result: Result) -> Path | None:
        """The folder of a trial's last checkpoint."""
        if result.checkpoint:
            return Path(result.checkpoint.path)
        of_workers = (result.metrics or {}).get("checkpoint_path")
        # The path of its writing; the storage folder may have been moved since.
        return Path(self.job.storage, *Path(of_workers).parts[-2:]) if of_workers else None

    def _record(self, result: Result, fixed: float) -> TrialRecord:
        metrics = result.metrics or {}
        # Tune gives no configuration if the worker died before its first report.
        config = result.config or _read_config(Path(result.path))
        folder, trial = self._checkpoint(result), self.job.recipes.of(config)
        evaluation = metrics.get(CLOCK, 0)
        meta = read_meta(folder) if folder else {}
        known = ("best", "final", "seconds", "call_units", "finished", "curve")
        return TrialRecord(
            name=trial_name(config),
            config=config,
            arm=trial.arm,
            drawn=config["trial"] >= fixed,
            failed=_reason(result.error) if result.error else "",
            checkpoint=os.path.relpath(folder, self.folder.path) if folder else None,
            evaluation=evaluation,
            stopped_early=bool(metrics.get("done")) and 0 < evaluation < self.job.recipes.preset.evaluations,
            objectives={name: metrics.get(objective.metric) for name, objective in self.job.objectives.items()},
            data=trial.data,
            **{name: meta[name] for name in known if name in meta},
        )


def _read_config(folder: Path) -> Config:
    """The configuration of a trial, from its folder among Tune's files."""
    return json.loads((folder / EXPR_PARAM_FILE).read_text(encoding="utf-8"))


def _reason(error: Exception) -> str:
    """The reason of a trial's failure, in one line."""
    if isinstance(error, ray.exceptions.RayActorError):
        return "its worker died: the machine may be out of memory, which `dmesg` would tell"
    return str(error).strip().splitlines()[-1]

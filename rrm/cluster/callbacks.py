"""Callbacks of the driver during training: metrics go to MLflow, a table goes to the terminal."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial

from rrm.cluster.search import CLOCK
from rrm.cluster.trial import DAMAGE
from rrm.errors import CLUSTER_LOST, out_of_space
from rrm.jobs.naming import config_columns, trial_name
from rrm.terminal.progress import Live, Pace, duration
from rrm.terminal.table import table
from rrm.tracking import Tracker

ANSWERS_WITHIN_S = 60  # long, because a busy machine starts a worker slowly


def _ray_answers() -> bool:
    try:
        return ray.get(ray.remote(num_cpus=0)(lambda: True).remote(), timeout=ANSWERS_WITHIN_S)
    except ray.exceptions.RayError:
        return False


class TrackingCallback(tune.Callback):
    """One MLflow run per trial, the same one after a restore.

    Every metric of a report whose name has a slash goes there, and the compute.
    """

    def __init__(self, tracker: Tracker, describe: Callable[[dict[str, Any]], tuple[dict[str, Any], dict[str, str]]]):
        self.tracker, self.describe = tracker, describe
        self.parts: dict[str, int] = {}  # micro-batches of each trial so far

    def _run(self, trial: Trial) -> str:
        params, tags = self.describe(trial.config)
        return self.tracker.run("trial", trial_name(trial.config), params, tags)

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self.tracker.reopen(self._run(trial))

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        if result.get(DAMAGE) and result[CLOCK] == 1:
            print(f"{trial_name(trial.config)} begins again: {result[DAMAGE]}")
        if "train/micro_batches" in result:
            self._say_parts(trial, int(result["train/micro_batches"]))
        curves = {
            name: float(value)
            for name, value in result.items()
            # An objective that is measured at the end of a trial is nan until then.
            if ("/" in name or name == "call_units") and isinstance(value, (int, float)) and not math.isnan(value)
        }
        self.tracker.metrics(self._run(trial), curves, int(result["step"]))

    def _say_parts(self, trial: Trial, parts: int) -> None:
        """Print when a trial needs more micro-batches than before because its memory is full."""
        before = self.parts.get(trial.trial_id) or self.describe(trial.config)[0]["recipe"]["micro_batches"]
        if parts > before:
            print(f"{trial_name(trial.config)} ran out of memory: it goes on with {parts} micro-batches a step")
        self.parts[trial.trial_id] = parts

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self.tracker.finish(self._run(trial), "FINISHED")

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self.tracker.finish(self._run(trial), "FAILED")
        # The file is in the driver's own folder; on a full disk it may be torn.
        said = Path(trial.error_file).read_text(encoding="utf-8", errors="replace")
        if out_of_space(said):
            # The other trials would meet the full disk as well. This trial is not over: --resume continues it.
            raise OSError(said.strip().splitlines()[-1])
        if "temporarily unavailable" in said:
            # Print first: as soon as Ray notices that its raylet is gone, it ends this process.
            print("Ray does not answer: if this command ends now, the same one with --resume carries on", flush=True)
            if not _ray_answers():
                raise RuntimeError(CLUSTER_LOST)


class TableCallback(tune.Callback):
    """The live table: trials, step, loss, the score (exact accuracy), time left."""

    def __init__(self, total_trials: int, evaluations: int, score: str = "exact"):
        self.total_trials, self.evaluations, self.score = total_trials, evaluations, score
        self._started: dict[str, tuple[Pace, float]] = {}  # of each trial, and the share it had done before
        self._pace, self._before = Pace(total_trials), -1.0  # the work that was done when it was first drawn
        self._live = Live()

    def __getstate__(self) -> dict[str, Any]:
        return {"total_trials": self.total_trials, "evaluations": self.evaluations, "score": self.score}

    def __setstate__(self, state: dict[str, Any]) -> None:
        TableCallback.__init__(self, **state)

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._started[trial.trial_id] = Pace(1.0), self._share(trial)

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        if self._live.due():
            self._live.show(self._lines(trials))

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        self._live.show(self._lines(trials))

    def _lines(self, trials: list[Trial]) -> list[str]:
        rows, work_done = [], 0.0
        for trial in sorted(trials, key=lambda t: t.config["trial"]):
            result, share = trial.last_result or {}, self._share(trial)
            over = trial.status in ("TERMINATED", "ERROR")
            work_done += 1.0 if over else share
            rows.append(
                {"trial": trial_name(trial.config), **config_columns(trial.config)}
                | {
                    "status": self._status(trial, share),
                    "step": str(result.get("step", "")),
                    "loss": f"{result['train/loss']:.3f}" if "train/loss" in result else "",
                    f"{self.score} %": _percent(result, f"validation/{self.score}"),
                    "best %": _percent(result, f"validation/best_{self.score}"),
                    "left": "" if over else self._left(trial, share),
                }
            )
        if not any(row["best %"] for row in rows):  # a training whose best weights are not chosen by this score
            rows = [{name: value for name, value in row.items() if name != "best %"} for row in rows]
        if self._before < 0:
            self._before = work_done
        left = self._pace.left(work_done, self._before)
        head = f"training  {duration(self._pace.elapsed)}" + ("" if left == "?" else f", at most {left} left")
        head += f"  ({sum(t.status in ('TERMINATED', 'ERROR') for t in trials)} of {self.total_trials} trials done)"
        return [head, *table(rows)] if rows else [head]

    def _share(self, trial: Trial) -> float:
        return (trial.last_result or {}).get(CLOCK, 0) / self.evaluations

    def _status(self, trial: Trial, share: float) -> str:
        if trial.status == "TERMINATED":
            early = "stopped" if (trial.last_result or {}).get("done") else "interrupted"
            return "done" if share >= 1 else early
        return {"RUNNING": "running", "ERROR": "failed"}.get(trial.status, "waiting")

    def _left(self, trial: Trial, share: float) -> str:
        pace, before = self._started.get(trial.trial_id, (Pace(1.0), share))
        return pace.left(share, before)


def _percent(result: dict[str, Any], name: str) -> str:
    return f"{100 * result[name]:.1f}" if name in result else ""

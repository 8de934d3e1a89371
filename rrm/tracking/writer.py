"""The operations of a job on its MLflow store. Each may be repeated without harm."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from rrm.tracking.address import database_file
from rrm.tracking.client import configure, make_client
from rrm.tracking.deleted import refuse_deleted_experiment
from rrm.tracking.embedded import create_store
from rrm.tracking.failure import answering
from rrm.tracking.moved import refuse_moved

if TYPE_CHECKING:  # importing MLflow takes seconds
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run


def connect(uri: str, experiment: str, artifact_root: Path) -> tuple[MlflowClient, str]:
    """(client, id of the experiment); a missing experiment is made.

    InputError where the store does not answer, where the experiment was deleted, or where the store names an old place
    of a storage folder that was moved.
    """
    configure()
    with answering(uri, always=True):
        if file := database_file(uri):
            create_store(file, artifact_root)
        client, found = _look(uri, experiment, artifact_root)
        if found is not None:
            return client, found.experiment_id
        # The default location would be relative to the working folder.
        location = artifact_root.resolve().as_uri() if file else None
        # Without this tag the UI shows the page for language models, which has no charts.
        kind = {"mlflow.experimentKind": "custom_model_development"}
        return client, client.create_experiment(experiment, artifact_location=location, tags=kind)


def check_store(uri: str, experiment: str, artifact_root: Path) -> None:
    """Raise the InputErrors of `connect`, but make nothing: a job asks before its first work."""
    if (file := database_file(uri)) is None or file.exists():
        with answering(uri, always=True):
            _look(uri, experiment, artifact_root)


def _look(uri: str, experiment: str, artifact_root: Path) -> tuple[MlflowClient, Experiment | None]:
    """(client, the experiment or None where it does not exist)."""
    client = make_client(uri, writes=True)
    found = client.get_experiment_by_name(experiment)
    if found is not None:
        refuse_deleted_experiment(uri, found)
        refuse_moved(uri, client, found, artifact_root)
    return client, found


def default_parent(role: str, job: str) -> str | None:
    """ROLE/NAME of the default parent of a run with this role; None without a parent."""
    return f"sweep/{job}" if role == "trial" else None


class Writer:
    """Performs operations: dictionaries of plain values, "op" naming a method below, "run" an id or ROLE/NAME.

    Every operation may be repeated, so one whose answer was lost is sent again. A run is looked up by its tags before
    it is created. A metric ignores steps up to its last one. MLflow keeps one of several points that are equal in run,
    name, step, value and time, so a repeated operation carries the time of its first attempt.
    """

    def __init__(self, client: MlflowClient, experiment_id: str, job: str, kind: str):
        self.client, self.experiment_id, self.job, self.kind = client, experiment_id, job, kind
        self.runs: dict[str, str] = {}
        self._last_steps: dict[str, dict[str, int]] = {}  # of each metric of a run

    def perform(self, operations: list[dict]) -> None:
        """Perform one operation, or several that all log metrics; raises the errors of MLflow."""
        if operations[0]["op"] == "metrics":
            self._metrics(operations)
        else:
            arguments = operations[0].copy()
            getattr(self, f"_op_{arguments.pop('op')}")(**arguments)

    def _metrics(self, operations: list[dict]) -> None:
        """Log the points of each run in one request; every metric has its own clock."""
        from mlflow.entities import Metric, RunTag

        by_run: dict[str, list[dict]] = {}
        for operation in operations:
            by_run.setdefault(self._id(operation["run"]), []).append(operation)
        for run_id, several in by_run.items():
            if run_id not in self._last_steps:
                latest = self.client.get_run(run_id).data.to_proto().metrics
                self._last_steps[run_id] = {metric.key: metric.step for metric in latest}
            last, points = self._last_steps[run_id].copy(), []
            for operation in several:
                step, time = operation["step"], operation["time"]
                for name, value in (operation["metrics"] | {"train/step": float(step)}).items():
                    if name not in last or step > last[name]:
                        points.append(Metric(name, value, time, step))
                        last[name] = step
            if points:
                beat = RunTag("rrm.heartbeat", str(max(point.timestamp for point in points)))
                self.client.log_batch(run_id, metrics=points, tags=[beat])
            self._last_steps[run_id] = last

    def find(self, role: str, name: str) -> Run | None:
        """The job's run with this role and name; None if it does not exist."""
        query = " and ".join(f"tags.`{tag}` = '{value}'" for tag, value in self._identity(role, name).items())
        found = self.client.search_runs([self.experiment_id], query, max_results=10)
        if not found:
            return None
        kept = max(found, key=lambda run: len(run.data.metrics))
        # A creation whose answer was lost may arrive after its repetition, and make a second run that stays empty.
        for twin in found:
            if twin is not kept and not twin.data.metrics:
                self.client.delete_run(twin.info.run_id)
        return kept

    def create(
        self,
        role: str,
        name: str,
        params: dict[str, str],
        tags: dict[str, str],
        time: int,
        parent: str | None = None,
    ) -> str:
        """The id of the job's run with this role and name, created, as a child of `parent`, if there is none."""
        found = self.find(role, name)
        if found:
            run_id = found.info.run_id
            params = {key: value for key, value in params.items() if key not in found.data.params}
        else:
            identity = self._identity(role, name) | {"rrm.kind": self.kind, "rrm.group": self.job}
            if parent := parent or default_parent(role, self.job):
                identity["mlflow.parentRunId"] = self._id(parent, time)
            made = self.client.create_run(self.experiment_id, time, tags | identity, run_name=name)
            run_id = made.info.run_id
        self._op_params(run_id, params)
        self.runs[f"{role}/{name}"] = run_id
        return run_id

    def _identity(self, role: str, name: str) -> dict[str, str]:
        return {"rrm.job": self.job, "rrm.role": role, "rrm.name": name}

    def _id(self, run: str, time: int = 0) -> str:
        if "/" not in run:
            return run
        if run not in self.runs:
            role, _, name = run.partition("/")
            self.create(role, name, {}, {}, time)
        return self.runs[run]

    def _op_create(
        self, run: str, params: dict[str, str], tags: dict[str, str], time: int, parent: str | None = None
    ) -> None:
        role, _, name = run.partition("/")
        self.create(role, name, params, tags, time, parent)

    def _op_params(self, run: str, params: dict[str, str]) -> None:
        from mlflow.entities import Param

        flat = [Param(name, value) for name, value in params.items()]
        for first in range(0, len(flat), 100):
            self.client.log_batch(self._id(run), params=flat[first : first + 100])

    def _op_tags(self, run: str, tags: dict[str, str]) -> None:
        from mlflow.entities import RunTag

        self.client.log_batch(self._id(run), tags=[RunTag(name, value) for name, value in tags.items()])

    def _op_summary(self, run: str, metrics: dict[str, float], time: int) -> None:
        from mlflow.entities import Metric

        run_id = self._id(run)
        known = self.client.get_run(run_id).data.metrics
        fresh = {name: value for name, value in metrics.items() if name not in known and not math.isnan(value)}
        self.client.log_batch(run_id, metrics=[Metric(name, value, time, 0) for name, value in fresh.items()])

    def _op_series(self, run: str, series: dict[str, list[list]], time: int) -> None:
        """Log whole series, {name: [steps, values]}, of at most 1000 points in all; known series are skipped."""
        from mlflow.entities import Metric

        run_id = self._id(run)
        known = self.client.get_run(run_id).data.metrics
        fresh = {name: points for name, points in series.items() if name not in known}
        points = [
            Metric(name, value, time, step)
            for name, (steps, values) in fresh.items()
            for step, value in zip(steps, values, strict=True)
        ]
        if points:
            self.client.log_batch(run_id, metrics=points)

    def _op_dataset(self, run: str, name: str, digest: str, source: str, context: str) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        data = Dataset(name=name, digest=digest[:36], source_type="local", source=source)
        tagged = DatasetInput(data, [InputTag("mlflow.data.context", context)])
        self.client.log_inputs(self._id(run), datasets=[tagged])

    def _op_artifact(self, run: str, path: str, folder: str) -> None:
        self.client.log_artifact(self._id(run), path, folder or None)

    def _op_reopen(self, run: str, tags: dict[str, str]) -> None:
        self.client.update_run(self._id(run), status="RUNNING")
        self._op_tags(run, tags)

    def _op_finish(self, run: str, status: str, time: int) -> None:
        run_id = self._id(run)
        found = self.client.get_run(run_id)
        # A run may have been closed as KILLED because its driver seemed dead; the driver's own status replaces that.
        stale = "rrm.closed_as_stale" in found.data.tags
        if found.info.status == "RUNNING" or stale:
            self.client.set_terminated(run_id, status, time)
        if stale:
            self.client.delete_tag(run_id, "rrm.closed_as_stale")

    def _op_close(self, status: str, time: int) -> None:
        query = f"tags.`rrm.job` = '{self.job}' and attributes.status = 'RUNNING'"
        for run in self.client.search_runs([self.experiment_id], query, max_results=5000):
            self._op_finish(run.info.run_id, status, time)

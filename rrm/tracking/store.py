"""The MLflow store of a job: the run of a sweep with one child per trial, or that of a study, found by their tags.

Only the driver writes. A run is looked up by tags before it is created, so that a sweep that was killed carries on in
the runs it had; metric points already in the store are not written twice.
"""

import logging
import math
import os
import time
from pathlib import Path

from rrm.errors import InputError

PARAM_LIMIT = 6000  # characters, of MLflow
SCHEMES = ("sqlite", "http", "https", "postgresql", "mysql", "mssql")


def default_uri(storage: Path) -> str:
    """An embedded store: sqlite in the storage folder."""
    return f"sqlite:///{storage.resolve() / 'mlflow.db'}"


def _checked_uri(uri: str) -> str:
    scheme, separator, rest = uri.partition(":")
    if not separator or scheme.split("+")[0] not in SCHEMES:
        raise InputError(f"--tracking-uri {uri} is of no known kind: use sqlite:///FILE or http://SERVER")
    if scheme == "sqlite":
        # Trials run in other working directories: a relative database would be another database there.
        return f"sqlite:///{Path(rest.removeprefix('///')).resolve()}"
    return uri


class Tracker:
    """Runs of one job in one experiment. Travels in pickles without its client, which is opened on first use."""

    def __init__(self, uri: str, experiment: str, job: str, artifact_root: Path):
        self.uri, self.experiment, self.job = _checked_uri(uri), experiment, job
        self.artifact_root = artifact_root
        self._client = None

    def __getstate__(self):
        return self.__dict__ | {"_client": None, "_runs": {}, "_last_step": {}}

    @property
    def client(self):
        if self._client is None:
            self._open()
        return self._client

    def _open(self) -> None:
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        if self.uri.startswith("sqlite"):
            Path(self.uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        try:
            client = MlflowClient(tracking_uri=self.uri)
            found = client.get_experiment_by_name(self.experiment)
            if found is None:
                # The default location would be relative to whatever folder the process stands in.
                location = self.artifact_root.resolve().as_uri() if self.uri.startswith("sqlite") else None
                # Without its kind the UI takes an experiment for one of language models and hides the charts.
                kind = {"mlflow.experimentKind": "custom_model_development"}
                self.experiment_id = client.create_experiment(self.experiment, artifact_location=location, tags=kind)
            else:
                self.experiment_id = found.experiment_id
        except (MlflowException, SQLAlchemyError, OSError) as error:
            reason = str(error).splitlines()[0][:200]
            raise InputError(f"tracking store {self.uri} does not answer ({reason}): check --tracking-uri") from None
        self._client, self._runs, self._last_step = client, {}, {}

    def run(self, role: str, name: str, params: dict | None = None, tags: dict | None = None) -> str:
        """The id of the job's run with this role ("sweep", "trial" or "study") and name, created if there is none."""
        client, key = self.client, (role, name)
        if key not in self._runs:
            wanted = {"rrm.job": self.job, "rrm.role": role, "rrm.name": name}
            query = " and ".join(f"tags.`{tag}` = '{value}'" for tag, value in wanted.items())
            found = client.search_runs([self.experiment_id], query, max_results=1)
            if found:
                run_id = found[0].info.run_id
            else:
                if role == "trial":
                    wanted["mlflow.parentRunId"] = self.run("sweep", self.job)
                run_id = client.create_run(self.experiment_id, run_name=name, tags=wanted | (tags or {})).info.run_id
                self.params(run_id, params or {})
            self._runs[key] = run_id
        return self._runs[key]

    def params(self, run_id: str, params: dict) -> None:
        """Log parameters, nested dictionaries flattened with dots."""
        from mlflow.entities import Param

        flat = [Param(name, str(value)[:PARAM_LIMIT]) for name, value in _flatten(params)]
        for first in range(0, len(flat), 100):
            self.client.log_batch(run_id, params=flat[first : first + 100])

    def tags(self, run_id: str, tags: dict[str, str]) -> None:
        """Set tags."""
        from mlflow.entities import RunTag

        self.client.log_batch(run_id, tags=[RunTag(name, str(value)) for name, value in tags.items()])

    def metrics(self, run_id: str, metrics: dict[str, float], step: int) -> None:
        """Log one point per metric in one write; steps the run already has are passed over."""
        from mlflow.entities import Metric, RunTag

        if run_id not in self._last_step:
            known = self.client.get_run(run_id).data.metrics
            self._last_step[run_id] = known.get("train/step", -1)
        if step <= self._last_step[run_id]:
            return
        self._last_step[run_id] = step
        now = int(time.time() * 1000)
        points = [Metric(name, float(value), now, step) for name, value in metrics.items()]
        points.append(Metric("train/step", float(step), now, step))
        self.client.log_batch(run_id, metrics=points, tags=[RunTag("rrm.heartbeat", str(now))])

    def summary(self, run_id: str, metrics: dict[str, float]) -> None:
        """Log single values, once: a resumed sweep that computes one again does not add a second point."""
        from mlflow.entities import Metric

        known = self.client.get_run(run_id).data.metrics
        now = int(time.time() * 1000)
        fresh = {name: value for name, value in metrics.items() if name not in known and not math.isnan(value)}
        self.client.log_batch(run_id, metrics=[Metric(name, float(value), now, 0) for name, value in fresh.items()])

    def dataset(self, run_id: str, name: str, digest: str, source: str, context: str) -> None:
        """Record which data a run saw."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        data = Dataset(name=name, digest=digest[:36], source_type="local", source=source)
        self.client.log_inputs(run_id, datasets=[DatasetInput(data, [InputTag("mlflow.data.context", context)])])

    def artifact(self, run_id: str, path: Path, folder: str = "") -> None:
        """Copy a file, or the files of a folder, into the run's artifacts."""
        if path.is_dir():
            self.client.log_artifacts(run_id, str(path), folder or None)
        else:
            self.client.log_artifact(run_id, str(path), folder or None)

    def reopen(self, run_id: str) -> None:
        """Work on the run goes on: its status is RUNNING again."""
        self.client.update_run(run_id, status="RUNNING")

    def finish(self, run_id: str, status: str) -> None:
        """Close a run, FINISHED, FAILED or KILLED; one that is closed already keeps its end time."""
        if self.client.get_run(run_id).info.status == "RUNNING":
            self.client.set_terminated(run_id, status)

    def close_open_runs(self, status: str) -> None:
        """Close every run of the job that is still RUNNING."""
        query = f"tags.`rrm.job` = '{self.job}' and attributes.status = 'RUNNING'"
        for run in self.client.search_runs([self.experiment_id], query, max_results=5000):
            self.finish(run.info.run_id, status)

    def ui(self) -> tuple[str, str]:
        """(command that opens the UI, link to this job in it)."""
        fragment = f"#/experiments/{self.experiment_id}/runs?searchFilter=tags.`rrm.job`%20%3D%20'{self.job}'"
        if self.uri.startswith("http"):
            return f"open {self.uri}", f"{self.uri}/{fragment}"
        return f"mlflow ui --backend-store-uri {self.uri} --port 5050", f"http://127.0.0.1:5050/{fragment}"


def _flatten(nested: dict, prefix: str = ""):
    for name, value in nested.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value

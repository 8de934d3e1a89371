"""Groups and runs of an MLflow store, whatever version of rrm logged them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rrm.curves import FOLDER, Curves, curve_path, read_curves
from rrm.errors import InputError
from rrm.tracking.failure import answering
from rrm.tracking.read import download, find_run, open_client
from rrm.tracking.reader import Group, Reader, Run, run_of_store

if TYPE_CHECKING:
    from mlflow import MlflowClient, entities

PAGE = 1000


class StoreReader(Reader):
    """Reads the store of `uri`, which it never writes.

    cache: the folder where files of runs are kept once they were fetched
    storage: the storage folder of the jobs, in which the curves of a job that runs are found
    """

    def __init__(self, uri: str, cache: Path, storage: Path | None = None):
        self.uri, self.cache, self.storage = uri, cache, storage

    def groups(self) -> list[Group]:
        """All jobs, the newest first."""
        with answering(self.uri):
            client = open_client(self.uri)
            experiments = {found.experiment_id: found.name for found in client.search_experiments(max_results=PAGE)}
            # Children other than trials are left out below; there are few of them, and thousands of trials.
            heads = _search(client, list(experiments), "tags.`rrm.role` != 'trial'")
        found: dict[tuple[str, str], entities.Run] = {}
        for head in heads:
            tags, job = head.data.tags, (head.info.experiment_id, head.data.tags.get("rrm.job", ""))
            if job[1] and "mlflow.parentRunId" not in tags and (job not in found or tags["rrm.name"] == job[1]):
                found[job] = head
        groups = [self._group(head, experiments[head.info.experiment_id]) for head in found.values()]
        return sorted(groups, key=lambda group: -(group.started or 0))

    def _group(self, head: entities.Run, experiment: str) -> Group:
        run = _run(head, experiment)
        return Group(experiment, run.group, run.kind, run.id, run.status, run.started, run.ended)

    def runs(self, group: Group) -> list[Run]:
        """The runs of a job by name, its own run first."""
        with answering(self.uri):
            client = open_client(self.uri)
            if (experiment := client.get_experiment_by_name(group.experiment)) is None:
                raise InputError(f"the store has no experiment {group.experiment!r}: read its groups again")
            found = _search(client, [experiment.experiment_id], f"tags.`rrm.job` = '{group.name}'")
        runs = [_run(run, group.experiment) for run in found]
        return sorted(runs, key=lambda run: (run.parent is not None, run.role, run.name))

    def run(self, run_id: str) -> Run:
        """The run of this id; InputError where there is none."""
        found = find_run(self.uri, run_id)
        with answering(self.uri):
            return _run(found, open_client(self.uri).get_experiment(found.info.experiment_id).name)

    def history(self, run: Run, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Steps int64 [n] and values float64 [n] of a metric in order of the steps, n = 0 where the run has none."""
        with answering(self.uri):
            points = open_client(self.uri).get_metric_history(run.id, name)
        points = sorted(points, key=lambda point: (point.step, point.timestamp))
        steps = np.array([point.step for point in points], np.int64)
        values = np.array([point.value for point in points], np.float64)
        # A database holds infinity as the largest number.
        values[np.abs(values) == sys.float_info.max] *= np.inf
        return steps, values

    def curves(self, run: Run) -> Curves:
        """The series of a run's curve file, whole: that in the folder of its job, else the one that was logged."""
        if self.storage and (path := curve_path(self.storage / run.group, run.name)).is_file():
            return read_curves(path)
        name = curve_path(Path(), run.name).as_posix()
        kept = self.cache / run.id / name
        return read_curves(self.file(run, name)) if kept.exists() or name in self._below(run, FOLDER) else {}

    def files(self, run: Run) -> list[str]:
        """Paths of the artifacts of a run, sorted."""
        return sorted(self._below(run, ""))

    def _below(self, run: Run, folder: str) -> list[str]:
        found: list[str] = []
        folders = [folder]
        with answering(self.uri):
            client = open_client(self.uri)
            while folders:
                for entry in client.list_artifacts(run.id, folders.pop() or None):
                    (folders if entry.is_dir else found).append(entry.path)
        return found

    def file(self, run: Run, name: str) -> Path:
        """A copy of an artifact in the cache; InputError where the run has no such artifact."""
        with answering(self.uri):
            return download(self.uri, run.id, name, self.cache)


def _search(client: MlflowClient, experiments: list[str], query: str) -> list[entities.Run]:
    found: list[entities.Run] = []
    token = None
    while True:
        page = client.search_runs(experiments, query, max_results=PAGE, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def _run(found: entities.Run, experiment: str) -> Run:
    data, info = found.data, found.info
    times = info.start_time, info.end_time
    return run_of_store(
        info.run_id, experiment, info.run_name, info.status, times, data.params, data.tags, data.metrics
    )

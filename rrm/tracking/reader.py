"""Read groups, runs, curves and files back, whatever kind of job has logged them.

    reader = StoreReader(uri, cache)      # an MLflow store of any kind
    reader = SqliteReader(file)           # a sqlite store, many runs at once
    reader = FolderReader(storage)        # job folders, also while the jobs run and without any store
    for group in reader.groups():
        for run in reader.runs(group):
            steps, values = reader.history(run, "train/loss")
            curves = reader.curves(run)

No reader imports torch, and only the first imports MLflow.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a driver takes `flatten` from here for --help, which does without numpy
    import numpy as np

    from rrm.curves import Curves


@dataclass(frozen=True)
class Group:
    """A job: the runs that belong together.

    experiment: in MLflow, "" for a job folder
    name: of the job
    kind: of the job: "sweep", "stability", ...
    run_id: the job's own run
    status: of that run, "RUNNING", "FINISHED", "FAILED" or "KILLED", and "" where a folder does not say
    started, ended: s since the epoch, None where that is not known
    """

    experiment: str
    name: str
    kind: str
    run_id: str
    status: str
    started: float | None
    ended: float | None


@dataclass(frozen=True)
class Run:
    """A run: a job itself, or one of its trials, ...

    group, kind, status, started, ended: as for a `Group`
    parent: id of the run that this one is a child of, None for a job's own run
    params: as they were logged, nested names joined by dots
    metrics: the last value of every metric
    """

    id: str
    group: str
    kind: str
    role: str
    name: str
    parent: str | None
    status: str
    started: float | None
    ended: float | None
    params: dict[str, str]
    tags: dict[str, str]
    metrics: dict[str, float]


class Reader(ABC):
    """Groups and runs of one place; InputError where the place is not there or does not answer."""

    @abstractmethod
    def groups(self) -> list[Group]:
        """All jobs, the newest first."""

    @abstractmethod
    def runs(self, group: Group) -> list[Run]:
        """The runs of a job by name, its own run first."""

    @abstractmethod
    def run(self, run_id: str) -> Run:
        """The run of this id; InputError where there is none."""

    @abstractmethod
    def history(self, run: Run, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Steps int64 [n] and values float64 [n] of a metric in order of the steps, n = 0 where the run has none."""

    @abstractmethod
    def curves(self, run: Run) -> Curves:
        """The series of a run's curve file, whole; empty where the run has no such file."""

    def every_run(self) -> list[Run]:
        """The runs of all jobs, those of the newest job first."""
        return [run for group in self.groups() for run in self.runs(group)]

    def histories(self, runs: Iterable[Run], names: Sequence[str]) -> dict[str, Curves]:
        """The series of many runs, by id: whole where a curve file has them, else as the store has them.

        names: of the series; a name with a * stands for all that fit.
        """
        found: dict[str, Curves] = {}
        for run in runs:
            curves = {name: series for name, series in self.curves(run).items() if fits(name, names)}
            others = [name for name in run.metrics if name not in curves and fits(name, names)]
            found[run.id] = curves | {name: self.history(run, name) for name in others}
        return found

    @abstractmethod
    def files(self, run: Run) -> list[str]:
        """Paths of the files that belong to a run, such as "figures/accuracy.png", sorted."""

    @abstractmethod
    def file(self, run: Run, name: str) -> Path:
        """Where a file of the run can be read on this machine; InputError where the run has no such file."""


def run_of_store(
    id: str,
    experiment: str,
    name: str | None,
    status: str,
    times_ms: tuple[int | None, int | None],
    params: dict[str, str],
    tags: dict[str, str],
    metrics: dict[str, float],
) -> Run:
    """The run that MLflow has under this id, whatever version of rrm logged it; times_ms: its start and its end."""
    role = tags.get("rrm.role", "")
    # Runs of older versions name no group, and their rrm.kind is a setting of training.
    kind = tags["rrm.kind"] if "rrm.group" in tags else {"trial": "sweep", "study": experiment}.get(role, role)
    started, ended = (time / 1000 if time else None for time in times_ms)
    group, parent = tags.get("rrm.group") or tags.get("rrm.job", ""), tags.get("mlflow.parentRunId")
    name = tags.get("rrm.name") or name or ""
    return Run(id, group, kind, role, name, parent, status, started, ended, params, tags, metrics)


def fits(name: str, patterns: Sequence[str]) -> bool:
    """Whether a series is named; a pattern with a * names all that fit."""
    return any(name == pattern or "*" in pattern and fnmatchcase(name, pattern) for pattern in patterns)


def flatten(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(name, value) of every value in nested dictionaries, the names joined by dots."""
    for name, value in nested.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value

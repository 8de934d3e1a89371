"""Read groups, runs, curves and files back, whatever kind of job has logged them.

    reader = StoreReader(uri, cache)      # an MLflow store of any kind
    reader = FolderReader(storage)        # job folders, also while the jobs run and without any store
    for group in reader.groups():
        for run in reader.runs(group):
            steps, values = reader.history(run, "train/loss")
            curves = reader.curves(run)

Neither reader imports torch, and the second imports no MLflow either.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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

    @abstractmethod
    def files(self, run: Run) -> list[str]:
        """Paths of the files that belong to a run, such as "figures/accuracy.png", sorted."""

    @abstractmethod
    def file(self, run: Run, name: str) -> Path:
        """Where a file of the run can be read on this machine; InputError where the run has no such file."""


def flatten(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(name, value) of every value in nested dictionaries, the names joined by dots."""
    for name, value in nested.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value

"""Runs and histories of a sqlite store of MLflow, many at once and without MLflow, which takes seconds to import."""

from __future__ import annotations

import sqlite3
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np

from rrm.curves import FOLDER, Curves, curve_path, read_curves
from rrm.errors import InputError
from rrm.tracking.database import restoring
from rrm.tracking.deleted import DELETED
from rrm.tracking.reader import Group, Reader, Run, fits, run_of_store

PATIENCE_S = 10.0  # how long a reader waits for a writer
RUNNING = "RUNNING"
_PARENT = "mlflow.parentRunId"


@dataclass(frozen=True)
class _Kept:
    """The points of one series that were read: the status of its run at the time, and the last row of the table."""

    status: str
    row: int
    steps: np.ndarray
    values: np.ndarray


_NOTHING = _Kept(RUNNING, 0, np.array([], np.int64), np.array([], np.float64))


class SqliteReader(Reader):
    """Reads the store in the file `path`, which it never writes and never holds for longer than one run's points.

    Points of a run that has ended are read once, and those of a run that runs are read on from the last one.

    storage: the storage folder of the jobs, in which the curves of a job that runs are found
    """

    def __init__(self, path: Path, storage: Path | None = None):
        self.path, self.storage = path, storage
        self._artifacts: dict[str, str] = {}
        self._points: dict[tuple[str, str], _Kept] = {}
        self._files: dict[str, tuple[tuple[str, int, int], Curves]] = {}
        self._running: list[Run] = []
        self._schema = 0

    def version(self) -> tuple[int, ...]:
        """Numbers that change with the database; () where it is gone."""
        try:
            found = self.path.stat()
        except OSError:
            return ()
        return found.st_mtime_ns, found.st_size

    def growth(self) -> int:
        """Bytes of the curve files of the runs that run, which grow without the database."""
        files = (next((path for path in self._curve_files(run) if path.is_file()), None) for run in self._running)
        return sum(path.stat().st_size for path in files if path)

    def groups(self) -> list[Group]:
        """All jobs, the newest first."""
        return [group for group, _ in self._jobs()]

    def runs(self, group: Group) -> list[Run]:
        """The runs of a job by name, its own run first."""
        return next((runs for found, runs in self._jobs() if found == group), [])

    def every_run(self) -> list[Run]:
        """The runs of all jobs, those of the newest job first, then runs that belong to no job."""
        runs = self._read_runs()
        of_jobs = [run for _, mine in _jobs(runs) for run in mine]
        known = {run.id for run in of_jobs}
        return of_jobs + [run for _, run in runs if run.id not in known]

    def run(self, run_id: str) -> Run:
        """The run of this id; InputError where there is none."""
        for _, run in self._read_runs():
            if run.id == run_id:
                return run
        raise InputError(f"run {run_id} is not in {self.path}: check the id in the table of runs")

    def history(self, run: Run, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Steps int64 [n] and values float64 [n] of a metric in order of the steps, n = 0 where the run has none."""
        with self._open() as database:
            return self._metrics(database, run, [name])[name]

    def histories(self, runs: Iterable[Run], names: Sequence[str]) -> dict[str, Curves]:
        """The series of many runs, by id: whole where a curve file has them, else as the store has them.

        names: of the series; a name with a * stands for all that fit.
        """
        found: dict[str, Curves] = {}
        with self._open() as database:
            for run in runs:
                curves = {name: series for name, series in self.curves(run).items() if fits(name, names)}
                others = [name for name in run.metrics if name not in curves and fits(name, names)]
                # One statement a series: the writer of a running sweep waits for the end of one at most.
                found[run.id] = curves | self._metrics(database, run, others)
        return found

    def curves(self, run: Run) -> Curves:
        """The series of a run's curve file so far: that in the folder of its job, else the one that was logged."""
        path = next((path for path in self._curve_files(run) if path.is_file()), None)
        if path is None:
            return {}
        found = path.stat()
        state = (str(path), found.st_mtime_ns, found.st_size)
        if run.id not in self._files or self._files[run.id][0] != state:
            self._files[run.id] = state, _sharing_steps(read_curves(path))
        return self._files[run.id][1]

    def files(self, run: Run) -> list[str]:
        """Paths of the artifacts of a run, sorted; none where they lie on a server."""
        folder = self._folder(run)
        found = folder.rglob("*") if folder else []
        return sorted(file.relative_to(folder).as_posix() for file in found if folder and file.is_file())

    def file(self, run: Run, name: str) -> Path:
        """An artifact itself; InputError where the run has no such artifact."""
        if name not in self.files(run):
            raise InputError(
                f"run {run.id} has no {name} among its artifacts: give one of {', '.join(self.files(run))}"
            )
        folder = self._folder(run)
        path = (folder or Path()) / name
        if folder is None or not path.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"{name} of run {run.id} is a link out of its artifacts: copy the file there")
        return path

    def _curve_files(self, run: Run) -> Iterator[Path]:
        if Path(run.name).name != run.name or Path(run.group).name != run.group:
            return  # a name with a path in it is no file of the job
        if self.storage:
            yield curve_path(self.storage / run.group, run.name)
        if folder := self._folder(run):
            yield folder / FOLDER / f"{run.name}.jsonl"

    def _folder(self, run: Run) -> Path | None:
        """Where the artifacts of a run lie; None where that is not on this machine."""
        if run.id not in self._artifacts:
            self._read_runs()
        parts = urlsplit(self._artifacts.get(run.id, ""))
        return Path(unquote(parts.path)) if parts.scheme in ("", "file") and parts.path else None

    def _jobs(self) -> list[tuple[Group, list[Run]]]:
        return _jobs(self._read_runs())

    def _read_runs(self) -> list[tuple[str, Run]]:
        """(experiment, run) of all runs that are not deleted."""
        with self._open() as database:
            experiments = dict(database.execute("select experiment_id, name from experiments"))
            runs = database.execute(
                "select run_uuid, experiment_id, name, status, start_time, end_time, artifact_uri from runs "
                "where lifecycle_stage != ?",
                (DELETED,),
            ).fetchall()
            params, tags = (_by_run(database.execute(f"select run_uuid, key, value from {table}"))
                            for table in ("params", "tags"))  # fmt: skip
            metrics: dict[str, dict[str, float]] = defaultdict(dict)
            for run, key, value, is_nan in database.execute("select run_uuid, key, value, is_nan from latest_metrics"):
                metrics[run][sys.intern(key)] = float("nan") if is_nan else _infinite(value)
        self._artifacts = {row[0]: row[6] for row in runs}
        found = [
            (
                experiments[experiment],
                run_of_store(
                    id, experiments[experiment], name, status, (started, ended), params[id], tags[id], metrics[id]
                ),
            )
            for id, experiment, name, status, started, ended, _ in runs
        ]
        self._running = [run for _, run in found if run.status == RUNNING]
        return found

    def _metrics(self, database: sqlite3.Connection, run: Run, names: Sequence[str]) -> Curves:
        """The points of a run that the store has, kept and new ones."""
        found: Curves = {}
        last = database.execute("select max(rowid) from metrics").fetchone()[0] or 0
        for name in names:
            old = self._points.get((run.id, name), _NOTHING)
            if RUNNING in (old.status, run.status):
                steps, values = _points(database, run.id, name, old.row, last)
                if len(steps) and len(old.steps):
                    steps, values = np.r_[old.steps, steps], np.r_[old.values, values]
                    order = np.argsort(steps, kind="stable")
                    steps, values = steps[order], values[order]
                elif len(old.steps):
                    steps, values = old.steps, old.values
                old = self._points[run.id, name] = _Kept(run.status, last, steps, values)
            found[name] = old.steps, old.values
        return found

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """The database, to read; InputError where it cannot be read."""
        if not self.path.is_file():
            raise InputError(f"tracking store {self.path} does not exist: name the folder of a job that has run")
        try:
            with closing(
                sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True, timeout=PATIENCE_S)
            ) as database:
                # VACUUM, which counts as a change of the schema, gives rows other numbers.
                schema = database.execute("pragma schema_version").fetchone()[0]
                if schema != self._schema:
                    self._schema, self._points = schema, {}
                yield database
        except sqlite3.OperationalError as error:
            if "no such" in str(error):
                raise InputError(f"{self.path} has no schema of MLflow ({error}): name the store of a job") from None
            raise InputError(f"{self.path} cannot be read ({error}): close the program that holds it") from None
        except sqlite3.DatabaseError as error:
            raise InputError(f"{self.path} is damaged ({error}): {restoring(self.path)}") from None


def _points(database: sqlite3.Connection, run: str, name: str, after: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of a metric in the rows of the table behind `after`, up to `last`, in order of the steps."""
    # The sign keeps the database from the index of whole runs, by which it would read every series of a run.
    rows = database.execute(
        "select step, case when is_nan then null else value end from metrics "
        "where run_uuid = ? and key = ? and +rowid > ? and +rowid <= ? order by step",
        (run, name, after, last),
    ).fetchall()
    if not rows:
        return _NOTHING.steps, _NOTHING.values
    steps, values = zip(*rows, strict=True)
    points = np.array(values, np.float64)  # None is nan
    points[np.abs(points) == sys.float_info.max] *= np.inf  # a database holds infinity as that number
    return np.array(steps, np.int64), points


def _jobs(runs: list[tuple[str, Run]]) -> list[tuple[Group, list[Run]]]:
    """Jobs with their runs, the newest first: a job is a run with the name of its group, and the runs of that group."""
    mine: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for experiment, run in runs:
        mine[experiment, run.group].append(run)
    jobs = []
    for (experiment, name), found in mine.items():
        heads = [run for run in found if run.parent is None and run.group]
        if heads:
            head = next((run for run in heads if run.name == name), heads[0])
            group = Group(experiment, name, head.kind, head.id, head.status, head.started, head.ended)
            jobs.append((group, sorted(found, key=lambda run: (run.parent is not None, run.role, run.name))))
    return sorted(jobs, key=lambda job: -(job[0].started or 0))


def _by_run(rows: Iterable[tuple[str, str, str]]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for run, key, value in rows:
        # Thousands of runs have the same few names and values.
        found[run][sys.intern(key)] = sys.intern(value or "")
    return found


def _infinite(value: float) -> float:
    return value * float("inf") if abs(value) == sys.float_info.max else value


def _sharing_steps(curves: Curves) -> Curves:
    """The same series, where those of the same rows share one array of steps: half of the memory."""
    steps: list[np.ndarray] = []
    found: Curves = {}
    for name, (own, values) in curves.items():
        known = next((other for other in steps if np.array_equal(own, other)), None)
        if known is None:
            steps.append(known := own)
        found[name] = known, values
    return found

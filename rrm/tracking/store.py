"""The MLflow store of a job: the run of a sweep with a child for each trial, or the run of a study.

Only the driver writes. A run is looked up by its tags before it is created, so that a resumed sweep goes on in the runs
that it had, and no metric point is written twice. If the store goes away, the job goes on: see `Outbox`.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from weakref import WeakValueDictionary

from rrm.errors import InputError
from rrm.tracking.address import checked_uri, database_file
from rrm.tracking.deleted import deleted_runs, refuse_deleted_run
from rrm.tracking.driver import driver_tags
from rrm.tracking.failure import answering
from rrm.tracking.outbox import PATIENCE_S, Outbox
from rrm.tracking.reader import flatten
from rrm.tracking.secrets import HIDDEN, mask
from rrm.tracking.spool import Spool
from rrm.tracking.writer import Writer, connect, default_parent

if TYPE_CHECKING:
    from mlflow import MlflowClient

PARAM_LIMIT = 6000  # characters, of MLflow
SPOOL = "spool"  # of a job, in its folder
GOODBYE_S = 30.0  # how long the end of a job waits for a store that is away
POINTS = 100  # points of a series of a curve file among the metrics; MLflow takes some 10,000 a second
BATCH = 1000  # points in one request

_open_trackers: WeakValueDictionary[tuple[str, str], Tracker] = WeakValueDictionary()


def _tracker_of(experiment: str, job: str) -> Tracker:
    found = _open_trackers.get((experiment, job))
    if found is None:
        raise RuntimeError(f"no tracker of {job} is open in this process: open one before the callbacks are restored")
    return found


class Tracker:
    """Runs of one job in one experiment; as a context, for the length of the job.

    A pickle holds the name of the job only, and loads as the tracker that this process has open for that job. So a
    restored callback writes to the store that --tracking-uri names now, and no pickle holds a password.

    uri: the store, without credentials
    job: its name, which every run has as the tag rrm.group
    kind: of the job, which every run has as the tag rrm.kind; the experiment's name unless given
    """

    _outbox: Outbox  # of a tracker that is connected

    def __init__(self, uri: str, experiment: str, job: str, artifact_root: Path, kind: str = ""):
        self._uri, self.experiment, self.job, self.kind = checked_uri(uri), experiment, job, kind or experiment
        self.uri = mask(self._uri)
        self.artifact_root = artifact_root
        self._writer: Writer | None = None
        self._runs: dict[tuple[str, str], str] = {}
        self._roots: set[str] = set()  # ids of the runs without a parent, which get the heartbeats
        _open_trackers[experiment, job] = self

    def __reduce__(self) -> tuple:
        return _tracker_of, (self.experiment, self.job)

    def __enter__(self) -> Tracker:
        self.connect()
        self._refuse_others()  # another driver may have run and ended since the store was opened
        left = self._outbox.adopt()
        if left:
            print(f"tracking  {left} operations that an earlier driver kept go to {self.uri} now")
        self._outbox.start_beating()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        outbox, self._writer = self._outbox, None
        left = outbox.stop(GOODBYE_S)
        if left:
            print(
                f"tracking store {self.uri} is still away ({outbox.away}): {left} operations are kept in "
                f"{outbox.spool.folder}, and the same command with --resume replays them",
                file=sys.stderr,
            )

    def connect(self) -> None:
        """Open the store, as every method below does where needed.

        InputError where the store does not answer, or where an earlier driver left operations for another store.
        """
        self._connected()

    def _connected(self) -> Writer:
        if self._writer is None:
            self._refuse_others()
            client, experiment_id = connect(self._uri, self.experiment, self.artifact_root)
            self._writer = Writer(client, experiment_id, self.job, self.kind)
            self._outbox = Outbox(self._spool(), self._writer.perform, self._probe, self._beat, self._uri)
        return self._writer

    def refuse_deleted(self) -> None:
        """InputError where a run that the resumed job needs was deleted in the store."""
        writer = self._connected()
        with answering(self._uri):
            for run in deleted_runs(writer.client, writer.experiment_id, self.job):
                refuse_deleted_run(self._uri, writer.client, run)

    def _spool(self) -> Spool:
        header = {"op": "spool", "uri": self.uri, "experiment": self.experiment, "job": self.job, "kind": self.kind}
        return Spool(self.artifact_root.parent / self.job / SPOOL, header)

    def _refuse_others(self) -> None:
        """InputError where an earlier driver left operations for another store: they name runs of that store."""
        spool = self._spool()
        if (left := spool.origin()) is None or mask(checked_uri(left["uri"])) == self.uri:
            return
        home, storage = left["uri"], self.artifact_root.parent
        message = f"what {self.job} logged waits in {spool.folder} for the store {home}"
        if (file := database_file(home)) and not file.exists():
            raise InputError(f"{message}, which is not there: put that file back, or a link to where it is now")
        doctor = shlex.join(["python", "-m", "rrm", "doctor", "--storage", str(storage), "--tracking-uri", home])
        credentials = f" ({HIDDEN} are its credentials)" if HIDDEN in home else ""
        raise InputError(f"{message}: name that by --tracking-uri, or send it there first with `{doctor}`{credentials}")

    @property
    def client(self) -> MlflowClient:
        """MLflow's client, after everything logged so far was sent; InputError where the store is away."""
        writer = self._connected()
        if self._outbox.flush(PATIENCE_S):
            raise InputError(f"tracking store {self.uri} is away: what was logged cannot be read")
        return writer.client

    @property
    def experiment_id(self) -> str:
        """MLflow's id of the experiment."""
        return self._connected().experiment_id

    def _probe(self) -> None:
        writer = self._connected()
        writer.client.get_experiment(writer.experiment_id)

    def _beat(self) -> None:
        for run in list(self._roots):
            self._connected().client.set_tag(run, "rrm.heartbeat", str(_now()))

    def _submit(self, operation: str, **arguments: Any) -> None:
        self.connect()
        self._outbox.submit({"op": operation} | arguments)

    def run(
        self,
        role: str,
        name: str,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, Any] | None = None,
        parent: tuple[str, str] | None = None,
    ) -> str:
        """The id of the job's run with this role ("sweep", "trial", "study", ...) and name, created if there is none.

        Args:
            params: parameters, nested dictionaries flattened with dots
            tags: tags; those by which a run is found (rrm.job, rrm.role, rrm.name, rrm.kind, rrm.group) are its own
            parent: role and name of the run that it is a child of; for a trial the job's sweep unless given

        While the store is away, the id of a child is ROLE/NAME, which every method here takes. For a run without parent
        a store that is away is an InputError, because its job has not begun yet.
        """
        writer = self._connected()
        if (role, name) not in self._runs or "/" in self._runs[role, name]:
            handle, above = f"{role}/{name}", "/".join(parent) if parent else default_parent(role, self.job)
            flat = {key: str(value)[:PARAM_LIMIT] for key, value in flatten(params or {})}
            tags = {key: str(value) for key, value in (tags or {}).items()}
            if above is None:
                with answering(self._uri):
                    self._roots.add(writer.create(role, name, flat, tags, _now()))
            elif (role, name) not in self._runs:
                self._submit("create", run=handle, params=flat, tags=tags, time=_now(), parent=above)
            self._runs[role, name] = writer.runs.get(handle, handle)
        return self._runs[role, name]

    def params(self, run: str, params: Mapping[str, Any]) -> None:
        """Log parameters, nested dictionaries flattened with dots."""
        self._submit("params", run=run, params={name: str(value)[:PARAM_LIMIT] for name, value in flatten(params)})

    def tags(self, run: str, tags: Mapping[str, Any]) -> None:
        """Set tags."""
        self._submit("tags", run=run, tags={name: str(value) for name, value in tags.items()})

    def metrics(self, run: str, metrics: Mapping[str, float], step: int) -> None:
        """Log one point per metric in one write; a metric that was logged at this step or a later one is passed over.

        Every metric has a clock of its own: rows of several series may have one step, or come in any order.
        """
        self._submit("metrics", run=run, metrics=_floats(metrics), step=int(step), time=_now())

    def summary(self, run: str, metrics: Mapping[str, float]) -> None:
        """Log single values once: a resumed sweep that computes a value again adds no second point."""
        self._submit("summary", run=run, metrics=_floats(metrics), time=_now())

    def curves(self, run: str, path: Path) -> None:
        """Log a curve file once: the file as an artifact, and thinned copies of series that are no metrics of the run.

        Series without a slash in their name, such as the number of an evaluation, stay in the file. InputError where
        the file is not there or is no curve file.
        """
        from rrm.curves import FOLDER, read_curves, thin  # numpy, which --help does without

        series = {name: thin(*points, POINTS) for name, points in read_curves(path).items() if "/" in name}
        self.artifact(run, path, FOLDER)
        names = sorted(series)
        for first in range(0, len(names), BATCH // POINTS):
            some = {name: [array.tolist() for array in series[name]] for name in names[first : first + BATCH // POINTS]}
            self._submit("series", run=run, series=some, time=_now())

    def dataset(self, run: str, name: str, digest: str, source: str, context: str) -> None:
        """Record the data set that a run used."""
        self._submit("dataset", run=run, name=name, digest=digest, source=source, context=context)

    def artifact(self, run: str, path: Path, folder: str = "") -> None:
        """Copy a file, or the files of a folder, into the run's artifacts; OSError where there is none."""
        self.connect()
        if path.is_dir():
            for file in sorted(file for file in path.rglob("*") if file.is_file()):
                below = file.parent.relative_to(path).as_posix()
                self.artifact(run, file, "/".join(part for part in (folder, below) if part not in ("", ".")))
        else:
            self._submit("artifact", run=run, path=str(self._outbox.spool.keep(path)), folder=folder)

    def reopen(self, run: str) -> None:
        """Set the status of a run to RUNNING, driven by this process."""
        self._submit("reopen", run=run, tags=driver_tags() | {"rrm.heartbeat": str(_now())})

    def finish(self, run: str, status: str) -> None:
        """Close a run as FINISHED, FAILED or KILLED; a closed run keeps its end time."""
        self._submit("finish", run=run, status=status, time=_now())

    def close_open_runs(self, status: str) -> None:
        """Close every run of the job that is still RUNNING."""
        self._submit("close", status=status, time=_now())

    def ui(self, compare_by: str = "") -> tuple[str, str]:
        """(command that opens the UI, link to this job in it).

        With the name of a metric the link opens charts of the job's trials side by side, the best one first.
        """
        search = f"tags.`rrm.job` = '{self.job}'"
        view = ""
        if compare_by:
            search += " and tags.`rrm.role` = 'trial'"
            view = f"&orderByKey={quote(f'metrics.`{compare_by}`')}&orderByAsc=false&compareRunsMode=CHART"
        fragment = f"#/experiments/{self.experiment_id}/runs?searchFilter={quote(search)}{view}"
        if self.uri.startswith("http"):
            return f"open {shlex.quote(self.uri)}", f"{self.uri}/{fragment}"
        command = ["mlflow", "ui", "--backend-store-uri", self.uri, "--port", "5050"]
        return shlex.join(command), f"http://127.0.0.1:5050/{fragment}"


def replay(folder: Path, uri: str | None = None) -> int:
    """Send the operations that the driver of the job in `folder` left in its spool; -> their number.

    `uri` is needed for a store with credentials, because a spool holds none. InputError where the store does not answer
    or the driver is alive; the operations then stay.
    """
    spool = Spool(folder / SPOOL, {})
    header, left = spool.origin(), spool.load()
    spool.close()
    if header is None or not left:
        return 0
    store, job = checked_uri(uri or header["uri"]), header["job"]
    if HIDDEN in store:
        raise InputError(f"the spool of {folder} belongs to {store}: give --tracking-uri with its credentials")
    if job != folder.name:
        raise InputError(f"the spool of {folder} belongs to job {job}: give the folder of that job")
    tracker = Tracker(store, header["experiment"], job, folder.parent / "artifacts", header["kind"])
    tracker.connect()
    count = tracker._outbox.adopt()
    if remain := tracker._outbox.stop(GOODBYE_S):
        raise InputError(f"tracking store {tracker.uri} is away: {remain} operations stay in {spool.folder}")
    return count


def _floats(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items()}


def _now() -> int:
    return int(time.time() * 1000)

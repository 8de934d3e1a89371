"""Checks of the MLflow store: does it answer, is it whole, has it our schema, does it hold runs without a driver?"""

import base64
import functools
import json
import os
import sqlite3
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from rrm.doctor import Finding, Setting, fail, ok, warn
from rrm.doctor.storage import claimed
from rrm.errors import InputError
from rrm.tracking.address import VARIABLE, checked_uri, database_file, default_uri, giver
from rrm.tracking.client import make_client
from rrm.tracking.database import NO_RUN, PATIENCE_S, restoring, trouble
from rrm.tracking.deleted import deleted_runs, restore_command
from rrm.tracking.failure import schema_of
from rrm.tracking.secrets import mask
from rrm.tracking.stale import close_stale, stale_runs
from rrm.tracking.store import SPOOL, Tracker, replay

OURS = "tags.`rrm.job` LIKE '%'"
CREDENTIALS = (
    "export MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, or correct "
    "~/.mlflow/credentials"
)


def store(setting: Setting) -> Iterator[Finding]:
    """The store answers, is whole, and has a schema that the installed MLflow reads."""
    yield _store(setting.tracking_uri)


@functools.cache
def _store(uri: str) -> Finding:
    """The finding on the store, computed once; checks that need the store ask for it first."""
    if (path := database_file(uri)) is not None:
        return _sqlite(path, uri)
    return _server(uri) if uri.startswith("http") else _remote_database(uri)


def _answers(setting: Setting) -> bool:
    """Whether the store exists and can be asked for runs."""
    path = database_file(setting.tracking_uri)
    return (path is None or path.exists()) and _store(setting.tracking_uri).level != "fail"


def _sqlite(path: Path, uri: str) -> Finding:
    if not path.exists():
        return ok(f"{path} is not there yet; the first sweep makes it")
    if found := trouble(path, uri):
        return found
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=PATIENCE_S)) as connection:
            verdict = connection.execute("pragma quick_check(1)").fetchone()[0].splitlines()[-1]
    except sqlite3.DatabaseError as error:
        verdict = str(error)
    if verdict != "ok":
        return fail(f"{path} is damaged ({verdict})", "runs are missing or cannot be read", restoring(path))
    import mlflow

    return ok(f"{path}, {path.stat().st_size / 1e6:.1f} MB, whole, schema of MLflow {mlflow.__version__}")


def _remote_database(uri: str) -> Finding:
    try:
        make_client(uri, writes=True).search_experiments(max_results=1)
    except Exception as error:  # each database driver has its own exceptions
        if finding := schema_of(error, uri):
            return finding
        reason = " ".join(str(error).split())[:200]
        cure = f"start the database, or correct user and password in {giver(uri)}"
        return fail(f"{uri} does not answer ({reason})", NO_RUN, cure)
    return ok(f"{uri} answers")


def _ask(uri: str, path: str) -> str:
    """The server's answer to a GET with the credentials that MLflow's client sends."""
    from mlflow.utils.credentials import read_mlflow_creds

    parts = urlsplit(uri)
    # MLflow reads them from the environment or from ~/.mlflow/credentials.
    given = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    user, password = given or read_mlflow_creds()
    plain = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", "")) + path
    request = urllib.request.Request(plain)
    if user and password:
        request.add_header("Authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode())
    elif token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=5) as answer:
        return answer.read(1 << 20).decode(errors="replace")


def _server(uri: str) -> Finding:
    try:
        _ask(uri, "/health")
        version = _ask(uri, "/version").strip()
        # A server tells its health and version to everybody, but lists experiments only to its users.
        json.loads(_ask(uri, "/api/2.0/mlflow/experiments/search?max_results=1"))
    except urllib.error.HTTPError as error:
        return _refused(uri, error)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        return fail(
            f"{uri} does not answer ({reason})",
            NO_RUN,
            "start it (mlflow server --backend-store-uri ... --artifacts-destination ...), correct "
            f"{giver(uri)}, or {'unset it' if giver(uri) == VARIABLE else 'leave it out'} to use sqlite in the storage "
            "folder",
        )
    import mlflow

    if version.split(".")[:2] != mlflow.__version__.split(".")[:2]:
        return warn(
            f"{uri} is MLflow {version}, here is {mlflow.__version__}",
            "calls that one of them does not know fail",
            f"pip install mlflow=={version}, or upgrade the server",
        )
    return ok(f"{uri} answers, MLflow {version}")


def _refused(uri: str, error: urllib.error.HTTPError) -> Finding:
    said = error.read(2000).decode(errors="replace")
    means = NO_RUN
    if error.code == 403 and "host" in said.lower():
        return fail(
            f"{uri} refuses its own name (403 {said.strip()[:80]})",
            means,
            f"start the server with --allowed-hosts {urlsplit(uri).netloc.rpartition('@')[2]}",
        )
    if error.code in (401, 403):
        return fail(f"{uri} asks for credentials ({error.code})", means, CREDENTIALS)
    return fail(
        f"{uri} answers {error.code} {error.reason}",
        means,
        "see the server's log, and whether the URI is that of an MLflow server",
    )


def job_statuses(setting: Setting) -> dict[str, str] | None:
    """{job: status of its run} of sweeps and studies; None where the store does not answer."""
    if not _answers(setting):
        return None
    client = make_client(setting.tracking_uri, writes=False)
    experiments = [experiment.experiment_id for experiment in client.search_experiments(max_results=1000)]
    found = {}
    for role in ("sweep", "study"):
        for run in client.search_runs(experiments, f"tags.`rrm.role` = '{role}'", max_results=5000):
            found[run.data.tags["rrm.job"]] = run.info.status
    return found


def spool(setting: Setting) -> Iterator[Finding]:
    """Send the operations that drivers could not send before they ended."""
    waiting = sorted(path for path in setting.storage.glob(f"*/{SPOOL}/operations.jsonl") if path.stat().st_size)
    for path in waiting:
        folder = path.parents[1]
        if claimed(folder):
            yield ok(f"{folder.name} is in use, its driver sends what waits in {path.parent}")
            continue
        try:
            with open(path, encoding="utf-8") as file:
                home = str(json.loads(file.readline(1 << 20))["uri"])
            if mask(checked_uri(home)) != mask(checked_uri(setting.tracking_uri)):
                raise InputError(f"it is for {home}: name that by --tracking-uri")
            count = replay(folder, setting.tracking_uri) if _answers(setting) else None
        except (ValueError, KeyError, TypeError) as error:  # InputError is among them
            yield warn(
                f"what {folder.name} logged waits in {path.parent} ({error})",
                "the store does not have it",
                "do what the reason says, then run the doctor again, or the job with --resume",
            )
            continue
        if count is None:
            yield warn(
                f"what {folder.name} logged waits in {path.parent}",
                "the store does not have it, and does not answer",
                "mend the store, then run the doctor again, or the job with --resume",
            )
        else:
            yield ok(f"{count} operations that {folder.name} had left were sent to the store")
    if not waiting:
        yield ok("nothing waits for the store")


def runs(setting: Setting) -> Iterator[Finding]:
    """Close the RUNNING runs whose driver has died."""
    if not _answers(setting):
        return
    # A driver of an old version sends no heartbeats, but holds the lock of its folder.
    stale = [run for run in stale_runs(setting.tracking_uri) if not claimed(setting.storage / run.job)]
    close_stale(setting.tracking_uri, stale)
    for run in stale:
        driver = f"process {run.pid} on {run.host}" if run.pid else "which did not say where it ran"
        yield warn(
            f"run {run.name} of {run.job} was RUNNING and is closed as KILLED",
            f"its driver, {driver}, was last heard of {run.last_sign_s / 60:.0f} minutes ago",
            "the command that started it opens it again with --resume",
        )
    if not stale:
        yield ok("every run that is RUNNING has a driver")


def deleted(setting: Setting) -> Iterator[Finding]:
    """Deleted experiments, whose names are taken, and deleted runs of jobs in the storage folder."""
    if not _answers(setting):
        return
    from mlflow.entities import ViewType

    uri, client = setting.tracking_uri, make_client(setting.tracking_uri, writes=False)
    found = client.search_experiments(view_type=ViewType.DELETED_ONLY, max_results=1000)
    lost = [one for one in found if client.search_runs([one.experiment_id], OURS, ViewType.ALL, max_results=1)]
    for one in lost:
        yield fail(
            f"the experiment {one.name} was deleted",
            "its sweeps and studies do not start, as its name is taken",
            f"{restore_command(uri, 'experiment', one.experiment_id)}, or name another store by --tracking-uri",
        )
    living = [one.experiment_id for one in client.search_experiments(max_results=1000)]
    parents = client.search_runs(living, f"{OURS} and tags.`rrm.role` != 'trial'", ViewType.DELETED_ONLY)
    jobs = {(run.info.experiment_id, run.data.tags["rrm.job"]) for run in parents}
    runs = [run for one, job in sorted(jobs) if (setting.storage / job).is_dir()
            for run in deleted_runs(client, one, job)]  # fmt: skip
    for run in runs:
        yield warn(
            f"the run of {run.data.tags['rrm.role']} {run.data.tags['rrm.job']} was deleted",
            "--resume does not carry on with it",
            restore_command(uri, "run", run.info.run_id),
        )
    if not lost and not runs:
        yield ok("no experiment and no run of a job in the storage folder was deleted")


def write_and_read(setting: Setting) -> Iterator[Finding]:
    """Write a run to a new store and read it back."""
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch, "note.txt").write_bytes(b"written")
        with Tracker(default_uri(Path(scratch)), "doctor", "doctor", Path(scratch, "artifacts")) as tracker:
            run = tracker.run("study", "doctor", {"sigma": 0.1})
            tracker.metrics(run, {"train/loss": 0.5}, 1)
            tracker.artifact(run, Path(scratch, "note.txt"))
            tracker.finish(run, "FINISHED")
        again = Tracker(default_uri(Path(scratch)), "doctor", "doctor", Path(scratch, "artifacts")).client.get_run(run)
        copies = [path.read_bytes() for path in Path(scratch, "artifacts").rglob("note.txt")]
    if (again.data.metrics.get("train/loss"), again.info.status, copies) == (0.5, "FINISHED", [b"written"]):
        yield ok("a run is written and read back")
    else:
        yield fail(
            "a run that was written reads otherwise",
            "results of sweeps would be lost",
            "pip install --force-reinstall mlflow",
        )

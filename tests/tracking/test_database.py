"""Stores that MLflow cannot use as they are, and what was deleted in its UI: one line, and the doctor's the same."""

import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from rrm.doctor import Setting
from rrm.errors import InputError
from rrm.tracking import Tracker, database, default_uri, doctor
from rrm.tracking.failure import answering
from rrm.tracking.read import find_run

HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("begin exclusive")
print("held", flush=True)
input()
"""


@pytest.fixture
def tracker(storage):
    def make(job="job"):
        return Tracker(default_uri(storage), "experiment", job, storage / "artifacts")

    return make


@pytest.fixture(autouse=True)
def fresh():
    doctor._store.cache_clear()


def set_version(storage, version):
    with closing(sqlite3.connect(storage / "mlflow.db")) as connection, connection:
        connection.execute("update alembic_version set version_num = ?", [version])


def refused(storage, tracker) -> str:
    """The line of a job, which is the doctor's finding."""
    with pytest.raises(InputError) as caught:
        tracker().connect()
    (finding,) = doctor.store(Setting(storage, default_uri(storage)))
    assert finding.level == "fail" and str(caught.value) == f"tracking store: {finding}"
    assert not (storage / "job").exists() and "\n" not in str(caught.value)
    return str(caught.value)


def test_a_database_that_another_program_holds(storage, tracker, monkeypatch):
    monkeypatch.setattr(database, "PATIENCE_S", 0.05)
    command = [sys.executable, "-c", HOLD, str(storage / "mlflow.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        line = refused(storage, tracker)
        with pytest.raises(InputError, match="another program holds it"):
            find_run(default_uri(storage), "0" * 32)
        holder.stdin.close()
    assert f"is locked: another program holds it: {Path(sys.executable).name} (process {holder.pid}). Way out" in line
    assert "close that program, or wait" in line
    tracker().connect()


def test_a_database_of_an_older_mlflow(storage, tracker):
    set_version(storage, "451aebb31d03")
    line, file = refused(storage, tracker), storage / "mlflow.db"
    assert line.endswith(f"Way out: cp {file} {file}.bak && mlflow db upgrade sqlite:///{file}")


def test_a_database_of_a_newer_mlflow(storage, tracker):
    set_version(storage, "ffffffffffff")
    line = refused(storage, tracker)
    assert "a newer MLflow has written it" in line and "pip install --upgrade mlflow" in line
    assert "db upgrade" not in line


def test_a_database_server_of_another_mlflow():
    from mlflow.exceptions import MlflowException

    said = "Detected out-of-date database schema (found version {}, but expected x). Take a backup of your database"
    for version, way_out in (("451aebb31d03", "mlflow db upgrade 'postgresql://***@h/db'"), ("f" * 12, "pip install")):
        with pytest.raises(InputError) as refused, answering("postgresql://me:pass@h/db"):
            raise MlflowException(said.format(version))
        assert way_out in str(refused.value) and "pass@" not in str(refused.value)


def test_a_database_server_without_its_driver():
    needed = r"store mssql://\*\*\*@h/db needs the Python package pyodbc: install it"
    with pytest.raises(InputError, match=needed), answering("mssql://u:secret@h/db"):
        raise ModuleNotFoundError("No module named 'pyodbc'", name="pyodbc")


def test_a_database_of_another_program_or_none(storage, tracker):
    file = storage / "mlflow.db"
    file.unlink()
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("create table t (x)")
    assert "has no schema of MLflow" in refused(storage, tracker)
    doctor._store.cache_clear()
    file.unlink()
    file.mkdir()
    assert "is not a file" in refused(storage, tracker)


def test_a_database_that_others_own(storage, tracker, monkeypatch):
    uri = default_uri(storage)
    run = tracker().run("study", "job")
    database._check.cache_clear()
    for place in (storage / "mlflow.db", storage):
        doctor._store.cache_clear()
        monkeypatch.setattr("os.access", lambda path, mode, place=place: path != place)  # root may write everywhere
        with pytest.raises(InputError, match=f"{place} cannot be written to by this user: .*ls -ld {place}"):
            tracker().connect()
        (finding,) = doctor.store(Setting(storage, uri))
        assert finding.level == "fail" and f"{place} cannot be written to" in finding.found
        assert find_run(uri, run).info.run_id == run  # it can be read


def restored(line: str) -> str:
    """What MLflow's own command prints, as a user pastes it."""
    command = line.partition("`")[2].partition("`")[0]
    assert shlex.split(command)[1] == "mlflow"
    mlflow = shlex.join([sys.executable, "-m", "mlflow"])
    done = subprocess.run(command.replace(" mlflow ", f" {mlflow} ", 1), shell=True, capture_output=True, text=True)
    return done.stdout


def test_an_experiment_that_was_deleted(storage, tracker):
    run = tracker().run("sweep", "job")
    setting, client = Setting(storage, default_uri(storage)), tracker().client
    client.delete_experiment(tracker().experiment_id)
    for ask in (tracker("other").connect, lambda: find_run(default_uri(storage), run)):
        with pytest.raises(InputError, match="the experiment experiment of .* was deleted") as refused:
            ask()
    (finding,) = [found for found in doctor.deleted(setting) if found.level != "ok"]
    assert finding.level == "fail" and finding.cure.partition(",")[0] in str(refused.value)
    assert "has been restored" in restored(str(refused.value))
    assert find_run(default_uri(storage), run) and [found.level for found in doctor.deleted(setting)] == ["ok"]


def test_a_run_that_was_deleted(storage, tracker):
    parent, kept = tracker().run("sweep", "job"), tracker().run("trial", "trial-000")
    lost = tracker().run("trial", "trial-001")
    (storage / "job").mkdir(exist_ok=True)
    tracker().refuse_deleted()
    client = tracker().client
    client.delete_run(lost)
    for ask in (tracker().refuse_deleted, lambda: find_run(default_uri(storage), lost)):
        with pytest.raises(InputError, match=f"run {lost} of .* was deleted: restore it by .* runs restore --run-id"):
            ask()
    # A twin that the tracker deleted itself is nobody's loss.
    client.restore_run(lost)
    client.delete_run(client.create_run(tracker().experiment_id, tags=client.get_run(kept).data.tags).info.run_id)
    tracker().refuse_deleted()
    client.delete_run(parent)
    (finding,) = doctor.deleted(Setting(storage, default_uri(storage)))
    assert finding.level == "warn" and f"--run-id {parent}" in finding.cure

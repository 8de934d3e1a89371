"""Which store is used: the option, the variable, or the storage folder; and addresses that name none."""

import os
import runpy
import shlex
import socket
import sys
from pathlib import Path

import pytest

from rrm.errors import InputError
from rrm.tracking import Tracker, announce, default_uri, tracking_uri
from rrm.tracking.address import checked_uri, giver
from rrm.tracking.read import find_run

ANALYSIS = Path(__file__).parents[2] / "analysis"


def test_the_option_wins_over_the_variable_and_that_over_the_folder(monkeypatch, tmp_path, capsys):
    assert tracking_uri(None, tmp_path) == default_uri(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server:5000")
    assert tracking_uri(None, tmp_path) == "http://server:5000"
    announce(tracking_uri(None, tmp_path))
    assert tracking_uri("sqlite:////x.db", tmp_path) == "sqlite:////x.db"
    announce("sqlite:////x.db")
    assert capsys.readouterr().out == (
        "tracking  http://server:5000, of MLFLOW_TRACKING_URI\ntracking  sqlite:////x.db\n"
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    assert tracking_uri(None, tmp_path) == default_uri(tmp_path)
    # Trials run in other folders.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mine.db")
    assert tracking_uri(None, Path("runs")) == f"sqlite:///{tmp_path}/mine.db"
    assert giver(f"sqlite:///{tmp_path}/mine.db") == "MLFLOW_TRACKING_URI"
    assert checked_uri("sqlite+pysqlite:///mine.db") == f"sqlite:///{tmp_path}/mine.db"


@pytest.mark.parametrize(
    "uri", ["databricks", "databricks://profile", "file:///tmp/mlruns", "./mlruns", "sqlite://", "sqlite:///:memory:",
            "sqlite:x.db", "http:///x", "http://[me"]
)  # fmt: skip
def test_stores_of_no_known_kind(uri, monkeypatch, tmp_path):
    with pytest.raises(InputError, match="--tracking-uri .* is of no known kind: use sqlite:///FILE or http://SERVER$"):
        tracking_uri(uri, tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(InputError, match="MLFLOW_TRACKING_URI .* is of no known kind: .*, or unset MLFLOW_TRACK"):
        tracking_uri(None, tmp_path)


@pytest.mark.parametrize("name", ["a?b", "a%20b", "100%"])
def test_paths_that_are_taken_for_addresses_are_refused_and_make_no_file(name, tmp_path):
    with pytest.raises(InputError, match=r"--storage .* has [?%] in its path"):
        tracking_uri(None, tmp_path / name)
    with pytest.raises(InputError, match=r"--tracking-uri .* has [?%] in its path"):
        Tracker(f"sqlite:///{tmp_path / name / 'mlflow.db'}", "experiment", "job", tmp_path)
    assert not os.listdir(tmp_path)
    assert tracking_uri("http://server", tmp_path / name) == "http://server"


def test_paths_with_spaces_and_quotes_work_and_are_quoted(storage, tmp_path):
    odd = storage.rename(tmp_path / "my 'runs' $HOME #1")
    tracker = Tracker(default_uri(odd), "experiment", "job", odd / "artifacts")
    run = tracker.run("study", "job")
    (tmp_path / "note.txt").write_text("kept")
    tracker.artifact(run, tmp_path / "note.txt")
    assert [path.name for path in odd.rglob("note.txt")] == ["note.txt"]
    command, link = tracker.ui()
    assert shlex.split(command) == ["mlflow", "ui", "--backend-store-uri", default_uri(odd), "--port", "5050"]
    of_trials = tracker.ui("test/best_exact")[1]
    assert of_trials.startswith(link[:-3]) and of_trials.endswith("&orderByAsc=false&compareRunsMode=CHART")
    assert not {" ", "'"} & {*link, *of_trials} and sorted(os.listdir(tmp_path)) == [odd.name, "note.txt"]


@pytest.fixture
def dead_server():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_a_server_of_the_variable_that_is_down(monkeypatch, tmp_path, dead_server, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", dead_server)
    uri, line = tracking_uri(None, tmp_path), "does not answer (connection refused): start it, or correct MLFLOW_TRACK"
    for ask in (lambda: find_run(uri, "0" * 32), Tracker(uri, "experiment", "job", tmp_path / "artifacts").connect):
        with pytest.raises(InputError) as refused:
            ask()
        assert line in str(refused.value)
    for script in ("outcome_figures", "peak_accuracy"):
        monkeypatch.setattr(sys, "argv", [script, "--run", "0" * 32, "--out", str(tmp_path)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(ANALYSIS / f"{script}.py"), run_name="__main__")
        assert ended.value.code == 2 and line in capsys.readouterr().err

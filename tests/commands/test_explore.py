"""`python -m rrm explore`: bad input before any work, and figures in one file."""

import socket

import pytest

from rrm.__main__ import main
from rrm.tracking import Tracker, default_uri
from rrm.tracking.embedded import create_store

HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    storage = tmp_path_factory.mktemp("explore") / "runs"
    create_store(storage / "mlflow.db", storage / "artifacts")
    with Tracker(default_uri(storage), "experiment", "job", storage / "artifacts", kind="sweep") as tracker:
        for name in ("trial-000", HOSTILE):
            run = tracker.run("trial", name)
            for step in range(3):
                tracker.metrics(run, {"train/loss": 1 / (1 + step)}, step)
    return storage


def refusal(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(["explore", *map(str, arguments)])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_bad_input_is_one_line(storage, capsys, tmp_path):
    at = ("--storage", storage)
    assert "there is no store" in refusal(capsys, "--storage", tmp_path)
    assert "--port 70000" in refusal(capsys, *at, "--port", 70000)
    assert "no file that can be written" in refusal(capsys, *at, "--export", tmp_path / "none" / "x.html")
    nothing = refusal(capsys, *at, "--export", tmp_path / "x.html", "--view", "?find=nothing")
    assert "--export" in nothing and not (tmp_path / "x.html").exists()
    (tmp_path / "mlflow.db").write_bytes(b"no database")
    assert "damaged" in refusal(capsys, "--storage", tmp_path, "--export", tmp_path / "x.html")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"--port {port} cannot be used" in refusal(capsys, *at, "--port", port, "--no-browser")


def test_figures_are_written_into_one_file(storage, capsys, tmp_path):
    file = tmp_path / "figures.html"
    link = "http://127.0.0.1:7860/?group=&scale_y=linear"
    assert main(["explore", "--storage", str(storage), "--export", str(file), "--view", link]) == 0
    assert "Training" in capsys.readouterr().out
    text = file.read_text()
    assert HOSTILE not in text and "trial-000" in text and 'src="http' not in text

"""The command line: quick help, and one clear line for bad input before anything starts."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from rrm.commands.sweep import run_command
from rrm.tasks import get_task
from rrm.tasks.puzzle_csv import write_puzzles

SPECS = Path(__file__).resolve().parents[2] / "tune_specs"
SPEC = runpy.run_path(str(SPECS / "perturb_sweep.py"))["SPEC"]

SOLVED = "1234341221434321"
TWO = f"x,{'1' + '.' * 15},{SOLVED},0"


def refused(capsys, storage, *argv) -> str:
    """Run the command, which must exit with 2 after one line on stderr; returns that line."""
    with pytest.raises(SystemExit) as stop:
        run_command(SPEC, "", ["--preset", "smoke", "--storage", str(storage), *argv])
    captured = capsys.readouterr()
    assert stop.value.code == 2
    assert captured.err.count("\n") == 1 and captured.err.startswith("error: ")
    return captured.err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--model", "lstm"], ["'lstm'", "trm_mlp", "trm_att"]),
        (["--preset", "huge"], ["'huge'", "default", "smoke"]),
        (["--data", "nowhere.csv"], ["nowhere.csv", "does not exist"]),
        (["--data", "/dev/null"], ["--data /dev/null", "a pipe or a device", "write it to a file"]),
        (["--name", "../x"], ["--name '../x'", "without slashes"]),
        (["--name", "it's"], ["it's", "quotes"]),
        (["--name", "x" * 300], ["1 to 100 characters"]),
        (["--name", ""], ["--name ''"]),
        (["--name", "artifacts"], ["artifacts", "choose another"]),
        (["--seed", "-1"], ["--seed -1", "from 0"]),
        (["--sigma", "-0.1"], ["-0.1", "positive"]),
        (["--sigma", "nan"], ["nan", "positive"]),
        (["--trials", "0"], ["--trials 0", "1 or more"]),
        (["--workers-per-trial", "1000"], ["batch size 32", "1000 workers"]),
        (["--address", "127.0.0.1:1"], ["127.0.0.1:1", "no Ray cluster answers"]),
        (["--resume"], ["holds no sweep to resume"]),
        (["--tracking-uri", "ftp://x"], ["ftp://x", "sqlite:///FILE"]),
        (["--colour", "red"], ["--colour", "--help"]),
    ],
)
def test_bad_arguments(capsys, tmp_path, argv, words):
    line = refused(capsys, tmp_path, *argv)
    assert all(word in line for word in words), line
    assert not list(tmp_path.glob("perturb_sweep*"))


@pytest.mark.parametrize(
    ("row", "words"),
    [("x,12..34..2143432.", ["puzzles.csv", "line 42", "2 of"]), (TWO, ["puzzles.csv", "line 42", "solution"])],
)
def test_bad_puzzle_files(capsys, tmp_path, row, words):
    path = tmp_path / "puzzles.csv"
    write_puzzles(path, get_task("sudoku-4x4").generate(40, seed=0))
    path.write_text(path.read_text() + row + "\n")
    line = refused(capsys, tmp_path, "--data", str(path))
    assert all(word in line for word in words), line


def test_an_existing_sweep_is_refused_without_resume(capsys, tmp_path):
    folder = tmp_path / "perturb_sweep-smoke"
    folder.mkdir()
    (folder / "sweep.json").write_text("{}")
    assert "--resume" in refused(capsys, tmp_path)
    (folder / "sweep.json").unlink()
    (folder / "precious.txt").write_text("")
    assert "is not a sweep" in refused(capsys, tmp_path)


def test_help_imports_nothing_heavy():
    code = (
        f"import runpy, sys; sys.argv = ['x', '--help']\n"
        f"try: runpy.run_path({str(SPECS / 'perturb_sweep.py')!r}, run_name='__main__')\n"
        "except SystemExit as stop: assert not stop.code\n"
        "heavy = {'torch', 'ray', 'mlflow', 'optuna', 'numpy', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "--workers-per-trial" in done.stdout


def test_plain_packages_know_neither_ray_nor_mlflow():
    code = (
        "import sys, rrm.tasks, rrm.models, rrm.dynamics, rrm.training.trainer, rrm.statistics\n"
        "assert not {'ray', 'mlflow', 'optuna', 'matplotlib'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr

"""Trainings with their tangent: arms differ where they say they do, and a study is told in one line, or resumed."""

import json
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rrm.errors import InputError
from rrm.toys.training_stability import ARMS, NORMS, StabilitySetting, measure_training
from rrm.tracking.sqlite_reader import SqliteReader

SCRIPT = Path(__file__).parents[2] / "analysis" / "training_stability.py"
TINY = StabilitySetting(
    p=5, hidden_size=4, mlp_size=6, steps=30, every=5, window=(0, 20), settle=5, plateau=10, twin_steps=8
)


@pytest.fixture(scope="module")
def runs():
    return {arm: measure_training(arm, 0, TINY) for arm in ARMS}


def test_arms_differ_where_they_say(runs):
    norm = {arm: np.array(run.curves["weight_norm"]) for arm, run in runs.items()}
    # Rows at steps 5, 10, 15, 20: the decay of one arm ends at step 10.
    assert (norm["decay off"][:2] == norm["grokking"][:2]).all()
    assert (norm["decay off"][2:] > norm["grokking"][2:4]).all()
    assert (norm["no decay"] > norm["grokking"][:4]).all()
    assert runs["shuffled answers"].curves["step"] == [5, 10, 15, 20]
    # The arm that generalises goes on without a tangent.
    grokking = runs["grokking"].curves
    assert grokking["step"][-1] == 30 and np.isnan(grokking["growth/weights"][-1])


def test_every_norm_is_measured_and_twins_agree(runs):
    for run in runs.values():
        assert all(np.isfinite(run.curves[f"growth/{norm}"][:4]).all() for norm in NORMS)
        assert abs(run.twin - run.tangent) < 1e-5 and run.jumps == 0


@pytest.mark.parametrize(
    "change, said",
    [
        ({"window": (0, 10)}, "window 0 10 is out of place"),
        ({"steps": 15}, "window 0 20 is out of place"),
        ({"p": 1}, "p is 1"),
        ({"lr": 0.0}, "lr is 0.0"),
        ({"activation": "cosine"}, "cosine"),
    ],
)
def test_bad_settings_are_told(change, said):
    with pytest.raises(InputError, match=said):
        measure_training("grokking", 0, replace(TINY, **change))


def test_script_keeps_what_is_there_and_measures_a_line_that_was_cut_off(monkeypatch, tmp_path, capsys):
    asked = []

    def measure(arm, seed, setting):
        asked.append((arm, seed))
        return measure_training(arm, seed, replace(TINY, p=setting.p))

    monkeypatch.setattr("rrm.toys.training_stability.measure_training", measure)
    monkeypatch.setattr("rrm.toys.training_stability.StabilitySetting", lambda **_: TINY)
    arguments = [str(SCRIPT), "--out", str(tmp_path), "--preset", "smoke", "--arms", "grokking", "no decay",
                 "--storage", str(tmp_path / "runs")]  # fmt: skip
    monkeypatch.setattr("sys.argv", arguments)
    runpy.run_path(str(SCRIPT), run_name="__main__")
    file = tmp_path / "training_stability.jsonl"
    assert len(asked) == 4 == len(file.read_text().splitlines()) and (tmp_path / "training_stability.png").exists()
    assert "2 seeds are too few for a verdict" in capsys.readouterr().out
    logged = SqliteReader(tmp_path / "runs" / "mlflow.db")
    runs = {run.name: run for run in logged.every_run()}
    steps, growth = logged.history(runs["grokking, seed 1"], "stability/growth/weights")
    assert runs.keys() >= {"grokking, seed 0", "no decay, seed 1"} and steps[0] == 5 and np.isfinite(growth).any()
    kept = file.read_text().splitlines()
    file.write_text("\n".join([*kept[:3], kept[3][:50]]) + "\n")
    runpy.run_path(str(SCRIPT), run_name="__main__")
    assert asked[4:] == [("no decay", 1)]
    assert json.loads(file.read_text().splitlines()[-1])["arm"] == "no decay"


@pytest.mark.parametrize(
    "arguments, said",
    [(["--arms", "grok"], "--arms 'grok' is"), (["--seeds", "0"], "--seeds 0"), (["--preset", "x"], "--preset 'x'")],
)
def test_bad_options_end_with_one_line(monkeypatch, tmp_path, capsys, arguments, said):
    monkeypatch.setattr("sys.argv", [str(SCRIPT), "--out", str(tmp_path), *arguments])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    err = capsys.readouterr().err
    assert stop.value.code == 2 and said in err and err.count("\n") == 1

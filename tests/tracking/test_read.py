"""Sweeps read back: what old and new runs say about their trials, and several sweeps as one table."""

import json
import os
import runpy
import shutil
import sys
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from rrm.dynamics import load_result
from rrm.errors import InputError
from rrm.statistics.sweep import pack_outcomes
from rrm.studies.stored import pooled_points, stability_results, sweep_points
from rrm.tracking import Tracker, default_uri
from rrm.tracking.read import download

RESULT = Path(__file__).parents[1] / "dynamics" / "files" / "lyapunov-v1.safetensors"
SCRIPT = Path(__file__).parents[2] / "analysis" / "peak_accuracy.py"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """A function: log a finished sweep with one trial a tuple (tags, accuracy); -> (uri, id of its run)."""
    folder, numbers = tmp_path_factory.mktemp("store"), count()

    def log(trials, digest="a", puzzles=200, outcomes=None):
        name = f"sweep-{next(numbers)}"
        tracker = Tracker(default_uri(folder), "experiment", name, folder / "artifacts")
        parent = tracker.run("sweep", name)
        tracker.dataset(parent, "sudoku-4x4", "of the training puzzles", "generated", "train")
        tracker.dataset(parent, "sudoku-4x4", digest, "generated", "test")
        for number, (tags, accuracy) in enumerate(trials):
            tags = {"model": "trm_mlp", "sigma": 0.0, "stopped_early": False, "test_puzzles": puzzles} | tags
            run = tracker.run("trial", f"trial-{number}")
            for newer in ("rrm.kind", "rrm.group"):  # runs of older versions are read, whose rrm.kind was of the arm
                tracker.client.delete_tag(run, newer)
            tracker.tags(run, {f"rrm.{key}": tags[key] for key in tags})
            names = ("test/best_exact", "test/final_exact", "validation/best_exact")
            extra = {"validation/area": accuracy / 2, "call_units": 900.0} if "seed" in tags else {}
            tracker.summary(run, dict.fromkeys(names, accuracy) | extra)
        for trial, solved in (outcomes or {}).items():
            (folder / trial).write_bytes(pack_outcomes(solved))
            tracker.artifact(parent, folder / trial, "outcomes")
        return tracker.uri, parent

    return log


def arm(name, seed, accuracy, **tags):
    return {"arm": name, "seed": seed} | tags, accuracy


def test_what_a_run_does_not_say_keeps_its_default(sweep):
    new = {"sigma": 0.3, "kind": "every_segment", "location": "z_L", "flossing": "pre", "seed": 2, "arm": "mine"}
    points = sweep_points(*sweep([({}, 0.5), ({"sigma": 0.1}, 0.6), (new | {"drawn": True}, 0.7)]))
    baseline, old, full = sorted(points, key=lambda point: point.best)
    assert baseline.baseline and baseline.arm == "baseline"
    settings = {"kind": "initial_state", "sigma": 0.1, "location": "both", "flossing": "none"}
    assert (old.baseline, old.settings, old.seed, old.drawn) == (False, settings, 0, False)
    assert (old.area, old.call_units, old.n) == (None, None, 200)
    settings = {"kind": "every_segment", "sigma": 0.3, "location": "z_L", "flossing": "pre"}
    assert (full.arm, full.baseline, full.settings) == ("mine", False, settings)
    assert (full.seed, full.area, full.call_units, full.drawn) == (2, 0.35, 900, True)


def test_an_arm_is_what_its_run_says_whatever_its_settings(sweep):
    told = [
        ({"arm": name, "baseline": name == "uniform", "settings": json.dumps({"curriculum": name, "pace": 0.5})}, share)
        for name, share in (("uniform", 0.5), ("easy to hard", 0.6))
    ]
    plain, ordered = sorted(sweep_points(*sweep(told)), key=lambda point: point.best)
    assert (plain.arm, plain.baseline, ordered.baseline) == ("uniform", True, False)
    assert ordered.settings == {"curriculum": "easy to hard", "pace": 0.5}


def test_outcomes_of_single_puzzles_come_along_where_they_were_kept(sweep):
    solved = np.random.default_rng(0).random(200) < 0.5
    points = sweep_points(*sweep([({}, 0.5), ({"sigma": 0.1}, 0.6)], outcomes={"trial-1": solved}))
    baseline, noisy = sorted(points, key=lambda point: point.best)
    assert baseline.solved is None and noisy.solved == solved.tobytes()


def test_sweeps_are_pooled_over_the_same_test_puzzles_only(sweep):
    uri, first = sweep([({}, 0.5)])
    _, second = sweep([({}, 0.6)])
    _, other = sweep([({}, 0.6)], digest="b")
    _, fewer = sweep([({}, 0.6)], puzzles=100)
    _, elsewhere = sweep([({"model": "hrm"}, 0.6)], digest="b")
    assert [point.best for point in pooled_points(uri, [first, second, first])] == [0.5, 0.6]
    assert len(pooled_points(uri, [first, elsewhere])) == 2
    for run in (other, fewer):
        with pytest.raises(InputError, match=f"{first} and {run} scored trm_mlp on different test puzzles"):
            pooled_points(uri, [first, run])


@pytest.mark.parametrize("seeds", [1, 2])
def test_the_script_compares_what_was_repeated(sweep, seeds, tmp_path, monkeypatch, capsys):
    noisy = {"kind": "multi4", "sigma": 1e-3}
    runs = [
        sweep([arm("baseline", seed, 0.5), arm("multi4", seed, 0.7 + 0.05 * seed, **noisy)]) for seed in range(seeds)
    ]
    argv = ["peak_accuracy", "--run", *(run for _, run in runs), "--tracking-uri", runs[0][0], "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", argv)
    runpy.run_path(str(SCRIPT), run_name="__main__")
    printed = capsys.readouterr().out
    assert (tmp_path / "fig3_accuracy_against_sigma.png").exists()
    assert (tmp_path / "arm_differences.png").exists() == (seeds == 2)
    # Differences of 20 and 25 points: mean 22.5, t(1) 12.706 x 3.5355 / sqrt(2) = 31.8.
    difference = "difference +22.5 [-9.3, +54.3] points (by seed +20.0 +25.0)"
    alone = ("the only run beside the baseline, multi4, solves", "unpaired")
    found = (difference, "no difference is shown") if seeds == 2 else alone
    assert all(words in printed for words in (*found, "peak difference"))


def test_a_download_is_whole_or_not_there(sweep, tmp_path, monkeypatch):
    """It appears in one step, from the same file system; of two processes either may be first."""
    folder, cache, rename = tmp_path / "checkpoint", tmp_path / "downloads", os.rename
    folder.mkdir()
    for name in ("a", "b"):
        (folder / name).write_text(name)
    uri, run = sweep([])
    Tracker(uri, "experiment", "job", Path(uri.removeprefix("sqlite:///")).parent / "artifacts").artifact(
        run, folder, "checkpoint"
    )

    def interrupted(source, target):
        assert cache in Path(source).parents and sorted(os.listdir(source)) == ["a", "b"]
        raise KeyboardInterrupt

    def slower(source, target):
        shutil.copytree(source, target)
        rename(source, target)

    monkeypatch.setattr(os, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        download(uri, run, "checkpoint", cache)
    assert os.listdir(cache) == [run] and not os.listdir(cache / run)
    monkeypatch.setattr(os, "rename", slower)
    whole = download(uri, run, "checkpoint", cache)
    assert whole == cache / run / "checkpoint" and sorted(path.read_text() for path in whole.iterdir()) == ["a", "b"]
    assert os.listdir(cache) == [run]


def test_a_storage_folder_that_was_moved_is_not_split(tmp_path):
    old, new, note = tmp_path / "old runs", tmp_path / "new", tmp_path / "note.txt"
    note.write_text("kept")

    def tracker(storage):
        return Tracker(default_uri(storage), "experiment", "job", storage / "artifacts")

    run = tracker(old).run("study", "job")
    tracker(old).artifact(run, note)
    old.rename(new)

    def refused():
        with pytest.raises(InputError) as writing:
            tracker(new).run("study", "job")
        with pytest.raises(InputError) as reading:
            download(default_uri(new), run, "checkpoint", new / "downloads")
        assert str(writing.value) == str(reading.value) and "\n" not in str(writing.value)
        assert f"in {old / 'artifacts'}, but the storage folder is {new} now: " in str(writing.value)
        assert f"(ln -s {new} '{old}')" in str(writing.value)

    refused()
    assert not old.exists()
    (old / "artifacts").mkdir(parents=True)  # as a new sweep makes it
    refused()
    shutil.rmtree(old)
    old.symlink_to(new)
    assert tracker(new).run("study", "job") == run
    assert download(default_uri(new), run, "note.txt", new / "downloads").read_text() == "kept"
    # One store may serve several storage folders.
    shared = Tracker(default_uri(new), "experiment", "other", tmp_path / "third" / "artifacts")
    assert shared.run("study", "other") != run


@pytest.mark.parametrize(("role", "folder"), [("trial", "lyapunov"), ("study", "")])
def test_stability_results_of_trials_and_studies(tmp_path, role, folder):
    file = shutil.copy(RESULT, tmp_path / "result.safetensors")
    with Tracker(default_uri(tmp_path), "experiment", "job", tmp_path / "artifacts") as tracker:
        run = tracker.run(role, "one")
        tracker.artifact(run, Path(file), folder)
    (found,) = stability_results(default_uri(tmp_path), tracker.run(role, "one"))
    assert len(found) == len(load_result(RESULT))

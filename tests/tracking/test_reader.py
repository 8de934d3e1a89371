"""Groups, runs, histories, curves and files, read back out of a store and out of job folders."""

import json
import math
import sqlite3
import subprocess
import sys
from contextlib import closing

import numpy as np
import pytest

from rrm.curves import CurveFile, curve_path
from rrm.errors import InputError
from rrm.tracking import Tracker, default_uri
from rrm.tracking.folder_reader import FolderReader
from rrm.tracking.sqlite_reader import SqliteReader
from rrm.tracking.store_reader import StoreReader

PARAMS = {"sigma": "0.1", "recipe.lr": "0.001", "recipe.model.depth": "2"}
LIGHT = """
import sys
from pathlib import Path
from rrm.tracking.{module} import {reader}
reader = {reader}({arguments})
runs = [run for group in reader.groups() for run in reader.runs(group)]
print(sum(len(reader.curves(run)) for run in runs), *(name for name in ("torch", "mlflow") if name in sys.modules))
"""


@pytest.fixture
def job(storage):
    """A sweep with two trials in its folder and in the store, as the folder of the store: `storage`."""
    folder = storage / "job"
    (folder / "recipes").mkdir(parents=True)
    (folder / "sweep.json").write_text(json.dumps({"arguments": {"preset": "smoke", "seed": 0}, "data_hash": "x"}))
    (folder / ".lock").touch()
    with Tracker(default_uri(storage), "experiment", "job", storage / "artifacts", kind="sweep") as tracker:
        parent = tracker.run("sweep", "job", {"preset": "smoke", "seed": 0})
        for number in range(2):
            name = f"trial-{number:03d}"
            handed_out = {"config": {"sigma": 0.1 * number}, "data": "x", "recipe": {"lr": 1e-3, "model": {"depth": 2}}}
            handed_out |= {"arm": {"arm": "noise", "baseline": False, "settings": {"sigma": 0.1 * number}}}
            (folder / "recipes" / f"{name}.json").write_text(json.dumps(handed_out))
            file = CurveFile(curve_path(folder, name))
            for step in range(300):
                file.append(step, {"probe/norm": math.sqrt(step)})
            file.close()
            run = tracker.run("trial", name, handed_out["config"] | {"recipe": handed_out["recipe"]})
            for step, loss in enumerate((math.nan, math.inf, -math.inf, 0.5)):
                tracker.metrics(run, {"train/loss": loss}, step)
            tracker.curves(run, file.path)
            tracker.finish(run, "FINISHED")
        tracker.artifact(parent, folder / "sweep.json", "deep/down")
    return storage


def test_a_store_is_read_back(job, tmp_path):
    reader = StoreReader(default_uri(job), tmp_path / "cache")
    (group,) = reader.groups()
    assert (group.experiment, group.name, group.kind, group.status) == ("experiment", "job", "sweep", "RUNNING")
    assert group.started is not None and group.ended is None
    head, first, second = reader.runs(group)
    assert head.id == group.run_id and head.params == {"preset": "smoke", "seed": "0"} and head.parent is None
    assert [first.parent, first.name, second.name] == [head.id, "trial-000", "trial-001"]
    assert (second.role, second.kind, second.group, second.status) == ("trial", "sweep", "job", "FINISHED")
    assert second.params == PARAMS and second.metrics["train/loss"] == 0.5
    assert reader.run(second.id) == second
    steps, values = reader.history(second, "train/loss")
    np.testing.assert_array_equal(values, [np.nan, np.inf, -np.inf, 0.5])
    assert steps.tolist() == [0, 1, 2, 3] and steps.dtype == np.int64
    assert len(reader.history(second, "probe/norm")[0]) <= 100 and not len(reader.history(second, "none")[0])
    steps, values = reader.curves(second)["probe/norm"]
    np.testing.assert_array_equal(values, np.sqrt(np.arange(300)))
    assert reader.curves(head) == {} and reader.files(second) == ["curves/trial-001.jsonl"]
    assert reader.file(head, *reader.files(head)).read_text() == (job / "job" / "sweep.json").read_text()
    for refused in (lambda: reader.run("0" * 32), lambda: reader.file(head, "../secret")):
        with pytest.raises(InputError):
            refused()


def test_curves_of_a_job_that_runs_come_from_its_folder(job, tmp_path):
    reader = StoreReader(default_uri(job), tmp_path / "cache", job)
    _, first, _ = reader.runs(*reader.groups())
    CurveFile(curve_path(job / "job", "trial-000")).cut(9)
    assert len(reader.curves(first)["probe/norm"][0]) == 10 and not (tmp_path / "cache").exists()


def test_runs_of_older_versions_are_read(storage, tmp_path):
    """They name no group; a trial has a setting in rrm.kind, and a study says what it is by its experiment."""
    for experiment, role in (("perturb_sweep", "sweep"), ("stability", "study")):
        tracker = Tracker(default_uri(storage), experiment, f"old-{role}", storage / "artifacts")
        runs = [tracker.run(role, f"old-{role}")]
        runs += [tracker.run("trial", "trial-000")] if role == "sweep" else []
        for run in runs:
            for tag in ("rrm.kind", "rrm.group"):
                tracker.client.delete_tag(run, tag)
        tracker.tags(runs[-1], {"rrm.kind": "every_call"} if role == "sweep" else {})
    reader = StoreReader(default_uri(storage), tmp_path / "cache")
    groups = {group.name: group for group in reader.groups()}
    assert {name: group.kind for name, group in groups.items()} == {"old-sweep": "sweep", "old-study": "stability"}
    kinds = [(run.kind, run.group) for run in reader.runs(groups["old-sweep"])]
    assert kinds == [("sweep", "old-sweep")] * 2 and len(reader.runs(groups["old-study"])) == 1


def test_job_folders_are_read_without_a_store(job):
    (job / "mlflow.db").unlink()
    (job / "artifacts.json").touch()
    (job / "downloads").mkdir()
    reader = FolderReader(job)
    (group,) = reader.groups()
    assert (group.name, group.kind, group.run_id) == ("job", "sweep", "job")
    head, first, second = reader.runs(group)
    assert head.params == {"preset": "smoke", "seed": "0"} and second.params == PARAMS
    assert second.tags == {"rrm.arm": "noise", "rrm.baseline": "False", "rrm.settings": '{"sigma": 0.1}'}
    assert (second.id, second.parent, reader.run(second.id)) == ("job/trial-001", head.id, second)
    np.testing.assert_array_equal(reader.history(first, "probe/norm")[1], np.sqrt(np.arange(300)))
    assert reader.curves(head) == {} and not len(reader.history(head, "train/loss")[0])
    assert reader.files(second) == ["curves/trial-001.jsonl", "recipes/trial-001.json"]
    assert "sweep.json" in reader.files(head) and ".lock" not in reader.files(head)
    assert reader.file(second, "recipes/trial-001.json").is_file()
    for refused in (
        lambda: reader.run("job/none"),
        lambda: reader.run("../job"),
        lambda: reader.file(head, "../mlflow.db"),
        FolderReader(job / "none").groups,
    ):
        with pytest.raises(InputError):
            refused()


def test_a_sqlite_store_is_read_as_mlflow_reads_it(job, tmp_path):
    fast, slow = SqliteReader(job / "mlflow.db"), StoreReader(default_uri(job), tmp_path / "cache")
    assert fast.groups() == slow.groups()
    assert fast.every_run() == slow.every_run() == fast.runs(*fast.groups())
    head, _, second = fast.every_run()
    names = ["train/*", "probe/norm"]
    for one, other in zip(
        (fast.histories([second], names)[second.id], {"train/loss": fast.history(second, "train/loss")}),
        (slow.histories([second], names)[second.id], {"train/loss": slow.history(second, "train/loss")}),
        strict=True,
    ):
        assert set(one) == set(other)
        for name, (steps, values) in one.items():
            np.testing.assert_array_equal(steps, other[name][0])
            np.testing.assert_array_equal(values, other[name][1])
            assert steps.dtype == np.int64
    assert len(one["train/loss"][0]) == 4 and not len(fast.history(second, "none")[0])
    assert fast.files(second) == slow.files(second) and fast.run(second.id) == second
    assert fast.file(head, "deep/down/sweep.json").read_text() == (job / "job" / "sweep.json").read_text()
    (fast.file(head, "deep/down/sweep.json").parent / "out").symlink_to("/etc/hostname")
    for refused in (
        lambda: fast.run("0" * 32),
        lambda: fast.file(head, "../secret"),
        lambda: fast.file(head, "deep/down/out"),
        SqliteReader(job / "none.db").every_run,
    ):
        with pytest.raises(InputError):
            refused()


def test_points_of_a_run_that_runs_are_read_on(storage):
    with Tracker(default_uri(storage), "experiment", "job", storage / "artifacts", kind="sweep") as tracker:
        run = tracker.run("sweep", "job")
        reader, seen = SqliteReader(storage / "mlflow.db"), []
        for step, value in ((0, 1.0), (1, math.nan), (7, -math.inf)):
            version = reader.version()
            tracker.metrics(run, {"train/loss": value, "other": 0.0}, step)
            assert reader.version() != version
            seen = reader.histories(reader.every_run(), ["train/loss"])[run]["train/loss"]
        assert seen[0].tolist() == [0, 1, 7]
        np.testing.assert_array_equal(seen[1], [1.0, np.nan, -np.inf])
        tracker.finish(run, "FINISHED")
        assert len(reader.history(*reader.every_run(), "train/loss")[0]) == 3


def test_no_point_is_lost_where_the_store_is_packed(storage):
    with Tracker(default_uri(storage), "experiment", "job", storage / "artifacts", kind="sweep") as tracker:
        gone, run = tracker.run("sweep", "job"), tracker.run("trial", "trial-000")
        for step in range(5):
            tracker.metrics(gone, {"other": 1.0}, step)
            tracker.metrics(run, {"train/loss": 1.0}, step)
        reader = SqliteReader(storage / "mlflow.db")
        runs = [one for one in reader.every_run() if one.id == run]
        assert len(reader.histories(runs, ["train/loss"])[run]["train/loss"][0]) == 5
        with closing(sqlite3.connect(storage / "mlflow.db", isolation_level=None)) as database:
            database.execute("delete from metrics where run_uuid = ?", (gone,))
            database.execute("vacuum")
        tracker.metrics(run, {"train/loss": 1.0}, 5)
        assert reader.histories(runs, ["train/loss"])[run]["train/loss"][0].tolist() == list(range(6))


def test_curve_files_of_runs_that_run_are_seen_to_grow(storage):
    with Tracker(default_uri(storage), "experiment", "job", storage / "artifacts", kind="sweep") as tracker:
        tracker.run("sweep", "job")
        run = tracker.run("trial", "trial-000")
        reader = SqliteReader(storage / "mlflow.db", storage)
        before = reader.every_run() and reader.growth()
        file = CurveFile(curve_path(storage / "job", "trial-000"))
        file.append(0, {"train/loss": 1.0})
        file.close()
        assert reader.growth() > before == 0
        tracker.finish(run, "FINISHED")
        assert reader.every_run() and reader.growth() == 0


@pytest.mark.parametrize(("kind", "loaded"), [("store", ["mlflow"]), ("sqlite", []), ("folder", [])])
def test_reading_imports_little(job, tmp_path, kind, loaded):
    arguments = {
        "store": f"{default_uri(job)!r}, Path({str(tmp_path / 'cache')!r})",
        "sqlite": f"Path({str(job / 'mlflow.db')!r})",
        "folder": f"Path({str(job)!r})",
    }[kind]
    code = LIGHT.format(module=f"{kind}_reader", reader=f"{kind.title()}Reader", arguments=arguments)
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.split() == ["2", *loaded]

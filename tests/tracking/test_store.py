"""The MLflow store: runs found again, points written once, results read back."""

import itertools
import math

import pytest

from rrm.curves import CurveFile
from rrm.errors import InputError
from rrm.studies.stored import stability_results, sweep_points
from rrm.tracking import Tracker, default_uri, git_commit


@pytest.fixture
def store(tmp_path):
    def tracker(sweep="one", uri=None):
        return Tracker(uri or default_uri(tmp_path), "experiment", sweep, tmp_path / "artifacts")

    return tracker


def test_a_second_tracker_finds_the_runs_and_repeats_no_point(store):
    first = store()
    run = first.run("trial", "trial-000", {"sigma": 0.1, "recipe": {"lr": 1e-3}}, {"rrm.model": "trm_mlp"})
    for step in (10, 20):
        first.metrics(run, {"train/loss": 1.0 / step}, step)
    again = store()  # as after a killed driver, which had reported step 20 before its last snapshot
    assert again.run("trial", "trial-000") == run and store("two").run("trial", "trial-000") != run
    for step in (20, 30):
        again.metrics(run, {"train/loss": 1.0 / step}, step)
    history = again.client.get_metric_history(run, "train/loss")
    assert [m.step for m in history] == [10, 20, 30] and history[1].value == 0.05
    data = again.client.get_run(run).data
    assert data.params == {"sigma": "0.1", "recipe.lr": "0.001"}
    assert data.tags["mlflow.parentRunId"] == again.run("sweep", "one")
    for value in (0.5, 0.7):
        again.summary(run, {"test/exact": value, "test/empty": float("nan")})
    assert [m.value for m in again.client.get_metric_history(run, "test/exact")] == [0.5]


def test_every_metric_has_its_own_clock(store):
    rows = [
        (10, {"train/loss": 1.0}),
        (10, {"probe/norm": 2.0}),  # a second row at the same step
        (4, {"probe/trace": 3.0}),  # an earlier step, of another series
        (12, {"train/loss": 0.9, "probe/norm": 2.1}),
        (12, {"train/loss": 0.8, "probe/trace": 3.1}),
    ]
    expected = {"train/loss": [(10, 1.0), (12, 0.9)], "probe/norm": [(10, 2.0), (12, 2.1)]}
    expected |= {"probe/trace": [(4, 3.0), (12, 3.1)]}

    def found(tracker):
        client = tracker.client
        return {name: [(m.step, m.value) for m in client.get_metric_history(run, name)] for name in expected}

    first = store()
    run = first.run("trial", "trial-000")
    for step, row in rows:
        first.metrics(run, row, step)
    assert found(first) == expected
    again = store()  # which begins at an earlier step than the first one came to
    for step, row in rows[2:]:
        again.metrics(run, row, step)
    again.metrics(run, {"probe/new": 1.0, "probe/norm": 2.2}, 13)
    expected |= {"probe/norm": [*expected["probe/norm"], (13, 2.2)], "probe/new": [(13, 1.0)]}
    assert found(again) == expected


def test_any_run_may_have_a_parent(store, tmp_path):
    tracker = Tracker(default_uri(tmp_path), "experiment", "one", tmp_path / "artifacts", kind="grokking")
    group = tracker.run("study", "one")
    arm = tracker.run("arm", "p/17", parent=("study", "one"))
    seed = tracker.run("seed", "0", {}, {"rrm.kind": "a setting"}, parent=("arm", "p/17"))
    trial = tracker.run("trial", "trial-000", parent=("arm", "p/17"))
    again = store()
    parents = {run: again.client.get_run(run).data.tags for run in (group, arm, seed, trial)}
    assert [tags.get("mlflow.parentRunId") for tags in parents.values()] == [None, group, arm, arm]
    assert {(tags["rrm.kind"], tags["rrm.group"]) for tags in parents.values()} == {("grokking", "one")}
    assert again.run("seed", "0", parent=("arm", "p/17")) == seed
    assert again.run("sweep", "one") != group and tracker.kind != again.kind == "experiment"


def test_curves_are_logged_whole_and_thinned_where_they_are_no_metrics(store, tmp_path):
    file = CurveFile(tmp_path / "trial-000.jsonl")
    for step in range(1000):
        row = {f"probe/{number}": math.sin(step + number) for number in range(7)}
        file.append(step, row | {"train/loss": 1.0 / (step + 1)})
    file.append(1000, {"probe/odd": math.nan})
    file.append(1001, {"probe/odd": math.inf})
    file.close()
    tracker = store()
    run = tracker.run("trial", "trial-000")
    tracker.metrics(run, {"train/loss": 0.001}, 999)
    tracker.curves(run, file.path)
    store().curves(run, file.path)  # as a resumed sweep does
    client = tracker.client
    thinned = client.get_metric_history(run, "probe/6")
    assert 80 < len(thinned) <= 100 and (thinned[0].step, thinned[-1].step) == (0, 999)
    assert all(point.value == math.sin(point.step + 6) for point in thinned)
    assert [point.step for point in client.get_metric_history(run, "train/loss")] == [999]
    assert [point.step for point in client.get_metric_history(run, "probe/odd")] == [1000, 1001]
    kept = client.download_artifacts(run, "curves/trial-000.jsonl", str(tmp_path))
    assert open(kept).read() == file.path.read_text()
    with pytest.raises(InputError, match="no such file"):
        tracker.curves(run, tmp_path / "none.jsonl")


def test_no_tag_of_a_user_hides_a_run(store):
    """A setting of an arm may be called "name" or "role", too."""
    run = store().run("trial", "trial-000", {}, {"rrm.name": "easy to hard", "rrm.role": "teacher"})
    assert store().run("trial", "trial-000") == run


@pytest.mark.parametrize("statement", [40, 240])
def test_a_store_whose_creation_was_interrupted_is_made_again(store, tmp_path, statement):
    """By Ctrl-C before the statement of that number, of 1,700: MLflow would not go on from there."""
    import sqlalchemy

    seen = itertools.count(1)

    def interrupt(*_):
        if next(seen) == statement:
            raise KeyboardInterrupt

    sqlalchemy.event.listen(sqlalchemy.engine.Engine, "before_cursor_execute", interrupt)
    with pytest.raises(KeyboardInterrupt):
        store().connect()
    sqlalchemy.event.remove(sqlalchemy.engine.Engine, "before_cursor_execute", interrupt)
    assert store().run("sweep", "one") and not list(tmp_path.glob(".*unfinished*"))


def test_every_run_ends_with_a_status(store):
    tracker = store()
    done, lost = (tracker.run("trial", name) for name in ("done", "lost"))
    tracker.finish(done, "FINISHED")
    end = tracker.client.get_run(done).info.end_time
    tracker.close_open_runs("KILLED")
    assert tracker.client.get_run(lost).info.status == "KILLED"
    tracker.finish(done, "FAILED")
    assert tracker.client.get_run(done).info.status == "FINISHED" and tracker.client.get_run(done).info.end_time == end


def test_bad_stores_and_runs(store, tmp_path):
    with pytest.raises(InputError, match="ftp://x is of no known kind"):
        store(uri="ftp://x")
    (tmp_path / "broken.db").write_text("no database")
    with pytest.raises(InputError, match="broken.db is damaged"):
        store(uri=f"sqlite:///{tmp_path / 'broken.db'}").run("sweep", "one")
    with pytest.raises(InputError, match="does not exist"):
        sweep_points(f"sqlite:///{tmp_path / 'none.db'}", "x")
    tracker = store()
    run = tracker.run("sweep", "one")
    for read, message in ((sweep_points, "no scored trials"), (stability_results, "no stability results")):
        with pytest.raises(InputError, match=message):
            read(tracker.uri, run)
        with pytest.raises(InputError, match="is not in"):
            read(tracker.uri, "0" * 32)


def test_commit_outside_a_checkout_is_unknown(tmp_path):
    assert git_commit(tmp_path) == "unknown"

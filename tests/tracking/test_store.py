"""The MLflow store: runs found again, points written once, results read back."""

import itertools

import pytest

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

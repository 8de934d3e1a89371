"""A store that goes away in mid-job, answers lost on the way, and drivers that die: nothing lost, nothing twice."""

import json
import os
import pickle
import re
import time
from base64 import b64encode
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import SimpleNamespace

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, TEMPORARILY_UNAVAILABLE, UNAUTHENTICATED

from rrm.errors import InputError
from rrm.tracking import Tracker, default_uri, outbox, replay, store
from rrm.tracking.driver import driver_tags, is_alive
from rrm.tracking.secrets import mask
from rrm.tracking.stale import close_stale, stale_runs

URI = "http://user:s3cret@server"
WRITES = {"create_run", "log_batch", "log_artifact", "update_run", "set_terminated"}


class FakeStore:
    """MLflow's client as far as a tracker uses it: keeps what it is told, and fails on command.

    lost: errors of the next writes, raised after the write took effect; None for a write that works
    away: an error that everything raises until it is taken away; `attempts` have met it
    """

    def __init__(self):
        self.runs, self.points, self.lost, self.away, self.attempts, self.files = {}, Counter(), [], None, 0, {}

    def __getattribute__(self, name):
        found = object.__getattribute__(self, name)
        if not callable(found):
            return found

        def call(*args, **kwargs):
            if self.away:
                self.attempts += 1
                raise self.away
            answer = found(*args, **kwargs)
            if name in WRITES and self.lost and (error := self.lost.pop(0)):
                raise error
            return answer

        return call

    def get_experiment(self, experiment_id):
        return experiment_id

    def create_run(self, experiment_id, start_time, tags, run_name):
        run_id = f"{len(self.runs):032x}"
        info = SimpleNamespace(run_id=run_id, status="RUNNING", start_time=start_time, end_time=None, run_name=run_name)
        data = SimpleNamespace(tags=dict(tags), params={}, metrics={})
        data.to_proto = lambda: SimpleNamespace(metrics=self.latest(run_id))
        self.runs[run_id] = SimpleNamespace(info=info, data=data)
        return self.runs[run_id]

    def latest(self, run_id):
        steps = {}
        for run, key, step, *_ in self.points:
            if run == run_id:
                steps[key] = max(step, steps.get(key, step))
        return [SimpleNamespace(key=key, step=step) for key, step in steps.items()]

    def search_runs(self, experiments, query, max_results):
        wanted = dict(part.split(" = ") for part in query.split(" and ") if part.startswith("tags."))
        tags = {key.removeprefix("tags.").strip("`"): value.strip("'") for key, value in wanted.items()}
        return [run for run in self.runs.values() if tags.items() <= run.data.tags.items()]

    def delete_run(self, run_id):
        del self.runs[run_id]

    def get_run(self, run_id):
        return self.runs[run_id]

    def log_batch(self, run_id, metrics=(), params=(), tags=()):
        data = self.runs[run_id].data
        for point in metrics:
            if "," in point.key:
                raise MlflowException("a comma", INVALID_PARAMETER_VALUE)
            # As in MLflow's tables: one of several equal points is kept.
            self.points[run_id, point.key, point.step, point.value, point.timestamp] = 1
            data.metrics[point.key] = point.value
        data.tags |= {tag.key: tag.value for tag in tags}
        data.params |= {param.key: param.value for param in params}

    def log_artifact(self, run_id, path, folder):
        with open(path) as file:
            self.files[run_id, folder, os.path.basename(path)] = file.read()

    def update_run(self, run_id, status):
        self.runs[run_id].info.status = status

    def set_terminated(self, run_id, status, end_time):
        self.runs[run_id].info.status, self.runs[run_id].info.end_time = status, end_time

    def set_tag(self, run_id, key, value):
        self.runs[run_id].data.tags[key] = value

    def delete_tag(self, run_id, key):
        del self.runs[run_id].data.tags[key]

    def history(self, name):
        return sorted((step, value) for _, key, step, value, _ in self.points if key == name)


@pytest.fixture
def fake(monkeypatch):
    fake = FakeStore()
    monkeypatch.setattr(store, "connect", lambda *_: (fake, "1"))
    monkeypatch.setattr(outbox, "BACKOFF_S", (0.01, 0.05))
    monkeypatch.setattr(outbox, "PATIENCE_S", 0.2)
    monkeypatch.setattr(store, "GOODBYE_S", 0.3)
    return fake


@pytest.fixture
def tracker(fake, tmp_path):
    return Tracker(URI, "experiment", "job", tmp_path / "artifacts")


def gone():
    return MlflowException("API request to http://user:s3cret@server/api failed: Connection refused")


def lost_answer():
    return MlflowException("timed out", TEMPORARILY_UNAVAILABLE)


def test_an_outage_in_mid_job_stops_nothing_and_loses_nothing(fake, tracker, tmp_path, capsys):
    note = tmp_path / "arms.csv"
    with tracker:
        parent = tracker.run("sweep", "job")
        tracker.reopen(parent)
        first = tracker.run("trial", "trial-000")
        tracker.metrics(first, {"train/loss": 1.0}, 1)
        fake.away = gone()
        begun = time.monotonic()
        for step in range(2, 40):
            tracker.metrics(first, {"train/loss": 1.0 / step}, step)
        second = tracker.run("trial", "trial-001", {"sigma": 0.1}, {"rrm.model": "hrm"})
        inner = tracker.run("probe", "one", parent=("trial", "trial-001"))
        tracker.reopen(second)
        tracker.metrics(second, {"train/loss": 5.0}, 1)
        note.write_text("as it was")
        tracker.artifact(parent, note)
        note.write_text("written again, in place")
        tracker.tags(second, {"rrm.drawn": True})
        tracker.finish(second, "FINISHED")
        assert time.monotonic() - begun < 5 and second == "trial/trial-001"
        while fake.attempts < 3:
            time.sleep(0.01)
        fake.away = None
        tracker.finish(parent, "FINISHED")
    runs = {run.data.tags["rrm.name"]: run for run in fake.runs.values()}
    assert fake.history("train/loss") == sorted([(step, 1.0 / step) for step in range(1, 40)] + [(1, 5.0)])
    assert inner == "probe/one" and runs["one"].data.tags["mlflow.parentRunId"] == runs["trial-001"].info.run_id
    assert len(runs) == len(fake.runs) == 4 and runs["trial-001"].info.status == "FINISHED"
    assert runs["trial-001"].data.params == {"sigma": "0.1"} and runs["trial-001"].data.tags["rrm.drawn"] == "True"
    assert runs["trial-001"].data.tags["mlflow.parentRunId"] == parent
    assert fake.files == {(parent, None, "arms.csv"): "as it was"}
    said = capsys.readouterr().err
    assert said.count("is away (connection refused)") == 1 and "s3cret" not in said
    assert re.search("is back: the 4[56] operations that were kept", said) and said.count("\n") == 2
    assert list((tmp_path / "job").iterdir()) == []


def test_lost_answers_double_nothing(fake, tracker):
    with tracker:
        tracker.run("sweep", "job")
        fake.lost = [lost_answer(), None, lost_answer(), lost_answer(), lost_answer()]
        run = tracker.run("trial", "trial-000", {"sigma": 0.1})
        for step in range(1, 6):
            tracker.metrics(run, {"train/loss": 1.0 / step}, step)
        tracker.summary(run, {"test/exact": 0.5, "test/empty": float("nan")})
    assert not fake.lost and len(fake.runs) == 2
    assert fake.history("train/loss") == [(step, 1.0 / step) for step in range(1, 6)]
    assert len(fake.points) == 5 + 5 + 1


def test_a_creation_that_comes_through_late_leaves_no_twin(fake, tracker):
    with tracker:
        parent = tracker.run("sweep", "job")
        run = tracker.run("trial", "trial-000")
        tracker.metrics(run, {"train/loss": 1.0}, 1)
        twin = fake.create_run("1", 0, fake.get_run(run).data.tags, "trial-000").info.run_id
    again = Tracker(URI, "experiment", "job", tracker.artifact_root)
    assert again.run("trial", "trial-000") == run and set(fake.runs) == {parent, run} != twin


@pytest.mark.parametrize("way", ["resume", "replay"])
def test_what_a_job_leaves_is_sent_later(way, fake, tracker, tmp_path, capsys):
    with tracker:
        parent = tracker.run("sweep", "job")
        run = tracker.run("trial", "trial-000")
        fake.away = MlflowException("no", UNAUTHENTICATED)  # a token that expires must not end a job either
        for step in range(1, 4):
            tracker.metrics(run, {"train/loss": float("inf")}, step)
        tracker.finish(run, "FAILED")
    spool = tmp_path / "job" / "spool" / "operations.jsonl"
    said = capsys.readouterr().err
    assert f"4 operations are kept in {spool.parent}" in said and "--resume replays them" in said
    assert "s3cret" not in spool.read_text() and "refuses the credentials, status 401" in said
    with open(spool, "a") as file:
        file.write('{"op": "metr')  # the driver died in the middle of a line
    fake.away = None
    # The first of them had arrived, only its answer had not.
    operation = json.loads(spool.read_text().splitlines()[1])
    fake.log_batch(run, [SimpleNamespace(key="train/loss", value=float("inf"), timestamp=operation["time"], step=1)])
    if way == "replay":
        with pytest.raises(InputError, match="give --tracking-uri with its credentials"):
            replay(tmp_path / "job")
        assert replay(tmp_path / "job", URI) == 4 and replay(tmp_path / "job", URI) == 0
    else:
        with Tracker(URI, "experiment", "job", tracker.artifact_root) as again:
            assert again.run("sweep", "job") == parent
            again.metrics(again.run("trial", "trial-000"), {"train/loss": 1.0}, 4)
    more = [(4, 1.0)] if way == "resume" else []
    assert fake.history("train/loss") == [(step, float("inf")) for step in (1, 2, 3)] + more
    assert fake.get_run(run).info.status == "FAILED" and not spool.exists()


def test_what_an_older_version_left_is_sent(fake, tracker, tmp_path):
    """Its spool said neither the kind of the job nor the parents of runs, for there was one kind of child."""
    lines = [
        {"op": "spool", "uri": tracker.uri, "experiment": "experiment", "job": "job"},
        {"op": "create", "run": "trial/trial-000", "params": {}, "tags": {"rrm.kind": "every_call"}, "time": 1},
        {"op": "metrics", "run": "trial/trial-000", "metrics": {"train/loss": 1.0}, "step": 5, "time": 2},
    ]
    (tmp_path / "job" / "spool").mkdir(parents=True)
    (tmp_path / "job" / "spool" / "operations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert replay(tmp_path / "job", URI) == 2
    runs = {run.data.tags["rrm.role"]: run for run in fake.runs.values()}
    assert runs["trial"].data.tags["mlflow.parentRunId"] == runs["sweep"].info.run_id
    assert runs["trial"].data.tags["rrm.kind"] == "experiment" and fake.history("train/loss") == [(5, 1.0)]


def test_another_store_does_not_get_what_was_kept(fake, tracker, tmp_path):
    with tracker:
        run = tracker.run("sweep", "job")
        fake.away = gone()
        tracker.metrics(run, {"train/loss": 1.0}, 1)
    fake.away, attempts, folder = None, fake.attempts, tmp_path / "job" / "spool"
    kept = (folder / "operations.jsonl").read_bytes()
    other = Tracker("http://other", "experiment", "job", tracker.artifact_root)
    with pytest.raises(InputError) as refused:
        other.connect()
    with pytest.raises(InputError, match="for the store"):
        replay(tmp_path / "job", "http://other")
    doctor = f"python -m rrm doctor --storage {tmp_path} --tracking-uri 'http://***@server'"
    assert f"waits in {folder} for the store http://***@server: name that" in str(refused.value)
    assert doctor in str(refused.value) and "\n" not in str(refused.value)
    assert list(folder.iterdir()) == [folder / "operations.jsonl"] and fake.attempts == attempts
    assert (folder / "operations.jsonl").read_bytes() == kept and not fake.points
    # A driver that died in the middle of its first operation has left nothing; the spool is the other store's then.
    header, operation = kept.splitlines(keepends=True)
    (folder / "operations.jsonl").write_bytes(header + operation[:9])
    with other:
        run = other.run("sweep", "job")
        fake.away = gone()
        other.metrics(run, {"train/loss": 1.0}, 1)
    header, operation = map(json.loads, (folder / "operations.jsonl").read_text().splitlines())
    assert header["uri"] == "http://other" and operation["op"] == "metrics"
    fake.away = None
    assert replay(tmp_path / "job") == 1 and fake.history("train/loss") == [(1, 1.0)]


def test_what_was_kept_for_a_store_that_was_moved_waits_for_it(fake, tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    (old / "mlflow.db").touch()
    with Tracker(default_uri(old), "experiment", "job", old / "artifacts") as tracker:
        run = tracker.run("sweep", "job")
        fake.away = gone()
        tracker.metrics(run, {"train/loss": 1.0}, 1)
    fake.away = None
    old.rename(new)
    moved = Tracker(default_uri(new), "experiment", "job", new / "artifacts")
    with pytest.raises(InputError, match="mlflow.db, which is not there: put that file back, or a link"):
        moved.connect()
    old.symlink_to(new)
    with moved:
        assert moved.run("sweep", "job") == run
    assert fake.history("train/loss") == [(1, 1.0)]


def test_a_live_spool_is_not_replayed(fake, tracker, tmp_path, monkeypatch):
    monkeypatch.setattr("rrm.tracking.spool.LOCK_WAIT_S", 0.1)
    with tracker:
        run = tracker.run("sweep", "job")
        fake.away = gone()
        tracker.metrics(run, {"train/loss": 1.0}, 1)
        with pytest.raises(InputError, match="in use: its driver is alive"):
            replay(tmp_path / "job", URI)
        fake.away = None
    assert fake.history("train/loss") == [(1, 1.0)]


def test_what_the_store_refuses_is_said_and_kept(fake, tracker, tmp_path, capsys):
    with tracker:
        run = tracker.run("sweep", "job")
        fake.away = gone()
        for step, name in enumerate(("a", "b,c", "d")):
            tracker.metrics(run, {name: 1.0}, step)
        fake.away = None
    assert [key for _, key, *_ in sorted(fake.points)] == ["a", "d", "train/step", "train/step"]
    assert "will not take metrics" in capsys.readouterr().err
    refused = json.loads((tmp_path / "job" / "spool" / "refused.jsonl").read_text())
    assert refused["metrics"] == {"b,c": 1.0} and "a comma" in refused["reason"]


def test_a_job_does_not_begin_without_its_store(fake, tracker):
    fake.away = gone()
    with pytest.raises(InputError) as refused, tracker:
        tracker.run("sweep", "job")
    assert str(refused.value).startswith("tracking store http://***@server does not answer (connection refused)")
    fake.away = MlflowException("no", UNAUTHENTICATED)
    with pytest.raises(InputError, match="set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"):
        tracker.run("sweep", "job")


def test_credentials_are_nowhere(fake, tracker, monkeypatch):
    copy = pickle.dumps(tracker)
    assert b"s3cret" not in copy and pickle.loads(copy) is tracker
    assert tracker.uri == "http://***@server" and "s3cret" not in "".join(tracker.ui())
    for uri, shown in {"htp://me:s3cret@host": r"htp://\*\*\*@host", "http://[me": r"http://\[me"}.items():
        with pytest.raises(InputError, match=f"{shown} is of no known kind"):
            Tracker(uri, "experiment", "job", tracker.artifact_root)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
    cases = {
        "postgresql://me:p%40ss@host/db failed, p@ss is wrong": "postgresql://***@host/db failed, *** is wrong",
        "mysql://host/db?user=me&password=hidden&ssl=1": "mysql://host/db?user=me&password=***&ssl=1",
        "Bearer t0ken": "Bearer ***",
        "sqlite:////data/me@home/mlflow.db": "sqlite:////data/me@home/mlflow.db",
    }
    for text, masked in cases.items():
        assert mask(text, "postgresql://me:p%40ss@host/db") == masked


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "it refuses the credentials, status 401): set MLFLOW_TRACKING_USERNAME and"),
        (403, "it refuses the credentials, status 403): set MLFLOW_TRACKING_USERNAME and"),
        (503, "it answers 503"),
        (None, "connection refused"),
    ],
)
def test_errors_of_a_real_connection(status, said, tmp_path, monkeypatch):
    """What MLflow's own client makes of them is understood, shown in one line, and holds no password."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.headers["Authorization"])
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        uri = f"http://user:s3cret@127.0.0.1:{server.server_port}"
        if status is None:
            server.server_close()
        else:
            Thread(target=server.serve_forever, daemon=True).start()
        try:
            Tracker(uri, "experiment", "job", tmp_path / "artifacts").connect()
        except InputError as error:
            message = str(error)
        finally:
            if status is not None:
                server.shutdown()
    assert said in message and "\n" not in message and "s3cret" not in message and "http://***@127.0.0.1" in message
    assert set(seen) == (set() if status is None else {"Basic " + b64encode(b"user:s3cret").decode()})
    assert not (tmp_path / "job").exists()


def test_liveness_is_exact_on_this_machine():
    mine = driver_tags()
    assert is_alive(mine)
    assert is_alive(mine | {"rrm.driver_started": mine["rrm.driver_started"] + "1"}) is False  # the number is reused
    assert is_alive(mine | {"rrm.host": "elsewhere"}) is None and is_alive({}) is None


def test_stale_runs_are_found_and_closed(tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    dead = {"rrm.driver_started": driver_tags()["rrm.driver_started"] + "1"}
    for job, driver in {"dead": dead, "elsewhere": {"rrm.host": "another"}}.items():
        tracker = Tracker(uri, "experiment", job, tmp_path / "artifacts")
        for run in (tracker.run("sweep", job), tracker.run("trial", "trial-000")):
            tracker.reopen(run)
            tracker.tags(run, driver)
    mine = Tracker(uri, "experiment", "mine", tmp_path / "artifacts")
    mine.reopen(mine.run("sweep", "mine"))
    found = stale_runs(uri)
    assert {(run.job, run.name) for run in found} == {("dead", "trial-000"), ("dead", "dead")}
    assert found[0].pid == os.getpid() and 0 <= found[0].last_sign_s < 300
    far = [run for run in stale_runs(uri, older_than_s=-1) if run.job != "dead"]
    assert [run.job for run in far] == ["elsewhere", "elsewhere"] and far[0].host == "another"
    client = mine.client
    sweep = next(run for run in far if run.name == "elsewhere")
    client.set_tag(sweep.run_id, "rrm.heartbeat", str(int(time.time() * 1000) + 5))  # it lives: the clocks differ
    close_stale(uri, found + far)
    assert [client.get_run(run.run_id).info.status for run in found + far] == ["KILLED"] * 2 + ["RUNNING"] * 2
    again = Tracker(uri, "experiment", "dead", tmp_path / "artifacts")
    trial = again.run("trial", "trial-000")
    again.finish(trial, "FINISHED")
    assert again.client.get_run(trial).info.status == "FINISHED"
    assert stale_runs(uri) == []

"""Does a point get lost, or logged twice, when many drivers write at once and the server is killed under them?

    python -m tests.endurance.writers [--writers 16] [--batches 1000] [--store sqlite server] [--storage DIR]

Every writer is a process of its own that logs batches of five metrics as fast as it can: first into one embedded sqlite
store, then through an MLflow server. The server is killed with SIGKILL when a third and when two thirds of the points
have arrived, and started again. Operations that a writer could not send by its end are replayed from its spool. Then
the points are counted in the database itself. `longest write` is the longest time that a write blocked, `stall` the
longest time by which a thread that only sleeps woke up late: on a busy machine no write can be quicker than that.
"""

import argparse
import multiprocessing
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

METRICS = 5
GOODBYE_S = 300.0  # the writers have nothing to do between their reports, and are done before a server starts again
COLUMNS = (
    "store",
    "expected",
    "found",
    "lost",
    "doubled",
    "replayed afterwards",
    "wall s",
    "longest write s",
    "stall s",
)


def write(uri: str, storage: Path, job: str, batches: int, queue) -> None:
    """One driver; puts (longest time one write took, longest time the machine kept a thread that only sleeps)."""
    from rrm.tracking import Tracker, store

    store.GOODBYE_S = GOODBYE_S
    longest, stalls = 0.0, [0.0]
    threading.Thread(target=_sleep, args=(stalls,), daemon=True).start()
    with Tracker(uri, "writers", job, storage / "artifacts") as tracker:
        run = tracker.run("study", job)
        tracker.reopen(run)
        for step in range(batches):
            begun = time.monotonic()
            tracker.metrics(run, {f"m{number}": step + number / 10 for number in range(METRICS)}, step)
            longest = max(longest, time.monotonic() - begun)
        tracker.finish(run, "FINISHED")
    queue.put((longest, max(stalls)))


def _sleep(stalls: list[float]) -> None:
    while True:
        begun = time.monotonic()
        time.sleep(0.05)
        stalls.append(time.monotonic() - begun - 0.05)


def make_store(uri: str, storage: Path) -> None:
    """The schema and the experiment, before anybody writes."""
    from rrm.tracking import Tracker

    Tracker(uri, "writers", "first", storage / "artifacts").connect()


def replay_all(storage: Path, jobs: list[str], queue) -> None:
    """Send what the writers left; puts the number of operations."""
    from rrm.tracking import replay

    queue.put(sum(replay(storage / job) for job in jobs))


class Server:
    """An MLflow server on this machine, in its own process group."""

    def __init__(self, database: Path):
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self._command = [
            sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{database}",
            "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1",
            "--artifacts-destination", str(database.parent / "artifacts"),
        ]  # fmt: skip

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def wait(self, limit_s: float = 300) -> None:
        """Return when it answers; TimeoutError after `limit_s`."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                    return
            except OSError:
                time.sleep(0.2)
        raise TimeoutError(f"no server at {self.uri} after {limit_s:g} s")

    def kill(self) -> None:
        """SIGKILL to the server and its worker."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def count(database: Path) -> tuple[int, int]:
    """(points, different (run, metric, step)) in the store."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=60)) as connection:
        query = "select run_uuid, key, step from metrics where key glob 'm[0-9]'"
        (points,) = connection.execute(f"select count(*) from ({query})").fetchone()
        (different,) = connection.execute(f"select count(*) from (select distinct * from ({query}))").fetchone()
    return points, different


def measure(name: str, writers: int, batches: int, storage: Path, server: Server | None) -> str:
    """One row of the table."""
    database, jobs = storage / "mlflow.db", [f"writer-{number:02d}" for number in range(writers)]
    uri = server.uri if server else f"sqlite:///{database}"
    context = multiprocessing.get_context("forkserver")
    queue = context.Queue()
    if server:
        server.start()
        server.wait()
    maker = context.Process(target=make_store, args=(uri, storage))
    maker.start()
    maker.join()
    begun = time.monotonic()
    processes = [context.Process(target=write, args=(uri, storage, job, batches, queue)) for job in jobs]
    for process in processes:
        process.start()
    expected = writers * batches * METRICS
    kills = [expected // 3, 2 * expected // 3] if server else []
    while any(process.is_alive() for process in processes):
        if kills and count(database)[0] >= kills[0]:
            kills.pop(0)
            server.kill()
            print(f"server killed after {time.monotonic() - begun:.0f} s", file=sys.stderr)
            time.sleep(2)
            server.start()
        time.sleep(0.2)
    longest, stall = map(max, zip(*(queue.get(timeout=60) for _ in jobs), strict=True))
    if server:
        server.wait()
    replayer = context.Process(target=replay_all, args=(storage, jobs, queue))
    replayer.start()
    replayed = queue.get(timeout=3600)
    replayer.join()
    wall = time.monotonic() - begun
    points, different = count(database)
    lost, doubled = expected - different, points - different
    values = (name, expected, points, lost, doubled, replayed, f"{wall:.0f}", f"{longest:.2f}", f"{stall:.2f}")
    if kills:
        print(f"{len(kills)} of 2 kills came too late to matter: give more --batches", file=sys.stderr)
    return "  ".join(str(value).rjust(max(len(head), 7)) for value, head in zip(values, COLUMNS, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--writers", type=int, default=16)
    parser.add_argument("--batches", type=int, default=1000)
    parser.add_argument("--store", nargs="+", default=["sqlite", "server"], help="(default: sqlite server)")
    parser.add_argument("--storage", type=Path, help="an empty folder to keep (default: a temporary one)")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    multiprocessing.get_context("forkserver").set_forkserver_preload(["mlflow", "rrm.tracking"])
    with tempfile.TemporaryDirectory() as scratch:
        rows = ["  ".join(head.rjust(7) for head in COLUMNS)]
        for name in args.store:
            storage = (args.storage or Path(scratch)).resolve() / name
            storage.mkdir(parents=True)
            server = Server(storage / "mlflow.db") if name == "server" else None
            try:
                rows.append(measure(name, args.writers, args.batches, storage, server))
            finally:
                if server:
                    server.kill()
            print(rows[-1], file=sys.stderr)
        print("\n".join(rows))


if __name__ == "__main__":
    main()

"""The tracking server goes away."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.endurance.fault_table.comparison import compare, lost_work
from tests.endurance.fault_table.registry import expect, fault
from tests.endurance.fault_table.row import Row


@fault("tracking-gone", "the tracking server goes away for a while")
def tracking_gone(row: Row) -> None:
    """The server is killed during a training and started again 15 s later; no point is lost."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    (row.runs).mkdir(parents=True)
    store = f"sqlite:///{row.folder / 'runs' / 'mlflow.db'}"

    def serve() -> subprocess.Popen:
        served = [Path(sys.executable).parent / "mlflow", "server", "--backend-store-uri", store, "--port", port]
        log = open(row.folder / "server.log", "a")
        server = subprocess.Popen(
            [*map(str, served), "--workers", "1", "--artifacts-destination", str(row.folder / "artifacts")],
            stdout=log, stderr=log, start_new_session=True, cwd=row.folder,
        )  # fmt: skip
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and socket.socket().connect_ex(("127.0.0.1", int(port))):
            time.sleep(0.2)
        return server

    server = serve()
    driver = row.start(*row.table.sweep(row, "--tracking-uri", f"http://127.0.0.1:{port}"), faults="wait@train:2")
    row.happened("wait@train:2", driver)
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()
    row.go()
    time.sleep(15)
    server = serve()
    try:
        expect(row, row.wait(driver), 0)
        compare(row, row.table.whole_sweep.storage)
        row.lost = lost_work(row, row.table.whole_sweep.work)
        row.check_orphans()
    finally:
        os.killpg(server.pid, signal.SIGTERM)

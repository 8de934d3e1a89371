"""How long the explorer takes to draw six plots of 100 runs, and to follow a change of the range.

    python tests/benchmarks/explorer.py [--runs 100] [--points 1000] [--changes 20]

A store is made with 6 series of every run. The command is started cold, Chromium opens the page, and time runs from the
command until all plots are drawn; grouped over seeds, and with every run alone. Then the range changes, and time runs
until all plots have it. Chromium draws without a GPU.
"""

import argparse
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

from rrm.panels import HISTORIES
from rrm.terminal.table import table
from rrm.tracking.embedded import create_store

SEEDS = 5
SERIES = [next(iter(panel.series.values())) for panel in HISTORIES["curvature"]]
VIEWS = {"grouped over seeds": "?tab=curvature", "each run alone": "?tab=curvature&group="}
DRAWN = """(count) => {
    const plots = [...document.querySelectorAll('.js-plotly-plot')];
    return plots.length === count && plots.every((one) => one.querySelectorAll('.scatterlayer .js-line').length > 0);
}"""
CHANGE = """(begin) => new Promise((done) => {
    const start = performance.now();
    const look = () => {
        const plots = [...document.querySelectorAll('.js-plotly-plot')];
        if (plots.every((one) => one.layout.xaxis.range[0] === begin)) done(performance.now() - start);
        else requestAnimationFrame(look);
    };
    window.dash_clientside.set_props('begin', {value: begin});
    look();
})"""


def make_store(storage: Path, runs: int, points: int) -> None:
    """Runs of one sweep, in arms of SEEDS seeds."""
    create_store(storage / "mlflow.db", storage / "artifacts")
    generator = np.random.default_rng(0)
    steps = (10 * np.arange(points)).tolist()
    with closing(sqlite3.connect(storage / "mlflow.db")) as database, database:
        insert = "insert into runs (run_uuid, name, status, start_time, end_time, lifecycle_stage, artifact_uri, "
        for number in range(runs):
            run = f"{number:08x}".ljust(32, "0")
            database.execute(
                insert + "experiment_id) values (?, ?, 'FINISHED', 1, 60001, 'active', '', 0)",
                (run, f"trial-{number:03d}"),
            )
            tags = {"job": "sweep", "group": "sweep", "role": "trial", "kind": "sweep", "name": f"trial-{number:03d}",
                    "model": "trm_mlp", "arm": f"sigma {number // SEEDS}", "seed": number % SEEDS}  # fmt: skip
            database.executemany("insert into tags (run_uuid, key, value) values (?, ?, ?)",
                                 [(run, f"rrm.{name}", str(value)) for name, value in tags.items()])  # fmt: skip
            for name in SERIES:
                values = np.exp(np.cumsum(generator.normal(0, 0.05, points))).tolist()
                rows = [(name, value, 1, run, step, 0) for value, step in zip(values, steps, strict=True)]
                columns = "(key, value, timestamp, run_uuid, step, is_nan) values (?, ?, ?, ?, ?, ?)"
                database.executemany(f"insert into metrics {columns}", rows)
                database.execute(f"insert into latest_metrics {columns}", rows[-1])


@contextmanager
def explorer(storage: Path, view: str) -> Iterator[tuple[subprocess.Popen, str]]:
    """The command as it is used, and the address that it prints."""
    command = [
        sys.executable,
        "-m",
        "rrm",
        "explore",
        "--storage",
        str(storage),
        "--port",
        "0",
        "--no-browser",
        "--view",
        view,
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().split()[1]
    finally:
        process.terminate()
        process.wait()


def measure(browser: Browser, storage: Path, view: str, changes: int) -> dict[str, str]:
    """A cold start, then changes of the range."""
    begin = time.perf_counter()
    with explorer(storage, view) as (process, address):
        up = time.perf_counter() - begin
        page: Page = browser.new_page(viewport={"width": 1400, "height": 1600})
        page.goto(address)
        while not page.evaluate(DRAWN, len(SERIES)):
            time.sleep(0.01)
        drawn = time.perf_counter() - begin
        spent = sum(map(int, Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13])) / 100
        page.wait_for_timeout(2000)
        times = [
            page.evaluate(CHANGE, 10 * (number + 1)) for number in range(changes) if not page.wait_for_timeout(700)
        ]
        memory = Path(f"/proc/{process.pid}/status").read_text().partition("VmHWM:")[2].split()[0]
        page.close()
    return {
        "page": f"{up:.1f}",
        "all plots": f"{drawn:.1f}",
        "CPU of the server": f"{spent:.1f}",
        "range, median (ms)": f"{np.median(times):.0f}",
        "range, p95 (ms)": f"{np.percentile(times, 95):.0f}",
        "memory (MB)": f"{int(memory) / 1000:.0f}",
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--changes", type=int, default=20)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        storage = Path(folder) / "runs"
        make_store(storage, args.runs, args.points)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        rows = [{"view": name} | measure(browser, storage, view, args.changes) for name, view in VIEWS.items()]
        browser.close()
    print(f"{args.runs} runs x {args.points} points x {len(SERIES)} plots; seconds from the command")
    print(*table(rows), sep="\n")


if __name__ == "__main__":
    main()

"""How long the explorer takes to draw six plots of 100 runs and to follow its reader, beside MLflow's page and Gradio.

    python tests/benchmarks/explorer.py [--runs 100] [--points 1000] [--changes 20] [--gradio PYTHON] [--only PAGE ...]

A store is made with 6 series of every run. Each server is started cold, Chromium opens its page, and time runs from the
command until all plots have a line for every run or group. MLflow draws the first 10 runs and is told to draw all of
them as soon as it can be. Then a key moves the slider of the range, and time runs from the event of that key to the
frame in which all plots have the new range; the same for a logarithmic axis, and for a click that hides a run.
`range, CPU` is what the main thread of the page computes for one change of the range, until it rests: it depends less
than the other times on what else the machine does. MLflow has no range for all plots. Chromium draws without a GPU.
Gradio, which is no dependency of rrm, may be that of another environment; its page has the explorer's figures.
"""

import argparse
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

from rrm.panels import HISTORIES
from rrm.terminal.table import table
from rrm.tracking.embedded import create_store

SEEDS = 5
SERIES = [next(iter(panel.series.values())) for panel in HISTORIES["curvature"]]
PATIENCE_S = 180
# Whether all plots have as many lines; joined lines are one trace with gaps.
DRAWN = """([plots, lines]) => {
    const found = [...document.querySelectorAll(".js-plotly-plot")];
    const drawn = (plot) => plot.querySelectorAll(".scatterlayer .js-line").length;
    return found.length === plots && found.every((plot) => drawn(plot) >= lines);
}"""
# Time from an event of the reader to the frame after which all plots have changed.
WATCH = """([event, state]) => {
    const look = new Function("plot", "return " + state);
    const plots = () => [...document.querySelectorAll(".js-plotly-plot")];
    const before = plots().map(look);
    window.watched = new Promise((done) => document.addEventListener(event, ({ timeStamp }) => {
        const painted = new MessageChannel();
        painted.port1.onmessage = () => done(performance.now() - timeStamp);
        const wait = () => {
            const now = plots().map(look);
            const other = (one, i) => one !== undefined && one !== before[i];
            const changed = now.length === before.length && now.every(other);
            if (changed) requestAnimationFrame(() => painted.port2.postMessage(0));
            else requestAnimationFrame(wait);
        };
        requestAnimationFrame(wait);
        setTimeout(() => done(NaN), 60000);
    }, { capture: true, once: true }));
}"""
RANGE, SCALE = "plot._fullLayout && plot._fullLayout.xaxis.range[0]", "plot._fullLayout.xaxis.type"
FIGURE = "plot.layout"  # a new figure has a new one


@dataclass(frozen=True)
class Candidate:
    """A page that is measured.

    Attributes:
        command: that starts the server, of a storage folder and a port.
        address: of the page behind that of the server.
        lines: in each plot when all is drawn, of the number of runs.
        prepare: what the reader has to do first.
        slider: selector of the control of the range; "" without one.
    """

    command: Callable[[Path, int], list[str]]
    address: str
    lines: Callable[[int], int]
    prepare: Callable[[Page], None] = lambda page: None
    slider: str = ""


def make_store(storage: Path, runs: int, points: int) -> None:
    """Runs of one sweep, in arms of SEEDS seeds."""
    create_store(storage / "mlflow.db", storage / "artifacts")
    generator = np.random.default_rng(0)
    steps = (10 * np.arange(points)).tolist()
    with closing(sqlite3.connect(storage / "mlflow.db")) as database, database:
        insert = "insert into runs (run_uuid, name, status, start_time, end_time, lifecycle_stage, artifact_uri, "
        # MLflow's page shows no run without these.
        insert += "user_id, source_type, source_name, entry_point_name, source_version, experiment_id) values "
        for number in range(runs):
            run = f"{number:08x}".ljust(32, "0")
            database.execute(
                insert + "(?, ?, 'FINISHED', 1, 60001, 'active', '', '', 'LOCAL', '', '', '', 0)",
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


def candidates(gradio: str) -> dict[str, Candidate]:
    """The pages by name."""

    def explore(storage: Path, port: int) -> list[str]:
        where = ["--storage", str(storage), "--port", str(port)]
        return [sys.executable, "-m", "rrm", "explore", *where, "--no-browser", "--view", "?tab=curvature"]

    def alone(storage: Path, port: int) -> list[str]:
        return [*explore(storage, port)[:-1], "?tab=curvature&group="]

    def mlflow(storage: Path, port: int) -> list[str]:
        store = f"sqlite:///{storage / 'mlflow.db'}"
        return [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", store, "--port", str(port)]

    def show_all(page: Page) -> None:
        page.locator("[data-testid=experiment-view-runs-visibility-column-header]").click(timeout=1000 * PATIENCE_S)
        page.get_by_text("Show all runs").click()

    own, slider = "#range [role=slider]", "input[type=range]"
    script = str(Path(__file__).parent / "gradio_page.py")
    return {
        "explorer, grouped": Candidate(explore, "?tab=curvature", lambda runs: -(-runs // SEEDS), slider=own),
        "explorer, each run": Candidate(alone, "?tab=curvature&group=", lambda runs: runs, slider=own),
        "MLflow": Candidate(mlflow, "#/experiments/0/runs?compareRunsMode=CHART", lambda runs: runs, show_all),
        "Gradio": Candidate(lambda *of: [gradio, script, *map(str, of)], "", lambda runs: runs, slider=slider),
    }


@contextmanager
def serving(command: Sequence[str], address: str) -> Iterator[int]:
    """Id of the process of a server that answers; TimeoutError where it does not."""
    # Another environment, that of Gradio, does not know rrm.
    known = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=known)
    try:
        _until(lambda: _answers(address), f"{command[0]} {command[1]}")
        yield process.pid
    finally:
        for one in _family(process.pid):
            os.kill(one, signal.SIGKILL)
        process.wait()


def measure(browser: Browser, one: Candidate, storage: Path, runs: int, changes: int) -> dict[str, str]:
    """A cold start, then changes."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}/"
    before, begin = _cpu(os.getpid()), time.perf_counter()
    with serving(one.command(storage, port), address) as server:
        up = time.perf_counter() - begin
        page = browser.new_page(viewport={"width": 1400, "height": 2800})
        page.set_default_timeout(1000 * PATIENCE_S)
        page.goto(address + one.address)
        one.prepare(page)
        _until(lambda: page.evaluate(DRAWN, [len(SERIES), one.lines(runs)]), "the plots")
        drawn = time.perf_counter() - begin
        spent = _cpu(os.getpid()) - before
        page.wait_for_timeout(3000)
        found = {"server up": f"{up:.1f}", "all plots": f"{drawn:.1f}", "CPU": f"{spent:.1f}"}
        if one.slider:
            clock = page.context.new_cdp_session(page)
            clock.send("Performance.enable", {"timeDomain": "threadTicks"})
            before = _of_page(clock)
            times = [_change(page, "keydown", RANGE, one.slider, "ArrowRight") for _ in range(changes)]
            found["range, CPU"] = f"{1000 * (_of_page(clock) - before) / changes:.0f}"
            found["range, median"] = f"{np.median(times):.0f}"
            found["range, p95"] = f"{np.percentile(times, 95):.0f}"
        if one.slider.startswith("#"):
            scales = [_scale(page, scale) for scale in ["log", "linear"] * (changes // 4)]
            hide = "button[aria-label='hide trial-000']"
            hidden = [_change(page, "keydown", FIGURE, hide, "Enter") for _ in range(changes // 2)]
            found |= {"log axis": f"{np.median(scales):.0f}", "hide a run": f"{np.median(hidden):.0f}"}
        memory = sum(_peak_mb(process) for process in _family(server))
        page.close()
    return found | {"memory": f"{memory:.0f}"}


def _change(page: Page, event: str, state: str, control: str, key: str) -> float:
    page.wait_for_timeout(700)
    page.locator(control).first.focus()
    page.evaluate(WATCH, [event, state])
    page.keyboard.press(key)
    return page.evaluate("window.watched")


def _of_page(clock: CDPSession) -> float:
    """Seconds that the main thread of the page has computed."""
    return next(
        one["value"] for one in clock.send("Performance.getMetrics")["metrics"] if one["name"] == "TaskDuration"
    )


def _scale(page: Page, scale: str) -> float:
    page.wait_for_timeout(700)
    page.evaluate(WATCH, ["scale", SCALE])
    page.evaluate("""(scale) => {
        document.dispatchEvent(new Event("scale"));
        window.dash_clientside.set_props("scale_x", { value: scale });
    }""", scale)  # fmt: skip
    return page.evaluate("window.watched")


def _answers(address: str) -> bool:
    try:
        return urllib.request.urlopen(address, timeout=5).status == 200
    except OSError:
        return False


def _until(state: Callable[[], bool], name: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not state():
        if time.monotonic() > end:
            raise TimeoutError(f"{name} not there after {PATIENCE_S} s")
        time.sleep(0.02)


def _family(process: int) -> list[int]:
    """A process and all below it."""
    children = Path(f"/proc/{process}/task/{process}/children")
    found = [int(child) for child in children.read_text().split()] if children.exists() else []
    return [process, *(below for child in found for below in _family(child))]


def _cpu(process: int) -> float:
    """Seconds that a process and all below it have computed."""
    fields = [Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split() for one in _family(process)]
    return sum(sum(map(int, of[11:15])) for of in fields) / os.sysconf("SC_CLK_TCK")


def _peak_mb(process: int) -> float:
    return int(Path(f"/proc/{process}/status").read_text().partition("VmHWM:")[2].split()[0]) / 1000


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--changes", type=int, default=20)
    parser.add_argument("--gradio", default=sys.executable, metavar="PYTHON", help="that has gradio")
    parser.add_argument("--only", nargs="+", metavar="PAGE", help="of: " + ", ".join(candidates("")))
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        storage = Path(folder) / "runs"
        make_store(storage, args.runs, args.points)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, one in candidates(args.gradio).items():
            if args.only and name not in args.only:
                continue
            if (
                name == "Gradio"
                and subprocess.run([args.gradio, "-c", "import gradio"], capture_output=True).returncode
            ):
                print(f"{name} is left out: {args.gradio} has no gradio, name one that has by --gradio")
                continue
            try:
                rows.append({"page": name} | measure(browser, one, storage, args.runs, args.changes))
            except TimeoutError as error:
                print(f"{name} is left out: {error}")
        browser.close()
    print(f"{args.runs} runs x {args.points} points x {len(SERIES)} plots; seconds from the command, ms, MB")
    columns = list(dict.fromkeys(name for row in rows for name in row))
    print(*table([{name: row.get(name, "-") for name in columns} for row in rows]), sep="\n")


if __name__ == "__main__":
    main()

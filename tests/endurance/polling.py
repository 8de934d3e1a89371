"""Does a page that looks every second slow a sweep, lock its store, or miss a point?

    python -m tests.endurance.polling [--repeats 2] [--storage DIR]

A small sweep runs alone and watched, in turns. The watcher does what the server of the explorer does for a page that
asks every second: it looks whether the store has changed, reads the runs and the new points, and makes the figures.
In the end its points, which it has read bit by bit, are compared with those of a reader that reads everything at once,
and the numbers of points in both stores with each other. `locked` counts lines of the sweep that say so.
"""

import argparse
import multiprocessing
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np

from rrm.errors import InputError
from rrm.explorer.source import Source
from rrm.explorer.tabs import TABS
from rrm.explorer.view import View
from rrm.terminal.table import table
from rrm.tracking import default_uri
from rrm.tracking.sqlite_reader import SqliteReader

SCRIPT = Path(__file__).parents[2] / "tune_specs" / "perturb_sweep.py"
SWEEP = ["--preset", "smoke", "--model", "trm_mlp", "--trials", "2", "--seeds", "2"]


def watch(storage: Path, done, queue) -> None:
    """Look every second until `done`, once more after; puts (looks, longest look, missed series)."""
    while not (storage / "mlflow.db").is_file() and not done.is_set():
        time.sleep(0.1)
    source, looks, longest, last = Source(default_uri(storage), storage), 0, 0.0, ""
    points: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]] = {}
    while True:
        ended = done.is_set()
        begun = time.monotonic()
        if (version := source.version()) != last:
            try:
                TABS["training"].figures(source.select(View()), View())
                series = [(run, name) for run in source.runs() for name in run.metrics]
                points = {(run.id, name): source.reader.history(run, name) for run, name in series}
                last = version
            except InputError as error:  # the store is still being made
                print(error, file=sys.stderr)
        looks, longest = looks + 1, max(longest, time.monotonic() - begun)
        if ended:
            break
        done.wait(1)
    fresh = SqliteReader(storage / "mlflow.db", storage)
    runs = fresh.every_run()
    missed = [key for key in points if not np.array_equal(points[key], fresh.history(fresh.run(key[0]), key[1]), True)]
    for run in runs:
        own = source.reader.curves(run)
        missed += [(run.id, name) for name, of in fresh.curves(run).items() if not np.array_equal(of, own[name], True)]
    queue.put((looks, longest, len(missed)))


def sweep(storage: Path, watched: bool) -> dict[str, str]:
    """One sweep."""
    done, queue = multiprocessing.Event(), multiprocessing.Queue()
    watcher = multiprocessing.Process(target=watch, args=(storage, done, queue))
    if watched:
        watcher.start()
    begun = time.monotonic()
    command = [sys.executable, str(SCRIPT), *SWEEP, "--storage", str(storage)]
    ended = subprocess.run(command, capture_output=True, text=True)
    wall = time.monotonic() - begun
    done.set()
    looks, longest, missed = queue.get(timeout=120) if watched else ("-", None, "-")
    if watched:
        watcher.join()
    with closing(sqlite3.connect(storage / "mlflow.db")) as database:
        points = database.execute("select count(*) from metrics").fetchone()[0]
    lines = sum(path.read_bytes().count(b"\n") for path in storage.glob("*/curves/*.jsonl"))
    return {
        "page": "yes" if watched else "no",
        "wall s": f"{wall:.1f}",
        "exit code": str(ended.returncode),
        "locked": str((ended.stdout + ended.stderr).count("locked")),
        "points in the store": f"{points}",
        "rows of curve files": f"{lines}",
        "looks": str(looks),
        "longest look s": "-" if longest is None else f"{longest:.2f}",
        "series missed": str(missed),
    }


def main() -> int:
    """Print the table; 1 where something is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--storage", type=Path, help="where the sweeps are kept (default: nowhere)")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(2 * args.repeats):
            storage = (args.storage or Path(folder)) / f"runs-{number}"
            storage.mkdir(parents=True)
            rows.append(sweep(storage, watched=number % 2 == 1))
            print(rows[-1], flush=True)
    print(*table(rows), sep="\n")
    alike = len({(row["points in the store"], row["rows of curve files"]) for row in rows}) == 1
    good = all((row["exit code"], row["locked"]) == ("0", "0") and row["series missed"] in "-0" for row in rows)
    return 0 if alike and good else 1


if __name__ == "__main__":
    sys.exit(main())

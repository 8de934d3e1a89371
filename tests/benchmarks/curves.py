"""What curves cost a driver: runs with a curve file each are logged and read back.

    python tests/benchmarks/curves.py [--runs 18] [--rows 2000] [--series 30]

"append s" is the time of all runs' own processes. The driver pays for "log s", in which the store takes every file and
every thinned point, and "read s" is what a reader needs for all curves, fetched from the artifacts.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from rrm.curves import CurveFile, curve_path
from rrm.tracking import Tracker, default_uri
from rrm.tracking.store_reader import StoreReader


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=18)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--series", type=int, default=30)
    args = parser.parse_args()
    names = [f"probe/series-{number:02d}" for number in range(args.series)]
    values = np.random.default_rng(0).standard_normal((args.runs, args.rows, args.series)).cumsum(1)
    with tempfile.TemporaryDirectory() as scratch:
        storage = Path(scratch)
        # Before the clock starts, for the schema takes seconds.
        with Tracker(default_uri(storage), "curves", "job", storage / "artifacts") as tracker:
            tracker.run("sweep", "job")
        paths = [curve_path(storage / "job", f"trial-{number:03d}") for number in range(args.runs)]

        began = time.perf_counter()
        for path, rows in zip(paths, values, strict=True):
            file = CurveFile(path)
            for step, row in enumerate(rows):
                file.append(step, dict(zip(names, row, strict=True)))
            file.close()
        appended = time.perf_counter()

        processor, longest = time.process_time(), 0.0
        with Tracker(default_uri(storage), "curves", "job", storage / "artifacts") as tracker:
            for path in paths:
                begun = time.perf_counter()
                tracker.curves(tracker.run("trial", path.stem), path)
                longest = max(longest, time.perf_counter() - begun)
        logged, processor = time.perf_counter(), time.process_time() - processor

        reader = StoreReader(default_uri(storage), storage / "downloads")
        runs = [run for group in reader.groups() for run in reader.runs(group) if run.role == "trial"]
        found = {run.name: reader.curves(run) for run in runs}
        read = time.perf_counter()
        thinned = sum(len(reader.history(run, name)[0]) for run in runs for name in names)
        histories = time.perf_counter()

        lost = 0
        for path, rows in zip(paths, values, strict=True):
            for name, column in zip(names, rows.T, strict=True):
                steps, kept = found.get(path.stem, {}).get(name, ([], np.array([])))
                same = len(kept) == args.rows and (kept == column).all() and (steps == np.arange(args.rows)).all()
                lost += 0 if same else args.rows
        megabytes = [sum(path.stat().st_size for path in paths) / 1e6, (storage / "mlflow.db").stat().st_size / 1e6]
    print(f"{args.runs} runs x {args.rows} rows x {args.series} series")
    print(f"append s       {appended - began:.2f}")
    print(f"log s          {logged - appended:.2f}, {processor:.2f} of the processor; longest run {longest:.2f}")
    print(f"read s         {read - logged:.2f}, and {histories - read:.2f} for the thinned series")
    print(f"files MB       {megabytes[0]:.1f}, database {megabytes[1]:.1f}")
    print(f"points         {values.size}, lost {lost}; thinned {thinned}")


if __name__ == "__main__":
    main()

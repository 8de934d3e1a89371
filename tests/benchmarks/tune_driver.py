"""CPU time that Tune's driver spends on a report of a trial, by trials and reports of each.

    python tests/benchmarks/tune_driver.py [--sizes 8x40 64x12]

Everything that the driver of a sweep does while trials run is divided among the reports: Tune itself, the start of
trials, its state on disk, MLflow in an sqlite file, the live table. The trials train one step of a network of a few
numbers between two reports, two at a time, each size in a process of its own.
"""

import argparse
import contextlib
import io
import multiprocessing
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from rrm.cluster.capacity import Request
from rrm.cluster.phase import Description, Training
from rrm.cluster.search import BaselinesFirst
from rrm.cluster.session import ray_session
from rrm.cluster.trial import Job
from rrm.jobs.data import load_data
from rrm.jobs.folder import JobFolder
from rrm.jobs.objectives import OBJECTIVES
from rrm.jobs.recipes import Recipes
from rrm.jobs.spec import Preset, SweepSpec
from rrm.models import build
from rrm.tracking import Tracker, default_uri
from rrm.training.recipe import Recipe
from rrm.training.recipes import cpu_sudoku

ACCURACY = {"accuracy": OBJECTIVES["accuracy"]}


def seconds(trials: int, evaluations: int) -> tuple[float, float]:
    """(CPU seconds of the driver, wall seconds) from the first trial to the last."""

    def recipe(config: dict, task, preset: Preset, seed: int) -> Recipe:
        """One optimizer step of two puzzles from report to report."""
        made = cpu_sudoku(task, batch_size=2, evaluations=preset.evaluations, halt_max_steps=1, seed=seed)
        made.model.update(hidden_size=4, num_heads=1, H_cycles=1, L_cycles=1)
        return replace(made, budget=preset.evaluations * made.units_per_step(build(made.model)))

    preset = Preset(trials, 1, evaluations, evaluations, "sudoku-4x4", (6, 8), 8, 2, 2)
    with tempfile.TemporaryDirectory() as storage, ray_session(None, 1, False):
        folder = JobFolder(Path(storage, "job"), "sweep")
        spec = SweepSpec("driver", ("trm_mlp",), lambda models: [], recipe, "", {"default": preset})
        keys, splits = load_data("driver", [preset.data], None, 0, Path(storage, "puzzles"))
        job = Job(Recipes.of_spec(spec, folder.path, preset, keys), Request(), str(folder.path / "train"), ACCURACY)
        tracker = Tracker(default_uri(Path(storage)), "driver", "job", Path(storage, "artifacts"))
        with folder.claim(), tracker:
            tracker.run("sweep", "job")
            describe = Description(job.recipes, {})
            configs = [{"model": "trm_mlp", "seed": 0} for _ in range(trials)]
            training = Training(job, describe, splits, folder, tracker, 2, False)
            began, wall = time.process_time(), time.perf_counter()
            with contextlib.redirect_stdout(io.StringIO()):
                training.run("tune", BaselinesFirst(None, configs, 0), trials, fixed=trials)
            tracker.client  # noqa: B018 - waits until all is written
            return time.process_time() - began, time.perf_counter() - wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["8x40", "64x12"], metavar="TRIALSxREPORTS")
    args = parser.parse_args()
    print(f"{'trials':>6} {'reports':>7} {'CPU s':>7} {'wall s':>7} {'CPU ms a report':>15}")
    for size in args.sizes:
        trials, each = map(int, size.split("x"))
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            cpu, wall = pool.apply(seconds, (trials, each))
        reports = trials * each
        print(f"{trials:>6} {reports:>7} {cpu:>7.1f} {wall:>7.1f} {1e3 * cpu / reports:>15.1f}", flush=True)


if __name__ == "__main__":
    main()

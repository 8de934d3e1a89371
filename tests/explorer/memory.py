"""Runs of a made-up store, in memory."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rrm.curves import Curves
from rrm.errors import InputError
from rrm.tracking.reader import Group, Reader, Run

STEPS = np.arange(0, 1001, 10)


class Memory(Reader):
    """A reader of runs that are given."""

    def __init__(self, runs: Sequence[Run], curves: dict[str, Curves]):
        self._runs, self._curves = list(runs), curves

    def groups(self):
        return [Group("", name, "sweep", name, "FINISHED", 0.0, None) for name in {run.group for run in self._runs}]

    def runs(self, group):
        return [run for run in self._runs if run.group == group.name]

    def run(self, run_id):
        return next(run for run in self._runs if run.id == run_id)

    def history(self, run, name):
        return self._curves[run.id][name]

    def curves(self, run):
        return self._curves.get(run.id, {})

    def files(self, run):
        return []

    def file(self, run, name) -> Path:
        raise InputError("a run in memory has no file")


def make_run(number: int, arm: str, seed: int, metrics=None, name: str = "", status: str = "FINISHED") -> Run:
    params = {"sigma": "0.1" if arm == "noise" else "0.0", "seed": str(seed)}
    tags = {"rrm.model": "trm_mlp", "rrm.arm": arm, "rrm.seed": str(seed)}
    return Run(f"{number:08x}".ljust(32, "0"), "job", "sweep", "trial", name or f"trial-{number:03d}", "f" * 32, status,
               60.0 * number, 60.0 * number + 90, params, tags, metrics or {})  # fmt: skip

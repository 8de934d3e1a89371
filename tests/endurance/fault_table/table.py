"""What the rows share: a clone of the repository, a tiny sweep, and the unbroken jobs that rows are compared with."""

import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.endurance.fault_table.row import Row

REPOSITORY = Path(__file__).resolve().parents[3]
SPEC = """
import runpy
from dataclasses import replace

from rrm.commands.sweep import run_command
from rrm.jobs.spec import Preset

SPEC = runpy.run_path({path!r})["SPEC"]
TINY = Preset(
    trials=5, seeds=1, steps=8, evaluations=2, task="sudoku-4x4", givens=(7, 9), train=64, validation=32, test=70
)
DDP = replace(TINY, trials=1, steps=100, evaluations=10)
SPEC = replace(SPEC, models=("trm_mlp", "srm_mlp"), presets={{"default": TINY, "ddp": DDP}}, learns=0.0)

if __name__ == "__main__":
    run_command(SPEC, "A tiny sweep.")
"""

DREAM = """
import runpy
from dataclasses import replace

from rrm.commands.sweep import run_command
from rrm.jobs.spec import Preset

SPEC = runpy.run_path({path!r})["SPEC"]
TINY = Preset(
    trials=0, seeds=1, steps=90, evaluations=2, batch_size=16, task="sudoku-4x4", givens=(4, 8), train=64,
    validation=32, test=64
)


def fixed(models):
    return [{{"model": "trm_mlp", "arm": "unfiltered"}}]


STAGES = ("score", "rounds", "log")
SPEC = replace(SPEC, fixed=fixed, presets={{"default": TINY}}, baseline=None, tiers=None, stages=STAGES)

if __name__ == "__main__":
    run_command(SPEC, "A tiny dream loop.")
"""

DDP = ("--preset", "ddp", "--model", "trm_mlp", "--workers-per-trial", "2")


class Unbroken(NamedTuple):
    """A job that nothing happened to: its storage folder, the units of work that it did, and how long it took."""

    storage: Path
    work: Counter
    seconds: float


class Table:
    """Made once for all rows, in the folder `work`; the unbroken jobs when a row first asks for them."""

    def __init__(self, work: Path):
        self.work = work
        self.tree = work / "tree"
        subprocess.run(["git", "clone", "-q", str(REPOSITORY), str(self.tree)], check=True)
        self.sweep_file = work / "tiny_sweep.py"
        self.sweep_file.write_text(SPEC.format(path=str(self.tree / "tune_specs" / "perturb_sweep.py")))
        self.dream_file = work / "tiny_dream.py"
        self.dream_file.write_text(DREAM.format(path=str(self.tree / "tune_specs" / "dream_sweep.py")))
        self._lock = threading.RLock()

    @property
    def commit(self) -> str:
        """Hash and date of the clone's commit."""
        asked = ["git", "-C", str(self.tree), "log", "-1", "--format=%h %ci"]
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()

    def sweep(self, row: Row, *options: object) -> list[object]:
        """The tiny sweep in the row's folder."""
        return [self.sweep_file, "--storage", row.runs, "--name", "job", *options]

    def dream(self, row: Row, *options: object) -> list[object]:
        """A sweep of one tiny dream loop in the row's folder: a round of four pieces of work."""
        return [self.dream_file, "--storage", row.runs, "--name", "job", *options]

    def study(self, row: Row, *options: object) -> list[object]:
        """A tiny stability study in the row's folder."""
        script, files = self.tree / "analysis" / "lyapunov.py", self.files
        named = ["--checkpoint", files / "checkpoint", "--data", files / "puzzles.npz", "--k", "2"]
        return [script, *named, "--storage", row.runs, "--name", "job", *options]

    def unbroken(self, command: Callable, name: str, *options: object, **settings: Any) -> Unbroken:
        """Run a job that nothing happens to."""
        began, row = time.monotonic(), Row(name, self.work, self)
        done = row.run(*command(row, *options), **settings)
        if done.code:
            raise SystemExit(f"the unbroken {name} failed:\n{done.err}")
        print(f"{name}: {done.out.strip().splitlines()[-1]}", flush=True)
        return Unbroken(row.runs, row.count(), time.monotonic() - began)

    def _once(self, key: str, make: Callable) -> Any:
        with self._lock:
            if key not in self.__dict__:
                self.__dict__[key] = make()
            return self.__dict__[key]

    def job(self, kind: str) -> tuple[Callable, Unbroken]:
        """(the command, the unbroken job) of a "sweep", a "dream" or a "study"."""
        if kind == "dream":
            return self.dream, self.whole_dream
        return (self.sweep, self.whole_sweep) if kind == "sweep" else (self.study, self.whole_study)

    @property
    def whole_sweep(self) -> Unbroken:
        """The tiny sweep."""
        return self._once("_sweep", lambda: self.unbroken(self.sweep, "whole-sweep"))

    @property
    def whole_dream(self) -> Unbroken:
        """The sweep of a tiny dream loop."""
        return self._once("_dream", lambda: self.unbroken(self.dream, "whole-dream"))

    @property
    def whole_ddp(self) -> Unbroken:
        """A sweep of one long trial on two DDP workers."""
        return self._once("_ddp", lambda: self.unbroken(self.sweep, "whole-ddp", *DDP, slots=2))

    @property
    def whole_study(self) -> Unbroken:
        """The tiny study."""
        return self._once("_study", lambda: self.unbroken(self.study, "whole-study"))

    @property
    def files(self) -> Path:
        """A checkpoint of an untrained model, and puzzles."""
        return self._once("_files", self._make_files)

    def _make_files(self) -> Path:
        import torch

        from rrm.models import build, describe, variant
        from rrm.tasks import get_task
        from rrm.training.checkpoint import save_tensors, write_meta

        folder = self.work / "files"
        (folder / "checkpoint").mkdir(parents=True)
        torch.manual_seed(0)
        model = build(variant("trm_mlp", vocab_size=6, seq_len=16, hidden_size=16, H_cycles=1, L_cycles=1)).eval()
        save_tensors(model.state_dict(), folder / "checkpoint" / "best.safetensors")
        write_meta(
            folder / "checkpoint", {w: {"model": describe(model), "segments": 4, "step": 1} for w in ("best", "final")}
        )
        get_task("sudoku-4x4").generate(200, seed=0).save(folder / "puzzles.npz")
        return folder

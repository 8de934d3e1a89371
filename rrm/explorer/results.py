"""Result files of stability measurements, by numpy alone: `rrm.dynamics`, which writes them, needs torch."""

import json
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from safetensors import safe_open

from rrm.explorer.selection import Selection
from rrm.files import read_npz, refusing
from rrm.tracking.reader import Run

SCHEMA = "rrm-lyapunov"
# Of a study: its result, and its rollouts far past the training depth.
RESULT, DEEP = "result.safetensors", "deep.npz"
REMEDY = "restore the file from a copy, or measure again"
# Arrays that the tabs draw; N puzzles, S segments, k exponents.
ARRAYS = ("lambda_per_call", "lambda_segments", "drift_H", "drift_L", "q_halt", "margin", "entropy", "solved_at")


@dataclass(frozen=True)
class Measured:
    """What was measured on one trained model.

    Attributes:
        run: the training, or the study of one.
        label: its name.
        solved: bool [N], whether the answer at the end is right.
        finite: bool [N], whether the rollout stayed finite; others are left out of exponents.
        segments: of a rollout.
        deep: bool [n, T], whether the answer of a puzzle is right after each segment of a rollout far past the training
            depth; None where a study has not made such rollouts.
        arrays: those of ARRAYS that the file has: lambda_per_call [N, k], lambda_segments [N, S, k], others [N, S].
        task, unit: in words.
    """

    run: Run
    label: str
    solved: np.ndarray
    finite: np.ndarray
    segments: int
    deep: np.ndarray | None
    arrays: dict[str, np.ndarray]
    task: str
    unit: str


@dataclass(frozen=True)
class MeasuredGroup:
    """The trained models of a group, such as the seeds of an arm; a study is one by itself.

    Attributes:
        label: of the group, and of the run where the run is alone.
        models: at least one.
    """

    label: str
    models: tuple[Measured, ...]

    @property
    def solved(self) -> np.ndarray:
        """bool, of the puzzles of all models in turn."""
        return np.concatenate([one.solved for one in self.models])

    @property
    def finite(self) -> np.ndarray:
        """bool, of the puzzles of all models in turn."""
        return np.concatenate([one.finite for one in self.models])

    def having(self, name: str) -> "MeasuredGroup | None":
        """The group of the models with some finite value of an array; None without any."""
        kept = [one for one in self.models if name in one.arrays and np.isfinite(one.arrays[name]).any()]
        return replace(self, models=tuple(kept)) if kept else None

    def first_exponents(self) -> np.ndarray:
        """lambda_1 of the puzzles of all models in turn."""
        return np.concatenate([one.arrays["lambda_per_call"][:, 0] for one in self.models])


def measurements(selection: Selection, most: int) -> tuple[list[MeasuredGroup], int]:
    """What was measured on at most `most` groups of a selection, then on studies; and how many were left out."""
    found: list[MeasuredGroup] = []
    left_out = 0
    for group in selection.groups:
        files = [(run, selection.file(run, f"lyapunov/{run.name}.safetensors")) for run in group.runs]
        having = [(run, path) for run, path in files if path is not None]
        if having and len(found) >= most:
            left_out += 1
        elif having:
            models = tuple(_measured(run, run.name, path, None) for run, path in having)
            alone = f"{group.label}, {models[0].label}" if len(group.runs) > 1 else group.label
            found.append(MeasuredGroup(alone if len(models) == 1 else f"{group.label} ({len(models)} runs)", models))
    for run in selection.jobs:
        path = selection.file(run, RESULT) if run.kind == "stability" else None
        if path is not None and len(found) >= most:
            left_out += 1
        elif path is not None:
            label = ", ".join(part for part in (run.tags.get("rrm.label"), run.name) if part)
            found.append(MeasuredGroup(label, (_measured(run, label, path, selection.file(run, DEEP)),)))
    return found, left_out


def _measured(run: Run, label: str, path: Path, deep: Path | None) -> Measured:
    settings, arrays = _read(path, path.stat().st_mtime_ns)
    solved = arrays["solved"].astype(bool)
    finite = arrays.get("finite", np.ones(len(solved))).astype(bool)
    kept = {name: arrays[name] for name in ARRAYS if name in arrays}
    task, unit = str(settings.get("task", "")), str(settings.get("unit", "nats per network call"))
    longer = None if deep is None else read_npz(deep, ["solved"], "deep rollouts", REMEDY)["solved"].astype(bool)
    return Measured(run, label, solved, finite, int(settings.get("segments", 0)), longer, kept, task, unit)


@lru_cache(maxsize=256)
def _read(path: Path, changed: int) -> tuple[dict, dict[str, np.ndarray]]:
    """Settings and arrays of a file; InputError for another kind of file."""
    with refusing(path, "result file", REMEDY):
        with safe_open(path, "numpy") as file:
            header = json.loads((file.metadata() or {}).get("rrm", "{}"))
            if header.get("schema") != SCHEMA:
                raise ValueError(f"its schema is {header.get('schema')!r}, not {SCHEMA}")
            names = {*ARRAYS, "solved", "finite"} & set(file.keys())
            return header.get("settings", {}), {name: file.get_tensor(name) for name in names}

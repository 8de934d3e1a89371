"""Result files of stability measurements, by numpy alone: `rrm.dynamics`, which writes them, needs torch."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from safetensors import safe_open

from rrm.explorer.selection import Selection
from rrm.files import refusing
from rrm.tracking.reader import Run

SCHEMA = "rrm-lyapunov"
# Arrays that the tabs draw; N puzzles, S segments, k exponents.
ARRAYS = ("lambda_per_call", "lambda_segments", "drift_H", "drift_L", "q_halt", "margin", "entropy", "solved_at")


@dataclass(frozen=True)
class Measured:
    """What was measured on one trained model.

    Attributes:
        run: the training.
        label: its group, and its name.
        solved: bool [N], whether the answer at the end is right.
        finite: bool [N], whether the rollout stayed finite; others are left out of exponents.
        arrays: those of ARRAYS that the file has: lambda_per_call [N, k], lambda_segments [N, S, k], others [N, S].
        task, unit: in words.
    """

    run: Run
    label: str
    solved: np.ndarray
    finite: np.ndarray
    arrays: dict[str, np.ndarray]
    task: str
    unit: str


def measurements(selection: Selection, most: int) -> list[Measured]:
    """The measurements of at most `most` runs of a selection, in its order."""
    found: list[Measured] = []
    for group in selection.groups:
        for run in group.runs:
            path = selection.file(run, f"lyapunov/{run.name}.safetensors") if len(found) < most else None
            if path is not None:
                label = group.label if len(group.runs) == 1 else f"{group.label}, {run.name}"
                settings, arrays = _read(path, path.stat().st_mtime_ns)
                solved = arrays["solved"].astype(bool)
                finite = arrays.get("finite", np.ones(len(solved))).astype(bool)
                kept = {name: arrays[name] for name in ARRAYS if name in arrays}
                found.append(Measured(run, label, solved, finite, kept, str(settings.get("task", "")),
                                      str(settings.get("unit", "nats per network call"))))  # fmt: skip
    return found


@lru_cache(maxsize=64)
def _read(path: Path, changed: int) -> tuple[dict, dict[str, np.ndarray]]:
    """Settings and arrays of a file; InputError for another kind of file."""
    with refusing(path, "result file", "restore the file from a copy, or measure again"):
        with safe_open(path, "numpy") as file:
            header = json.loads((file.metadata() or {}).get("rrm", "{}"))
            if header.get("schema") != SCHEMA:
                raise ValueError(f"its schema is {header.get('schema')!r}, not {SCHEMA}")
            names = {*ARRAYS, "solved", "finite"} & set(file.keys())
            return header.get("settings", {}), {name: file.get_tensor(name) for name in names}

"""Read a set of puzzles from the file that `PuzzleSet.save` wrote."""

from dataclasses import fields
from pathlib import Path

import numpy as np

from rrm.errors import InputError
from rrm.files import read_npz
from rrm.tasks import PuzzleSet, Task, get_task


def load_puzzles(path: str | Path) -> PuzzleSet:
    """The puzzle set of an `.npz` file, with the shapes and types of a set and tokens of its task.

    The puzzles themselves are not checked (`Task.check`).

    Raises:
        InputError: when the file is missing or holds no such set.
    """
    arrays = read_npz(path, [field.name for field in fields(PuzzleSet)], ".npz puzzle set", "write the set again")
    puzzles = PuzzleSet(str(arrays.pop("task")), **arrays)
    try:
        problem = _problem(puzzles, get_task(puzzles.task))
    except InputError as error:
        problem = f"{error!s:.160}"
    if problem:
        raise InputError(f"{path}: not a readable .npz puzzle set ({problem}); write the set again")
    return puzzles


def _problem(puzzles: PuzzleSet, task: Task) -> str | None:
    """The first reason why arrays are no set of puzzles of the task; None without one."""
    grids = (len(puzzles.rating) if puzzles.rating.ndim else -1, task.seq_len)
    kinds = {"inputs": "uint8", "labels": "uint8", "puzzle_identifiers": "int32", "rating": "float32"}
    for name, array in puzzles.arrays.items():
        shape = grids if name in ("inputs", "labels") else grids[:1]
        if array.shape != shape or array.dtype.name != kinds.get(name, array.dtype.name):
            return f"{name} is {array.dtype} of shape {array.shape} in a set of {task.name}"
    if puzzles.source.dtype.kind != "U":
        return f"source is {puzzles.source.dtype}"
    if len(puzzles) and max(puzzles.inputs.max(), puzzles.labels.max()) >= task.vocab_size:
        return f"a token is none of the {task.vocab_size} of {task.name}"
    if len(puzzles) and puzzles.puzzle_identifiers.min() < 0:
        return "a puzzle identifier is negative"
    if np.isinf(puzzles.rating).any():
        return "a rating is infinite"
    return None

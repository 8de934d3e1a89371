"""Results by puzzle, made batch by batch and shard by shard: which rows go together, and how the parts become one."""

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from rrm.errors import InputError
from rrm.files import read_npz, replacing
from rrm.tasks.base import PuzzleSet

Result = TypeVar("Result")

# Rows of a batch. Shards of a multiple of it see the batches of the whole, and so give the whole bit for bit.
BATCH = 64


def row_batches(puzzles: PuzzleSet, index: np.ndarray | None, batch_size: int) -> Iterator[np.ndarray]:
    """Positions int64 [B] of the puzzles (or of those at `index`), `batch_size` at a time, in the order given.

    ValueError for a batch size below 1, no position, a position outside the set or one that comes twice.
    """
    index = np.arange(len(puzzles)) if index is None else np.asarray(index, np.int64)
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}: a batch needs at least one row")
    if not len(index):
        raise ValueError("index is empty: name at least one puzzle")
    if index.min() < 0 or index.max() >= len(puzzles):
        raise ValueError(f"index spans {index.min()} to {index.max()}: the positions are 0 to {len(puzzles) - 1}")
    if len(np.unique(index)) != len(index):
        raise ValueError("index names a puzzle twice: give every position once")
    return (index[first : first + batch_size] for first in range(0, len(index), batch_size))


def join(parts: Sequence[Result]) -> Result:
    """One result from shards, its rows in order of their `index`.

    The parts are dataclasses of one type whose `row_axes` names the arrays that have a row per puzzle and the axis it
    is on. ValueError where any other field differs, where a puzzle comes twice, or without parts.
    """
    if not parts:
        raise ValueError("no results to join: give at least one")
    first = parts[0]
    axes = first.row_axes
    for part in parts[1:]:
        for name in (field.name for field in fields(first) if field.name not in axes):
            one, other = getattr(first, name), getattr(part, name)
            if not np.array_equal(one, other):
                raise ValueError(f"results with different {name} ({one} and {other}) cannot be joined")
    joined = {name: np.concatenate([getattr(part, name) for part in parts], axis) for name, axis in axes.items()}
    order = np.argsort(joined["index"], kind="stable")
    ascending = joined["index"][order]
    if (twice := ascending[1:][ascending[1:] == ascending[:-1]]).size:
        raise ValueError(f"puzzle {twice[0]} is in two of the results: they are not shards of one data set")
    return replace(first, **{name: joined[name].take(order, axis) for name, axis in axes.items()})


def save_rows(result, path: Path) -> None:
    """Write a shard whose fields are arrays and numbers as `.npz`, without pickles; it appears whole or not at all."""
    with replacing(path) as unfinished, open(unfinished, "wb") as file:
        np.savez(file, **{field.name: getattr(result, field.name) for field in fields(result)})


def load_rows(kind: type[Result], path: Path) -> Result:
    """The shard that `save_rows` wrote; InputError for any other file."""
    remedy = "delete it to have it made again"
    named = read_npz(path, [field.name for field in fields(kind)], "shard", remedy)
    for field in fields(kind):
        array, axis = named[field.name], kind.row_axes.get(field.name)
        if field.type is np.ndarray:
            fits = array.ndim > 0 if axis is None else array.ndim > axis and array.shape[axis] == named["index"].size
        else:
            # Python lets a whole number stand where a float is meant.
            fits = array.ndim == 0 and type(array.item()) in ((int, float) if field.type is float else (field.type,))
        if not fits:
            shown = f"{field.name} is {array.dtype} of shape {array.shape}"
            raise InputError(f"{path}: not a shard of {kind.__name__}, {shown}; {remedy}")
    return kind(**{name: array.item() if array.ndim == 0 else array for name, array in named.items()})

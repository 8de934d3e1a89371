"""Results by puzzle, made batch by batch and shard by shard: which rows run together, and how the parts are joined."""

from collections.abc import Iterator, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from rrm.errors import InputError
from rrm.files import read_npz, replacing
from rrm.tasks.base import PuzzleSet


@dataclass(frozen=True)
class RowResult:
    """A result with arrays that have a row per puzzle, and with other fields that all its shards share.

    Attributes:
        row_axes: for each array with a row per puzzle, the axis of the rows; "index" among them, [N] int64, the
            position of the puzzle in the data set.
    """

    row_axes: ClassVar[dict[str, int]]


Result = TypeVar("Result", bound=RowResult)

# Rows of a batch. Shards of a multiple of it see the batches of the whole, and so give the whole bit for bit.
BATCH = 64


def row_batches(puzzles: PuzzleSet, index: ArrayLike | None, batch_size: int) -> Iterator[np.ndarray]:
    """Positions int64 [B] of the puzzles at `index` (None: of all), `batch_size` at a time, in the order given.

    Raises:
        ValueError: a batch size below 1, no position, a position outside the set or one that comes twice.
    """
    rows = np.arange(len(puzzles)) if index is None else np.asarray(index, np.int64)
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}: a batch needs at least one row")
    if not len(rows):
        raise ValueError("index is empty: name at least one puzzle")
    if rows.min() < 0 or rows.max() >= len(puzzles):
        raise ValueError(f"index spans {rows.min()} to {rows.max()}: the positions are 0 to {len(puzzles) - 1}")
    if len(np.unique(rows)) != len(rows):
        raise ValueError("index names a puzzle twice: give every position once")
    return (rows[first : first + batch_size] for first in range(0, len(rows), batch_size))


def join(parts: Sequence[Result]) -> Result:
    """One result from shards of one type, its rows in order of their `index`. An array may be None in all shards.

    Raises:
        ValueError: no shard, a field beside the arrays that differs, or a puzzle that comes twice.
    """
    if not parts:
        raise ValueError("no results to join: give at least one")
    first = parts[0]
    axes = {name: axis for name, axis in first.row_axes.items() if getattr(first, name) is not None}
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
    sorted_rows: dict[str, Any] = {name: joined[name].take(order, axis) for name, axis in axes.items()}
    return replace(first, **sorted_rows)


def save_rows(result: RowResult, path: Path) -> None:
    """Write a shard whose fields are arrays, numbers and texts as `.npz`; it appears whole or not at all.

    An array that is None is left out, so that nothing is pickled.
    """
    named = {field.name: getattr(result, field.name) for field in fields(result)}
    with replacing(path) as unfinished, open(unfinished, "wb") as file:
        np.savez(file, **{name: value for name, value in named.items() if value is not None})


def load_rows(kind: type[Result], path: Path, current: bool = False) -> Result:
    """The shard of type `kind` that `save_rows` wrote to `path`.

    A field that has a default keeps it where the file, of an older version, lacks the field.

    Args:
        kind: the type.
        path: of the file.
        current: refuse files of older versions: a study that is carried on cannot join them with its new shards.

    Raises:
        InputError: any other file.
    """
    remedy = "delete it to have it made again"
    optional = [field.name for field in fields(kind) if field.default is not MISSING and not current]
    required = [field.name for field in fields(kind) if field.name not in optional]
    named = read_npz(path, required, "shard", remedy, optional)
    for field in fields(kind):
        if field.name not in named:
            continue
        array, axis = named[field.name], kind.row_axes.get(field.name)
        if field.type is np.ndarray or axis is not None:
            fits = array.ndim > 0 if axis is None else array.ndim > axis and array.shape[axis] == named["index"].size
        else:
            # Python lets a whole number stand where a float is meant.
            fits = array.ndim == 0 and type(array.item()) in ((int, float) if field.type is float else (field.type,))
        if not fits:
            shown = f"{field.name} is {array.dtype} of shape {array.shape}"
            raise InputError(f"{path}: not a shard of {kind.__name__}, {shown}; {remedy}")
    return kind(**{name: array.item() if array.ndim == 0 else array for name, array in named.items()})

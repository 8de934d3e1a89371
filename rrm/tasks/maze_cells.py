"""The cells of a maze as tokens, and as sets: the bits of one unsigned integer are one row of a grid.

A set of cells of B square grids is an array [n, B] of uint32 (uint64 above 32 columns), bit c of entry [r, b] standing
for column c of row r of grid b. Searches then move the fronts of thousands of grids with a dozen array operations.
"""

import numpy as np
from numpy.typing import ArrayLike

PAD, WALL, OPEN, START, GOAL, PATH = range(6)  # "# SGo" -> 1..5, as in the data sets of the field
CHARACTERS = "?# SGo"
LARGEST = 64  # columns: bits of the widest integer


def pack(cells: np.ndarray) -> np.ndarray:
    """The set [n, B] of the true cells of bool [B, n, n]."""
    count, _, n = cells.shape
    kind = np.uint32 if n <= 32 else np.uint64
    padded = np.zeros((n, count, 8 * np.dtype(kind).itemsize), bool)
    padded[:, :, :n] = cells.transpose(1, 0, 2)
    return np.packbits(padded, axis=-1, bitorder="little").view(np.dtype(kind).newbyteorder("<"))[..., 0].astype(kind)


def unpack(sets: np.ndarray) -> np.ndarray:
    """bool [B, n, n] of a set [n, B]."""
    n, count = sets.shape
    octets = sets.astype(sets.dtype.newbyteorder("<"))[..., None].view(np.uint8)
    return np.unpackbits(octets, axis=-1, count=n, bitorder="little").astype(bool).transpose(1, 0, 2)


def single(cells: np.ndarray, n: int) -> np.ndarray:
    """The sets [n, B] that hold one cell each, numbered row by row in int [B]."""
    kind = np.uint32 if n <= 32 else np.uint64
    sets = np.zeros((n, len(cells)), kind)
    sets[cells // n, np.arange(len(cells))] = np.left_shift(kind(1), (cells % n).astype(kind))
    return sets


def next_front(front: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    """The cells of the set `unseen` beside a cell of `front` (sets [n, B]); bits that leave the grid are in no set."""
    one = front.dtype.type(1)
    beside = (front << one) | (front >> one)
    beside[1:] |= front[:-1]
    beside[:-1] |= front[1:]
    beside &= unseen
    return beside


def reachable(walkable: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The cells that a way inside `walkable` joins to `start`, which counts as walkable (all sets [n, B])."""
    front, seen = start, start
    while front.any():
        front = next_front(front, walkable & ~seen)
        seen = seen | front
    return seen


def distances(walkable: np.ndarray, start: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """int [B]: steps of a shortest way from `start` to `goal` inside `walkable` (sets [n, B]), -1 where there is none.

    Start and goal count as walkable.
    """
    found = np.full(start.shape[1], -1)
    rows = np.arange(start.shape[1])
    front, unseen = start, (walkable | goal) & ~start
    found[((start & goal) != 0).any(axis=0)] = 0
    steps = 0
    while len(rows):
        alive = (found[rows] < 0) & front.any(axis=0)
        if not alive.all():
            rows, front, unseen, goal = _select(alive, rows, front, unseen, goal)
        front = next_front(front, unseen)
        unseen = unseen & ~front
        steps += 1
        found[rows[((front & goal) != 0).any(axis=0)]] = steps
    return found


def far_cells(walkable: np.ndarray, start: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray]:
    """(numbers int [K] of the grids with cells at `least` or more steps from `start`, these cells as sets [n, K])."""
    rows = np.arange(start.shape[1])
    front, unseen = start, walkable & ~start
    for step in range(least):
        if step % 8 == 0:  # leaving out the grids whose search has ended costs as much as a few steps
            alive = front.any(axis=0)
            rows, front, unseen = _select(alive, rows, front, unseen)
        front = next_front(front, unseen)
        unseen &= ~front
    rows, front, unseen = _select(front.any(axis=0), rows, front, unseen)
    far = front.copy()
    while front.any():
        front = next_front(front, unseen)
        unseen &= ~front
        far |= front
    return rows, far


def _select(grids: ArrayLike, *arrays: np.ndarray) -> list[np.ndarray]:
    """The arrays [..., B] for the true entries of bool [B]; `take`, as indexing would transpose the sets in memory."""
    index = np.flatnonzero(grids)
    return [array.take(index, axis=-1) for array in arrays]

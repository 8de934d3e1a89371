"""The eight symmetries of a square grid: 0 to 3 quarter turns, and 0 to 3 quarter turns after a left-right mirror."""

import numpy as np

COUNT = 8


def apply(symmetry: int, grids: np.ndarray) -> np.ndarray:
    """Square token grids [B, S] after one of the eight symmetries (0 to 7, 0 the identity)."""
    n = round(grids.shape[1] ** 0.5)
    squares = grids.reshape(-1, n, n)
    if symmetry >= 4:
        squares = squares[:, :, ::-1]
    return np.rot90(squares, symmetry % 4, axes=(1, 2)).reshape(grids.shape)


def apply_each(symmetries: np.ndarray, grids: np.ndarray) -> np.ndarray:
    """Square token grids [B, S], row b after the symmetry symmetries[b] (int [B])."""
    moved = np.empty_like(grids)
    for symmetry in range(COUNT):
        chosen = symmetries == symmetry
        moved[chosen] = apply(symmetry, grids[chosen])
    return moved


def smallest_copy(grids: np.ndarray) -> np.ndarray:
    """The lexicographically smallest of the eight copies of every grid [B, S]: the same for all copies of a grid."""
    best = grids.copy()
    rows = np.arange(len(best))
    for symmetry in range(1, COUNT):
        copy = apply(symmetry, grids)
        differs = copy != best
        first = differs.argmax(axis=1)
        smaller = differs.any(axis=1) & (copy[rows, first] < best[rows, first])
        best[smaller] = copy[smaller]
    return best

"""Maze-Hard: open planes with independent walls, S and G uniform over the open cells given that they are far apart.

One in 60,000 random grids of 30 x 30 has S and G at 109 or more steps. Instead of drawing both blindly, a grid with S
is kept with a probability in proportion to its share of far open cells, and G is uniform among the far cells:
the same distribution. (Keeping every grid that has such a cell makes the paths too short: mean 110.9, not 113.9.)
"""

import numpy as np

from rrm.tasks.maze_cells import GOAL, OPEN, START, WALL, far_cells, pack, single, unpack

DENSITY = (0.30, 0.50)  # bounds of the uniform share of walls of a grid
BATCH = 2048  # grids that are drawn together: the sets of a 30 x 30 batch (250 kB each) stay in the cache
BARREN = 500  # batches in a row without a far cell after which generation gives up


def draw_mazes(n: int, least: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` mazes (uint8 tokens [count, n * n]), S and G `least` or more steps apart; fewer where grids have none.

    The probability to keep a grid is its share of far cells over the largest share so far. When that grows, the grids
    already kept are thinned out (B. S. Caffo et al., empirical supremum rejection sampling, Biometrika 89, 2002).
    """
    mazes, bound = np.zeros((0, n * n), np.uint8), np.zeros(0)
    largest, barren = 0.0, 0
    while len(mazes) < count and barren < BARREN:
        drawn, share = _candidates(n, least, rng)
        barren = 0 if len(drawn) else barren + 1
        largest = max(largest, share.max(initial=0))
        # kept while a uniform number is below share / largest
        mazes, bound = np.concatenate([mazes, drawn]), np.concatenate([bound, share / (1 - rng.random(len(share)))])
        mazes, bound = mazes[bound >= largest], bound[bound >= largest]
    return mazes[:count]


def _candidates(n: int, least: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The grids of a batch with far cells, as mazes [K, n * n], and the shares of open cells that are far, [K]."""
    threshold = (rng.uniform(*DENSITY, (BATCH, 1, 1)) * 2**16).astype(np.uint16)
    words = rng.integers(0, 2**64, BATCH * n * n // 4, dtype=np.uint64)  # three times as fast as drawing uint16
    free = words.astype("<u8", copy=False).view("<u2").reshape(BATCH, n, n) >= threshold
    flat = free.reshape(BATCH, -1)
    start = rng.integers(0, n * n, BATCH)
    while len(walled := np.flatnonzero(~flat[np.arange(BATCH), start])):
        start[walled] = rng.integers(0, n * n, len(walled))
    rows, sets = far_cells(pack(free), single(start, n), least)
    flat, far = flat[rows], unpack(sets).reshape(len(rows), n * n)
    mazes = np.where(flat, OPEN, WALL).astype(np.uint8)
    every = np.arange(len(rows))
    mazes[every, start[rows]] = START
    mazes[every, (far * rng.random(far.shape)).argmax(axis=1)] = GOAL
    return mazes, far.sum(axis=1) / flat.sum(axis=1)

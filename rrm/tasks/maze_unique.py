"""Mazes with one path between any two cells: spanning trees of a lattice of rooms by randomised depth-first search.

Rooms are the cells with even row and column, so that the tree fills the top left (2m - 1) x (2m - 1) cells: 29 x 29 of
30 x 30, whose last row and column are walls.
"""

import numpy as np

from rrm.tasks.maze_cells import GOAL, OPEN, START, WALL, next_front, pack, reachable, single, unpack

TRIES = 100  # grids for one maze


def draw_mazes(n: int, lengths: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mazes (uint8 tokens [B, n * n]) with S uniform over the open cells and G over the cells lengths[b] steps away.

    Grids in which S has no such cell are drawn again; fewer mazes come back where `TRIES` grids have none.
    """
    mazes = np.zeros((len(lengths), n * n), np.uint8)
    left = np.arange(len(lengths))
    for _ in range(TRIES):
        if not len(left):
            break
        free = np.array([_tree(n, rng) for _ in left])
        flat = free.reshape(len(left), -1)
        start = (flat * rng.random(flat.shape)).argmax(axis=1)
        goals = _at_distance(free, start, lengths[left]).reshape(flat.shape)
        goal = (goals * rng.random(flat.shape)).argmax(axis=1)
        every = np.arange(len(left))
        drawn = np.where(flat, OPEN, WALL).astype(np.uint8)
        drawn[every, start], drawn[every, goal] = START, GOAL
        done = goals.any(axis=1)
        mazes[left[done]] = drawn[done]
        left = left[~done]
    return mazes[mazes.any(axis=1)]


def is_tree(mazes: np.ndarray) -> np.ndarray:
    """bool [B]: whether the cells of token grids [B, n, n] that are no walls are connected without a loop."""
    free = mazes != WALL
    cells = free.sum(axis=(1, 2))
    edges = (free[:, 1:] & free[:, :-1]).sum(axis=(1, 2)) + (free[:, :, 1:] & free[:, :, :-1]).sum(axis=(1, 2))
    n = mazes.shape[1]
    first = free.reshape(len(free), n * n).argmax(axis=1)
    connected = (reachable(pack(free), single(first, n)) == pack(free)).all(axis=0)
    return connected & (edges == cells - 1)


def _tree(n: int, rng: np.random.Generator) -> np.ndarray:
    """bool [n, n]: the open cells of one random spanning tree."""
    rooms = (n + 1) // 2
    free = np.zeros((n, n), bool)
    room = int(rng.integers(rooms * rooms))
    free[room // rooms * 2, room % rooms * 2] = True
    tickets = rng.random(4 * rooms * rooms).tolist()  # one call for all choices; fewer are used
    trail, seen = [room], {room}
    while trail:
        row, column = divmod(trail[-1], rooms)
        options = [
            (row + down, column + right)
            for down, right in ((1, 0), (0, -1), (0, 1), (-1, 0))
            if 0 <= row + down < rooms and 0 <= column + right < rooms
        ]
        options = [option for option in options if option[0] * rooms + option[1] not in seen]
        if not options:
            trail.pop()
            continue
        beside = options[int(tickets.pop() * len(options))]
        free[2 * beside[0], 2 * beside[1]] = True
        free[row + beside[0], column + beside[1]] = True  # the wall between two rooms is at the mean of their cells
        trail.append(beside[0] * rooms + beside[1])
        seen.add(trail[-1])
    return free


def _at_distance(free: np.ndarray, start: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """bool [B, n, n]: the cells of the open cells `free` that are exactly lengths[b] steps from the cell start[b]."""
    front = single(start, free.shape[1])
    unseen = pack(free) & ~front
    wanted = np.zeros_like(front)
    for step in range(1, int(lengths.max()) + 1):
        front = next_front(front, unseen)
        unseen &= ~front
        wanted |= np.where(lengths == step, front, 0).astype(front.dtype)
    return unpack(wanted)

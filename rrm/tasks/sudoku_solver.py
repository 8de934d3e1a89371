"""A batched Sudoku solver: constraint propagation for thousands of grids at once, and splitting where it stops.

A state is a grid of candidate sets, one bit a digit. A round of propagation removes from every cell the digits that are
already placed in one of its units (naked singles) and places a digit where it has one cell left in a unit (hidden
singles). A state that a round leaves unchanged is split in two on a cell with the fewest candidates: the cell is one of
them, or it is not. The states of a puzzle partition its solutions, so that the solved states count them.
"""

from dataclasses import dataclass

import numpy as np

from rrm.tasks.sudoku_box import BLANK, FIRST_DIGIT, Box

CHUNK = 2048  # most states propagated together: the arrays of a 9 x 9 chunk (330 kB each) stay in the cache
ROUNDS = 2  # rounds between two sortings of the states into dead, solved, changing and stuck


@dataclass(frozen=True)
class Search:
    """The result of a search for each of M puzzles."""

    counts: np.ndarray  # int [M]: solutions found, at most the limit
    solutions: np.ndarray  # uint8 tokens [M, S]: one solution, zeros (padding) where there is none
    guesses: np.ndarray  # int [M]: how often a state of the puzzle had to be split


def solve(puzzles: np.ndarray, box: Box, limit: int = 1, rng: np.random.Generator | None = None) -> Search:
    """Search uint8 tokens [M, S] until `limit` solutions of each puzzle are found or there are no more.

    With `rng` a guess takes a random cell among the cells with the fewest candidates, and a random digit.
    """
    return search(candidates(puzzles, box), box, limit, rng)


class TooHard(ValueError):
    """A search took more guesses than it may; `row` is the puzzle that took most of them."""

    def __init__(self, row: int, guesses: int):
        super().__init__(f"puzzle {row} is not solved after {guesses} guesses")
        self.row, self.guesses = row, guesses


def count_solutions(puzzles: np.ndarray, box: Box, limit: int = 2, most_guesses: int | None = None) -> np.ndarray:
    """int [M]: the number of solutions of each puzzle (uint8 tokens [M, S]); `limit` stands for `limit` or more.

    Raises:
        TooHard: when the search takes more than `most_guesses` for all puzzles together.
    """
    return search(candidates(puzzles, box), box, limit, None, most_guesses).counts


def candidates(puzzles: np.ndarray, box: Box) -> np.ndarray:
    """Candidate sets [M, S] of token grids: bit d - 1 stands for the digit d; a blank cell has all bits."""
    bits = np.zeros(box.digits + FIRST_DIGIT, np.uint8 if box.digits <= 8 else np.uint16)
    bits[FIRST_DIGIT:] = 1 << np.arange(box.digits)
    bits[BLANK] = (1 << box.digits) - 1
    return bits[puzzles]


def search(
    masks: np.ndarray, box: Box, limit: int, rng: np.random.Generator | None = None, most_guesses: int | None = None
) -> Search:
    """`solve` for candidate sets [M, S] instead of token grids.

    Depth first: the newest states are continued first and a puzzle is opened when they do not fill a chunk, so that the
    waiting states stay below `CHUNK` times the depth of the deepest search. Chunks shrink with the number of puzzles
    below the limit, or else a search for one solution of few puzzles would follow thousands of branches at once.

    Raises:
        TooHard: after more than `most_guesses` guesses in all.
    """
    total = len(masks)
    counts = np.zeros(total, np.int64)
    guesses = np.zeros(total, np.int64)
    solutions = np.zeros((total, box.cells), np.uint8)
    waiting: list[tuple[np.ndarray, np.ndarray]] = []  # blocks of (states [S, m], puzzle of each state [m])
    opened = spent = 0
    while opened < total or waiting:
        size = min(CHUNK, 64 + 2 * int(np.count_nonzero(counts < limit)))
        states, owner, opened = _next_chunk(waiting, masks, opened, size)
        unfinished = counts[owner] < limit
        if not unfinished.all():
            states, owner = states[:, unfinished], owner[unfinished]
        states = np.ascontiguousarray(states)  # selections of states are transposed in memory: four times as slow
        for _ in range(ROUNDS - 1):
            states, _ = propagate(states, box)
        before = states
        states, dead = propagate(states, box)

        sizes = np.bitwise_count(states)
        largest = sizes.max(axis=0)
        dead |= sizes.min(axis=0) == 0
        changing = (states != before).any(axis=0) & ~dead
        solved = (largest == 1) & ~dead & ~changing
        stuck = (largest > 1) & ~dead & ~changing

        found = owner[solved]
        solutions[found] = np.bitwise_count(states[:, solved] - 1).T + FIRST_DIGIT
        np.add.at(counts, found, 1)
        np.add.at(guesses, owner[stuck], 1)
        spent += int(np.count_nonzero(stuck))
        if most_guesses is not None and spent > most_guesses:
            row = int(guesses.argmax())
            raise TooHard(row, int(guesses[row]))
        split = _split(states[:, stuck], sizes[:, stuck], rng)
        blocks = [(block, owner[stuck]) for block in split] + [(states[:, changing], owner[changing])]
        waiting += [block for block in blocks if len(block[1])]
    return Search(np.minimum(counts, limit), solutions, guesses)


def _next_chunk(
    waiting: list[tuple[np.ndarray, np.ndarray]], masks: np.ndarray, opened: int, size: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Take the `size` newest waiting states, and open puzzles if there are fewer: states [S, m], owner [m], opened."""
    blocks, room = [], size
    while waiting and room:
        states, owner = waiting.pop()
        if len(owner) > room:
            waiting.append((states[:, :-room], owner[:-room]))
            states, owner = states[:, -room:], owner[-room:]
        blocks.append((states, owner))
        room -= len(owner)
    fresh = np.arange(opened, min(opened + room, len(masks)))
    if len(fresh):
        blocks.append((masks[fresh].T, fresh))
    states = np.concatenate([block[0] for block in blocks], axis=1)
    return states, np.concatenate([block[1] for block in blocks]), opened + len(fresh)


def propagate(states: np.ndarray, box: Box) -> tuple[np.ndarray, np.ndarray]:
    """One round for states [S, m]: the new states, and bool [m]: in which a unit has no cell left for a digit."""
    grid = states.reshape(*box.axes, -1)
    digits = states.dtype.type((1 << box.digits) - 1)

    placed = grid * ((grid & (grid - 1)) == 0)
    in_row = np.bitwise_or.reduce(placed, axis=(2, 3), keepdims=True)
    in_column = np.bitwise_or.reduce(placed, axis=(0, 1), keepdims=True)
    in_box = np.bitwise_or.reduce(placed, axis=(1, 3), keepdims=True)
    grid = grid & ~((in_row | in_column | in_box) ^ placed)

    dead = np.zeros(states.shape[1], bool)
    hidden = np.zeros_like(grid)
    for cells, axes in (
        (grid.transpose(2, 3, 0, 1, 4), (2, 3)),
        (grid, (0, 1)),
        (grid.transpose(1, 3, 0, 2, 4), (1, 3)),
    ):
        once = np.zeros(cells.shape[2:], grid.dtype)
        twice = np.zeros_like(once)
        for i in range(cells.shape[0]):
            for j in range(cells.shape[1]):
                twice |= once & cells[i, j]
                once |= cells[i, j]
        dead |= (once != digits).any(axis=(0, 1))
        hidden |= np.expand_dims(once & ~twice, axes)
    hidden &= grid
    grid = grid & (hidden | (hidden == 0) * digits)  # np.where takes twice the time
    return grid.reshape(states.shape), dead


def _split(states: np.ndarray, sizes: np.ndarray, rng: np.random.Generator | None) -> tuple[np.ndarray, np.ndarray]:
    """The two halves of states [S, m]: a cell with the fewest candidates (two or more) is one of them, or it is not."""
    sizes = np.where(sizes == 1, 255, sizes)
    columns = np.arange(states.shape[1])
    if rng is None:
        ranked = (sizes.astype(np.uint16) << 8) | np.arange(len(sizes), dtype=np.uint16)[:, None]
        cell = ranked.min(axis=0) & 0xFF  # argmin over the first axis takes four times the time
        options = states[cell, columns]
        guess = options & -options
    else:
        cell = (sizes + rng.random(sizes.shape, np.float32)).argmin(axis=0)
        options = states[cell, columns]
        bits = (1 << np.arange(8 * states.itemsize)).astype(states.dtype)[:, None]
        ticket = np.where(options & bits, rng.random((len(bits), len(columns)), np.float32), -1)
        guess = bits[ticket.argmax(axis=0), 0]
    without, chosen = states.copy(), states
    without[cell, columns] = options ^ guess
    chosen[cell, columns] = guess
    return without, chosen

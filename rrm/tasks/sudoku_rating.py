"""How hard a Sudoku is: by the guesses of a search, averaged over symmetric copies, and by the rounds of singles.

One count of guesses is noisy, as it depends on which of the equal cells the search splits first: two symmetric copies
of one hard puzzle correlate only 0.2 to 0.3. The mean of log(1 + guesses) over 20 copies is stable, and a mean of
logarithms is not ruled by one unlucky copy. The rating is exp(that mean) - 1, which is in guesses like the ratings of
the public files (but counted by another solver) and in the same order as the mean of logarithms.

Hardly any puzzle of 4 x 4 or 6 x 6 needs a guess. `settling` tells such puzzles apart, and no copy from another.
"""

from collections.abc import Callable, Iterator

import numpy as np

from rrm.tasks.sudoku_box import Box
from rrm.tasks.sudoku_solver import candidates, propagate, solve
from rrm.tasks.sudoku_symmetry import random_symmetries

COPIES = 20
BLOCK = 512  # puzzles whose copies are solved together


def guesses(puzzles: np.ndarray, box: Box) -> np.ndarray:
    """int [M]: splits of the search that finds the solution of each puzzle (tokens [M, S]) and proves it the only one.

    A search to the end visits the same states in any order, so the count depends on the puzzle alone.
    """
    return solve(puzzles, box, limit=2).guesses


def rate(
    puzzles: np.ndarray,
    box: Box,
    rng: np.random.Generator,
    copies: int = COPIES,
    progress: Callable[[int], None] = lambda rows: None,
) -> np.ndarray:
    """float32 [M]: rating of puzzles (tokens [M, S]) with one solution; 0 for puzzles that need no guess.

    `progress` is called with the number of puzzles of every finished block.
    """
    counts = guesses_of_copies(puzzles, box, rng, copies, progress)
    return np.expm1(np.log1p(counts).mean(axis=1)).astype(np.float32)


def guesses_of_copies(
    puzzles: np.ndarray,
    box: Box,
    rng: np.random.Generator,
    copies: int,
    progress: Callable[[int], None] = lambda rows: None,
) -> np.ndarray:
    """int [M, copies]: guesses for random symmetric copies of puzzles (tokens [M, S]); `progress` as for `rate`."""
    counts = np.zeros((len(puzzles), copies), np.int64)
    # rounds of singles solve all copies of a puzzle or none
    guessing = np.flatnonzero(guesses(puzzles, box))
    progress(len(puzzles) - len(guessing))
    for rows in _blocks(guessing):
        repeated = puzzles[rows.repeat(copies)]
        moved = random_symmetries(box, len(repeated), rng).apply(repeated)
        counts[rows] = guesses(moved, box).reshape(len(rows), copies)
        progress(len(rows))
    return counts


def settling(puzzles: np.ndarray, box: Box) -> np.ndarray:
    """float64 [M]: the round of singles in which a cell of a puzzle (tokens [M, S]) gets its digit, on average.

    A round places all naked singles and all hidden ones at once. Givens are placed in round 0. Cells that the rounds
    leave open count as placed in the round after the last one that changed something.
    """
    states = np.ascontiguousarray(candidates(puzzles, box).T)
    total = np.zeros(len(puzzles))  # over the rounds, the cells that were open before each
    rows = np.arange(len(puzzles))
    while len(rows):
        total[rows] += (np.bitwise_count(states) > 1).sum(axis=0)
        before = states
        states, _ = propagate(states, box)
        changed = np.flatnonzero((states != before).any(axis=0))
        rows, states = rows[changed], states.take(changed, axis=1)
    return total / box.cells


def _blocks(rows: np.ndarray) -> Iterator[np.ndarray]:
    return (rows[first : first + BLOCK] for first in range(0, len(rows), BLOCK))

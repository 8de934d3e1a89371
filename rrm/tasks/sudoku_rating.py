"""How hard a Sudoku is: the guesses that the solver needs, averaged over symmetric copies.

One count is noisy, as it depends on which of the equal cells the search splits first: two symmetric copies of one hard
puzzle correlate only 0.2 to 0.3. The mean of log(1 + guesses) over 20 copies is stable, and a mean of logarithms is not
ruled by one unlucky copy. The rating is exp(that mean) - 1, which is in guesses like the ratings of the public files
(but counted by another solver) and in the same order as the mean of logarithms.
"""

from collections.abc import Iterator

import numpy as np

from rrm.tasks.sudoku_box import Box
from rrm.tasks.sudoku_solver import solve
from rrm.tasks.sudoku_symmetry import random_symmetries

COPIES = 20
BLOCK = 512  # puzzles whose copies are solved together


def guesses(puzzles: np.ndarray, box: Box) -> np.ndarray:
    """int [M]: splits of the search that finds the solution of each puzzle (tokens [M, S]) and proves it the only one.

    A search to the end visits the same states in any order, so the count depends on the puzzle alone.
    """
    return solve(puzzles, box, limit=2).guesses


def rate(puzzles: np.ndarray, box: Box, rng: np.random.Generator, copies: int = COPIES) -> np.ndarray:
    """float32 [M]: rating of puzzles (tokens [M, S]) with one solution; 0 for puzzles that need no guess."""
    ratings = np.zeros(len(puzzles), np.float32)
    # rounds of singles solve all copies of a puzzle or none
    for rows in _blocks(np.flatnonzero(guesses(puzzles, box))):
        repeated = puzzles[rows.repeat(copies)]
        counts = guesses(random_symmetries(box, len(repeated), rng).apply(repeated), box)
        ratings[rows] = np.expm1(np.log1p(counts).reshape(len(rows), copies).mean(axis=1))
    return ratings


def _blocks(rows: np.ndarray) -> Iterator[np.ndarray]:
    return (rows[first : first + BLOCK] for first in range(0, len(rows), BLOCK))

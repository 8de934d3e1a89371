"""Random Sudoku puzzles: a random full grid, then cells taken out in random order while one solution remains.

Full grids come from the solver with random guesses on the empty grid, moved by a random symmetry. So the grids of one
symmetry class are equally likely, but the classes are not weighted by their sizes: the two classes of 4 x 4 come out
with 0.25 and 0.75 (uniform: 1/3 and 2/3), the 49 classes of 6 x 6 at a total variation distance of 0.19 from uniform.
"""

import numpy as np

from rrm.tasks.sudoku_box import BLANK, Box
from rrm.tasks.sudoku_solver import candidates, search, solve
from rrm.tasks.sudoku_symmetry import random_symmetries


def random_grids(box: Box, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` full grids, uint8 tokens [count, S]."""
    blank = np.full((count, box.cells), BLANK, np.uint8)
    return random_symmetries(box, count, rng).apply(solve(blank, box, rng=rng).solutions)


def dig(answers: np.ndarray, givens: np.ndarray, box: Box, rng: np.random.Generator) -> np.ndarray:
    """Puzzles [M, S] whose only solutions are `answers` [M, S], with `givens` [M] cells left, or more where minimal."""
    return thin(answers, answers, givens, np.ones(answers.shape, bool), box, rng)


def thin(
    puzzles: np.ndarray, answers: np.ndarray, givens: np.ndarray, tried: np.ndarray, box: Box, rng: np.random.Generator
) -> np.ndarray:
    """The puzzles [M, S] without the givens that `dig` would take out; only cells in `tried` (bool [M, S]) may go.

    One try of every cell, in random order, is enough: a cell that is needed stays needed when others go.
    """
    puzzles = puzzles.copy()
    order = (rng.random(answers.shape) + ~tried).argsort(axis=1)
    trials = tried.sum(axis=1)
    for step in range(trials.max(initial=0)):
        rows = np.flatnonzero(((puzzles != BLANK).sum(axis=1) > givens) & (step < trials))
        if not len(rows):
            break
        cells = order[rows, step]
        free = unneeded(puzzles[rows], answers[rows], cells, box)
        puzzles[rows[free], cells[free]] = BLANK
    return puzzles


def unneeded(puzzles: np.ndarray, answers: np.ndarray, cells: np.ndarray, box: Box) -> np.ndarray:
    """bool [M]: whether answers[m] stays the only solution of puzzles[m] when the given cell cells[m] is taken out."""
    every = np.arange(len(puzzles))
    trial = puzzles.copy()
    trial[every, cells] = BLANK
    # the only solution had this cell's digit, so a second one must have another digit there
    masks = candidates(trial, box)
    masks[every, cells] ^= candidates(answers[every, cells], box)
    return search(masks, box, limit=1).counts == 0

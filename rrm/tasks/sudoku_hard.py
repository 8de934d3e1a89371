"""Rated puzzles of every difficulty by vicinity search: a small change of a hard puzzle is often hard, too.

A step drops a given of a minimal puzzle, takes a random other solution of the rest as the answer, adds givens until the
answer is the only solution, and takes out the givens that are not needed. While hard puzzles are too few, steps start
from the hardest ones.
"""

from collections.abc import Callable

import numpy as np

from rrm.errors import InputError
from rrm.tasks.base import PuzzleSet
from rrm.tasks.sudoku_box import BLANK, Box
from rrm.tasks.sudoku_generator import dig, random_grids, thin, unneeded
from rrm.tasks.sudoku_rating import rate
from rrm.tasks.sudoku_solver import candidates, search, solve
from rrm.tasks.sudoku_symmetry import invariant

BOX = Box(3, 3)
STARTS = 2000  # random minimal puzzles that the search begins with
HARDEST = 200  # puzzles that a step starts from when hard ones are too few; fewer are harder, but close relatives
BATCH = 4000  # puzzles of a step


def rated_puzzles(
    count: int, seed: int, least: float, share: float, report: Callable[[int], None] = lambda done: None
) -> PuzzleSet:
    """`count` minimal 9 x 9 puzzles with ratings, no two equal up to symmetry; the same for the same seed.

    The first `STARTS` puzzles are random, the hard ones come late.

    Args:
        count: Number of puzzles.
        seed: Seed of the search.
        least: Rating from which a puzzle is hard, in guesses (`rrm.tasks.sudoku_rating`).
        share: Share of hard puzzles, 0 to 1. While fewer are hard, steps start from the hardest puzzles so far,
            otherwise from all; small counts can end with fewer.
        report: Called after every step with the number of puzzles so far.

    Raises:
        InputError: on a share out of range.
    """
    if not 0 <= share <= 1:
        raise InputError(f"share {share} of hard puzzles; give a number from 0 to 1")
    rng = np.random.Generator(np.random.Philox(seed))
    answers = random_grids(BOX, min(count, STARTS), rng)
    inputs = dig(answers, np.zeros(len(answers)), BOX, rng)
    ratings = rate(inputs, BOX, rng)
    marks = invariant(inputs, answers, BOX)
    while len(inputs) < count:
        report(len(inputs))
        pool = np.arange(len(inputs))
        if (ratings >= least).mean() < share:
            pool = ratings.argsort(kind="stable")[-HARDEST:]
        size = min(BATCH, count - len(inputs))
        new, new_answers = vicinity(inputs[rng.choice(pool, size)], BOX, rng)
        new_marks, first = np.unique(invariant(new, new_answers, BOX), return_index=True)
        fresh = np.sort(first[~np.isin(new_marks, marks)])
        new, new_answers = new[fresh], new_answers[fresh]
        inputs, answers = np.concatenate([inputs, new]), np.concatenate([answers, new_answers])
        ratings = np.concatenate([ratings, rate(new, BOX, rng)])
        marks = np.concatenate([marks, new_marks])
    report(count)
    return PuzzleSet.of("sudoku-9x9", inputs, answers, ratings, "vicinity")


def vicinity(puzzles: np.ndarray, box: Box, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Minimal puzzles and their answers [M, S], each one step away from a minimal puzzle (tokens [M, S])."""
    every = np.arange(len(puzzles))
    dropped = ((puzzles != BLANK) * rng.random(puzzles.shape)).argmax(axis=1)
    rest = puzzles.copy()
    rest[every, dropped] = BLANK
    masks = candidates(rest, box)
    masks[every, dropped] ^= candidates(puzzles, box)[every, dropped]  # minimal: another digit has a solution here
    answers = search(masks, box, 1, rng).solutions
    return minimal(constrained(rest, answers, box, rng), answers, box, rng), answers


def constrained(puzzles: np.ndarray, answers: np.ndarray, box: Box, rng: np.random.Generator) -> np.ndarray:
    """The puzzles with givens added, each to rule out another solution, until `answers` are the only ones."""
    puzzles = puzzles.copy()
    left = np.arange(len(puzzles))
    while len(left):
        found = solve(puzzles[left], box, 2, rng)
        left, others = left[found.counts > 1], found.solutions[found.counts > 1]
        differs = others != answers[left]
        cells = (differs * rng.random(differs.shape)).argmax(axis=1)
        other = differs.any(axis=1)  # the solution that comes back can be the answer itself
        puzzles[left[other], cells[other]] = answers[left[other], cells[other]]
    return puzzles


def minimal(puzzles: np.ndarray, answers: np.ndarray, box: Box, rng: np.random.Generator) -> np.ndarray:
    """The puzzles with givens taken out until each is needed.

    Most givens are needed from the start and stay so; to test all at once fills the chunks of the solver.
    """
    rows, cells = np.nonzero(puzzles != BLANK)
    tried = np.zeros(puzzles.shape, bool)
    tried[rows, cells] = unneeded(puzzles[rows], answers[rows], cells, box)
    return thin(puzzles, answers, np.zeros(len(puzzles)), tried, box, rng)

import numpy as np
import pytest

from rrm.tasks.sudoku_box import BLANK, FIRST_DIGIT, Box
from rrm.tasks.sudoku_generator import random_grids
from rrm.tasks.sudoku_solver import count_solutions, solve

BOXES = [Box(2, 2), Box(2, 3), Box(3, 3)]


def rng():
    return np.random.Generator(np.random.Philox(7))


def valid(grids, box):
    """bool [M]: whether every unit of full token grids holds every digit."""
    return (np.sort(grids[:, box.units], axis=-1) == np.arange(FIRST_DIGIT, box.digits + FIRST_DIGIT)).all(axis=(1, 2))


def all_4x4_grids():
    """The full 4 x 4 grids by exhaustion over rows."""
    rows = [row for row in np.ndindex(4, 4, 4, 4) if len(set(row)) == 4]
    grids = np.array([[a + b + c + d for c in rows for d in rows] for a in rows for b in rows]).reshape(-1, 16)
    grids = (grids + FIRST_DIGIT).astype(np.uint8)
    return grids[valid(grids, Box(2, 2))]


def test_counts_on_4x4_agree_with_exhaustion():
    grids = all_4x4_grids()
    assert len(grids) == 288
    generator = rng()
    givens = generator.random((400, 16)) < generator.uniform(0.1, 0.6, (400, 1))
    puzzles = np.where(givens, grids[generator.integers(288, size=400)], BLANK).astype(np.uint8)
    puzzles[::4, 3] = generator.integers(BLANK, 6, 100)  # some without a solution
    expected = [((grids == puzzle) | (puzzle == BLANK)).all(axis=1).sum() for puzzle in puzzles]
    assert (count_solutions(puzzles, Box(2, 2), limit=1000) == expected).all()
    assert min(expected) == 0 and max(expected) > 2
    assert (count_solutions(puzzles, Box(2, 2)) == np.minimum(expected, 2)).all()


def test_the_empty_4x4_grid_has_all_grids_as_solutions():
    assert count_solutions(np.full((1, 16), BLANK, np.uint8), Box(2, 2), limit=1000) == 288


@pytest.mark.parametrize("box", BOXES, ids=str)
def test_solutions_are_valid_and_keep_the_givens(box):
    generator = rng()
    grids = random_grids(box, 10, generator)
    puzzles = np.where(generator.random(grids.shape) < 0.3, grids, BLANK).astype(np.uint8)
    found = solve(puzzles, box)
    assert valid(found.solutions, box).all() and (found.counts == 1).all()
    assert ((puzzles == BLANK) | (puzzles == found.solutions)).all()


def test_a_cell_without_candidates_ends_the_search():
    # the last cell of the first row sees 1 to 4 in its row, 5 to 8 in its column, 9 in its box: no unit is short of a
    # place for a digit, only the cell has none
    puzzle = np.full((9, 9), BLANK, np.uint8)
    puzzle[0, :4] = [2, 3, 4, 5]
    puzzle[3:7, 8] = [6, 7, 8, 9]
    puzzle[1, 7] = 10
    found = solve(puzzle.reshape(1, 81), Box(3, 3))
    assert found.counts == 0 and not found.solutions.any()


def test_the_search_does_not_depend_on_the_chunk(monkeypatch):
    generator = rng()
    box = Box(3, 3)
    grids = random_grids(box, 20, generator)
    puzzles = np.where(generator.random(grids.shape) < 0.3, grids, BLANK).astype(np.uint8)
    expected = count_solutions(puzzles, box, limit=9)
    monkeypatch.setattr("rrm.tasks.sudoku_solver.CHUNK", 32)
    assert (count_solutions(puzzles, box, limit=9) == expected).all()

from itertools import permutations, product

import numpy as np
import pytest

from rrm.tasks import get_task
from rrm.tasks.sudoku_box import BLANK, FIRST_DIGIT, Box
from rrm.tasks.sudoku_symmetry import equivalence_classes, invariant, random_symmetries

LINES = [[a, b, c, d] for (a, b), (c, d) in product([(0, 1), (1, 0)], [(2, 3), (3, 2)])]
LINES += [line[2:] + line[:2] for line in LINES]


def orbit(puzzle):
    """All symmetric copies of a 4 x 4 puzzle, written down from the definition of the group."""
    grid = puzzle.reshape(4, 4)
    for turned in (grid, grid.T):
        for rows, columns in product(LINES, LINES):
            moved = turned[rows][:, columns]
            for digits in permutations(range(FIRST_DIGIT, 6)):
                yield np.array([0, BLANK, *digits], np.uint8)[moved].tobytes()


def test_classes_of_4x4_puzzles_are_the_orbits_of_the_group():
    task = get_task("sudoku-4x4")
    puzzles = task.generate(12, seed=1, givens=(5, 6))
    copies = task.augment(puzzles.inputs, puzzles.labels, np.random.default_rng(0))
    inputs = np.concatenate([puzzles.inputs, copies[0]])
    orbits = [set(orbit(puzzle)) for puzzle in inputs]
    expected = np.array([[puzzle.tobytes() in copies for puzzle in inputs] for copies in orbits])
    assert expected[:12, :12].sum() == 12, "the generator gives one puzzle of each class"
    labels = np.concatenate([puzzles.labels, copies[1]])
    keys = task.symmetry_key(inputs, labels)
    assert ((keys[:, None] == keys).all(axis=2) == expected).all()
    classes = equivalence_classes(inputs, labels, Box(2, 2))
    assert ((classes[:, None] == classes) == expected).all()
    assert all(key.tobytes() in copies for key, copies in zip(keys, orbits, strict=True))


@pytest.mark.parametrize("box", [Box(2, 3), Box(3, 3), Box(4, 4)], ids=str)
def test_symmetry_key_and_invariant_survive_random_symmetries(box):
    task = get_task(f"sudoku-{box.digits}x{box.digits}")
    puzzles = task.generate(6, seed=3)
    symmetries = random_symmetries(box, len(puzzles), np.random.default_rng(1))
    inputs, labels = symmetries.apply(puzzles.inputs), symmetries.apply(puzzles.labels)
    assert not (inputs == puzzles.inputs).all(axis=1).any()
    keys = task.symmetry_key(puzzles.inputs, puzzles.labels)
    assert (task.symmetry_key(inputs, labels) == keys).all()
    assert len(np.unique(keys, axis=0)) == len(puzzles)
    marks = invariant(puzzles.inputs, puzzles.labels, box)
    assert (invariant(inputs, labels, box) == marks).all() and len(np.unique(marks)) == len(puzzles)


def test_ties_between_automorphisms_are_broken_by_the_givens():
    # cell 0 of this grid goes to every other cell on the diagonal by a symmetry that keeps the answer
    task = get_task("sudoku-4x4")
    answer = task.encode("1234341221434321")
    givens = np.eye(16, dtype=bool)[[0, 5, 10, 15]]
    inputs = np.where(givens, answer, BLANK).astype(np.uint8)
    assert len(np.unique(task.symmetry_key(inputs, np.tile(answer, (4, 1))), axis=0)) == 1

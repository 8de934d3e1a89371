import numpy as np
import pytest

from rrm.errors import InputError
from rrm.tasks import get_task, sudoku_hard
from rrm.tasks.sudoku_box import BLANK, Box
from rrm.tasks.sudoku_hard import rated_puzzles, vicinity
from rrm.tasks.sudoku_rating import guesses, rate
from rrm.tasks.sudoku_solver import count_solutions
from rrm.tasks.sudoku_symmetry import random_symmetries

BOX = Box(3, 3)


@pytest.fixture(scope="module")
def minimal():
    return get_task("sudoku-9x9").generate(40, seed=4, givens=17)


def needed(puzzles):
    """bool: whether every given of every puzzle is needed for a single solution."""
    rows, cells = np.nonzero(puzzles != BLANK)
    trial = puzzles[rows]
    trial[np.arange(len(rows)), cells] = BLANK
    return (count_solutions(trial, BOX) > 1).all()


def test_ratings_are_stable_over_copies_where_one_count_is_not(minimal):
    hard = minimal.inputs[guesses(minimal.inputs, BOX) > 0]
    rng = np.random.default_rng(0)
    copies = random_symmetries(BOX, len(hard), rng).apply(hard)
    together = np.log1p([rate(puzzles, BOX, rng) for puzzles in (hard, copies)])
    single = np.log1p([guesses(puzzles, BOX) for puzzles in (hard, copies)])
    assert len(hard) > 15 and np.corrcoef(together)[0, 1] > 0.9 > np.corrcoef(single)[0, 1]


def test_a_count_depends_on_nothing_but_the_puzzle(minimal):
    alone = [guesses(puzzle[None], BOX)[0] for puzzle in minimal.inputs[:10]]
    assert guesses(minimal.inputs, BOX)[:10].tolist() == alone


def test_puzzles_without_guesses_have_rating_zero():
    easy = get_task("sudoku-9x9").generate(10, seed=0, givens=40).inputs
    assert not rate(easy, BOX, np.random.default_rng(0)).any()


def test_a_step_leads_to_another_minimal_puzzle_with_one_solution(minimal):
    starts = minimal.subset(slice(12))
    inputs, labels = vicinity(starts.inputs, BOX, np.random.default_rng(0))
    found = count_solutions(inputs, BOX)
    assert (found == 1).all() and ((inputs == BLANK) | (inputs == labels)).all()
    assert (labels != starts.labels).any(axis=1).all() and needed(inputs)
    shared = ((inputs != BLANK) & (inputs == starts.inputs)).sum(axis=1)
    assert shared.mean() > 15


def test_rated_puzzles_differ_and_are_hard_more_often(monkeypatch):
    for name, value in (("STARTS", 40), ("BATCH", 30), ("HARDEST", 2)):
        monkeypatch.setattr(sudoku_hard, name, value)
    puzzles = rated_puzzles(70, seed=3, least=20.0, share=0.01)
    task = get_task(puzzles.task)
    task.check(puzzles, str)
    assert len(np.unique(task.equivalence_classes(puzzles.inputs, puzzles.labels))) == 70
    assert puzzles.rating[40:].mean() > 1.3 * puzzles.rating[:40].mean()
    few = [rated_puzzles(4, seed, least=20.0, share=0.01).content_hash() for seed in (1, 1, 2)]
    assert few[0] == few[1] != few[2]
    with pytest.raises(InputError, match="share 5"):
        rated_puzzles(100, seed=1, least=20.0, share=5)

import numpy as np
import pytest

from rrm.errors import InputError
from rrm.tasks import PuzzleSet, get_task

TASK = get_task("sudoku-4x4")
ANSWER = "1234341221434321"
PUZZLE = "1234341221......"


def test_score_counts_missing_digits_and_changed_givens():
    predictions = np.stack([TASK.encode(text) for text in (ANSWER, "2" + ANSWER[1:], ANSWER[:14] + "12")])
    inputs, labels = np.tile(TASK.encode(PUZZLE), (3, 1)), np.tile(TASK.encode(ANSWER), (3, 1))
    score = TASK.score(inputs, labels, predictions.astype(np.int64))
    assert score["exact"].tolist() == [True, False, False]
    assert score["cells"].tolist() == [1, 15 / 16, 14 / 16]
    # a 2 for the 1 in the corner: no 1 in a row, a column and a box; a swap in a row: a digit missing in two columns
    assert score["violations"].tolist() == [0, 3, 2]
    assert score["changed_givens"].tolist() == [0, 1, 0]


def test_another_solution_has_no_violations():
    puzzle, answer, other = (TASK.encode(text)[None] for text in ("12343412........", ANSWER, "1234341243212143"))
    score = TASK.score(puzzle, answer, other)
    assert not score["exact"] and score["violations"] == 0 and score["changed_givens"] == 0


@pytest.mark.parametrize(
    ("puzzle", "answer", "message"),
    [
        ("11..............", ANSWER, "row 0: the puzzle gives a digit twice"),
        ("12..3.........4.", ANSWER, "row 0: the answer disagrees with a given"),
        (PUZZLE, ANSWER[:14] + "12", "row 0: the answer breaks"),
        (PUZZLE, PUZZLE, "row 0: a cell of the answer is not a digit"),
        ("123...4.........", ANSWER, "row 0: the puzzle has no solution"),
        ("1234341.........", ANSWER, "row 0: the puzzle has two or more solutions"),
    ],
)
def test_check_names_the_row_and_the_rule(puzzle, answer, message):
    puzzles = PuzzleSet.of(TASK.name, [TASK.encode(puzzle)], [TASK.encode(answer)])
    with pytest.raises(InputError, match=message):
        TASK.check(puzzles, lambda i: f"row {i}")


def test_givens_are_respected():
    puzzles = get_task("sudoku-6x6").generate(50, seed=0, givens=(14, 16))
    assert set((puzzles.inputs > 1).sum(axis=1)) == {14, 15, 16}
    with pytest.raises(InputError, match="givens 40"):
        get_task("sudoku-6x6").generate(1, seed=0, givens=40)


def test_more_puzzles_than_the_family_holds_are_refused():
    with pytest.raises(InputError, match="only 36 are found"):
        TASK.generate(100, seed=0, givens=4)

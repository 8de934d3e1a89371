import numpy as np
import pytest

from rrm.errors import InputError
from rrm.tasks import get_task
from rrm.tasks.puzzle_csv import count_rows, read_puzzles, write_puzzles

HEADER = "source,question,answer,rating"
ANSWER = "1234341221434321"
PUZZLE = "1234341221......"
GOOD = f"book,{PUZZLE},{ANSWER},3"


def write(path, *lines):
    path.write_text("".join(line + "\n" for line in lines))
    return path


def test_written_puzzles_read_back(tmp_path):
    puzzles = get_task("sudoku-6x6").generate(5, seed=0)
    puzzles.rating[:3] = 0, 2.5, 1234567
    write_puzzles(tmp_path / "puzzles.csv", puzzles)
    assert count_rows(tmp_path / "puzzles.csv") == 5
    assert read_puzzles(tmp_path / "puzzles.csv").content_hash() == puzzles.content_hash()
    some = read_puzzles(tmp_path / "puzzles.csv", np.array([4, 0, 2]))
    assert some.content_hash() == puzzles.subset([4, 0, 2]).content_hash()


def test_columns_in_any_order_and_an_empty_rating(tmp_path):
    path = write(tmp_path / "a.csv", "rating,answer,question,source", f",{ANSWER},{PUZZLE.replace('.', '0')},book")
    puzzles = read_puzzles(path)
    assert np.isnan(puzzles.rating[0]) and puzzles.source[0] == "book"
    assert (puzzles.inputs[0] == get_task("sudoku-4x4").encode(PUZZLE)).all()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "line 1: no header"),
        ([GOOD], "line 1: no header"),
        ([HEADER + ",more", GOOD + ",1"], "line 1: no header"),
        ([HEADER], "no puzzle to read"),
        ([HEADER, GOOD, f"book,{PUZZLE},{ANSWER}"], "line 3: short row, it has 3 of 4 fields"),
        ([HEADER, GOOD + ",1"], "line 2: long row, it has 5 of 4 fields"),
        ([HEADER, f"book,{PUZZLE}.,{ANSWER},3"], r"line 2: wrong length of question, 17 .*16 \(sudoku-4x4\)"),
        ([HEADER, GOOD, f"book,{PUZZLE[1:]},{ANSWER},3"], "line 3: question: 15 characters"),
        ([HEADER, GOOD, GOOD.replace("..,", ".x,")], "line 3: question: unknown character 'x' in cell 16"),
        ([HEADER, GOOD.replace("21,3", "25,3")], "line 2: answer: unknown character '5' in cell 16"),
        ([HEADER, GOOD, GOOD.replace("21,3", "12,3")], "line 3: the answer breaks"),
        ([HEADER, GOOD, GOOD.replace("1221..", "12....")], "line 3: the puzzle has two or more solutions"),
        ([HEADER, GOOD.replace(",3", ",hard")], "line 2: rating 'hard' is no number"),
    ],
)
def test_errors_name_the_file_and_the_line(tmp_path, lines, message):
    with pytest.raises(InputError, match=f"bad.csv.*{message}") as error:
        read_puzzles(write(tmp_path / "bad.csv", *lines))
    assert "\n" not in str(error.value)


def test_unreadable_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="none.csv: no such file"):
        read_puzzles(tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="binary.csv: not readable"):
        read_puzzles(tmp_path / "binary.csv")

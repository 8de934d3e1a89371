import numpy as np
import pytest

from rrm.errors import InputError
from rrm.tasks import get_task
from rrm.tasks.puzzle_csv import count_rows, distinct_rows, read_puzzles, write_puzzles

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


ROWS = [GOOD, "kaggle,.234341221434321,1234341221434321,"]


@pytest.mark.parametrize(
    "content",
    [
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\r\r\n").encode(),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: text.replace("\n", "\n\n").encode() + b"\n \n",
        lambda text: b"\n,,,\n" + text.encode() + b",,,\n",
        lambda text: text.rstrip("\n").encode(),
        lambda text: text.replace(",", " , ").encode(),
        lambda text: b"\xef\xbb\xbf" + text.replace(",", ";").encode(),
        lambda text: b"\n" + text.replace(",", "\t").encode(),
        lambda text: text.replace(",", '" , "').replace("\n", '"\n"').join(('"', "")).rstrip('"').encode(),
        lambda text: text.replace("source,question", "Source,QUESTION").encode(),
    ],
)
def test_files_as_spreadsheets_and_other_systems_leave_them(tmp_path, content):
    expected = read_puzzles(write(tmp_path / "plain.csv", HEADER, *ROWS))
    path = tmp_path / "a.csv"
    path.write_bytes(content("\n".join((HEADER, *ROWS, ""))))
    assert read_puzzles(path).content_hash() == expected.content_hash() and count_rows(path) == 2


def test_the_spaces_of_a_maze_stay(tmp_path):
    puzzles = get_task("maze-6x6").generate(20, seed=0)
    write_puzzles(tmp_path / "mazes.csv", puzzles)
    assert {text[0] for text in map(get_task("maze-6x6").decode, puzzles.inputs)} > {" "}
    assert read_puzzles(tmp_path / "mazes.csv").content_hash() == puzzles.content_hash()


def test_damaged_rows_are_named_below_blank_lines(tmp_path):
    for row, message in (
        (f"book,{PUZZLE[:8]}\0{PUZZLE[9:]},{ANSWER},3", r"line 5: question: unknown character '\\x00' in cell 9"),
        ("\0\0\0", "line 5: short row, it has 1 of 4 fields"),
        (f"book,{PUZZLE[:9]}", "line 5: short row, it has 2 of 4 fields"),
    ):
        with pytest.raises(InputError, match=message):
            read_puzzles(write(tmp_path / "bad.csv", HEADER, "", GOOD, "", row))


def test_rows_that_repeat_a_puzzle(tmp_path):
    path = write(tmp_path / "a.csv", HEADER, *ROWS, GOOD.replace(".", "0").replace("book", "web"), ROWS[1])
    rows, count = distinct_rows(path)
    assert rows.tolist() == [0, 1] and count == 4

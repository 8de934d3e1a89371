"""`python -m rrm puzzles`: a set made, kept, written and read again, and bad input before any work."""

import numpy as np
import pytest

from rrm.__main__ import main
from rrm.tasks import get_task, rated_sets
from rrm.tasks.puzzle_csv import read_puzzles, write_puzzles


def run(capsys, storage, *arguments):
    assert main(["puzzles", "--storage", str(storage), *map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_a_set_is_made_kept_and_rated_again(capsys, tmp_path, monkeypatch):
    made = ("--task", "sudoku-6x6", "--givens", 10, 16, "--count", 90, "--out")
    first = run(capsys, tmp_path, *made, tmp_path / "a.csv")
    assert "90 rated puzzles" in first and "tier  puzzles  rating from" in first and "#" * 40 in first
    monkeypatch.setattr(rated_sets, "rated", None)  # a second command rates nothing
    assert run(capsys, tmp_path, *made, tmp_path / "b.csv").replace("b.csv", "a.csv") == first
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    monkeypatch.undo()
    (kept,) = (tmp_path / "puzzles").glob("rated-*.npz")
    kept.write_bytes(kept.read_bytes()[:100])  # a damaged one is made again
    assert run(capsys, tmp_path, *made, tmp_path / "a.csv") == first
    again = run(capsys, tmp_path, "--data", tmp_path / "a.csv", "--out", tmp_path / "c.npz")
    assert again.splitlines()[:17] == first.splitlines()[:17] and "correlate by 1.000 with these" in again
    assert not np.isnan(read_puzzles(tmp_path / "a.csv").rating).any()
    assert "shortest path" in run(capsys, tmp_path, "--task", "maze-8x8", "--count", 30)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((), "one of the arguments --task --data is required"),
        (("--task", "sudoku-5x5"), "task 'sudoku-5x5' is unknown"),
        (("--task", "sudoku-4x4", "--count", 0), "--count 0"),
        (("--task", "sudoku-4x4", "--tiers", 0), "--tiers 0"),
        (("--task", "sudoku-4x4", "--givens", 1, 2, 3), "--givens 1 2 3"),
        (("--task", "sudoku-4x4", "--givens", 9, 4), "givens (9, 4)"),
        (("--task", "sudoku-4x4", "--hard", 0.5), "vicinity search is for sudoku-9x9"),
        (("--task", "sudoku-9x9", "--hard", 2), "--hard 2"),
        (("--task", "sudoku-4x4", "--out", "puzzles.txt"), "--out puzzles.txt"),
        (("--task", "maze-8x8", "--count", 2), "3 tiers for 2 puzzles"),
        (("--data", "nowhere.csv"), "--data nowhere.csv"),
        (("--data", "{one}", "--givens", 4), "--givens is of new puzzles"),
        (("--data", "{one}"), "3 tiers for 1 puzzles"),
    ],
)
def test_bad_input_is_one_line(capsys, tmp_path, arguments, message):
    one = tmp_path / "one.csv"
    write_puzzles(one, get_task("sudoku-4x4").generate(1, 0))
    with pytest.raises(SystemExit) as ended:
        main(["puzzles", "--storage", str(tmp_path), *(str(each).format(one=one) for each in arguments)])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and message in line

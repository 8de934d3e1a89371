import json

import numpy as np
import pytest

from rrm.errors import InputError
from rrm.tasks import PuzzleSet, get_task, splits
from rrm.tasks.puzzle_csv import read_puzzles, write_puzzles
from rrm.tasks.splits import generate_splits, read_splits

TASK = get_task("sudoku-6x6")


def assert_disjoint(result):
    parts = (result.train, result.validation, result.test)
    together = PuzzleSet.concatenate(list(parts))
    classes = get_task(together.task).equivalence_classes(together.inputs, together.labels)
    train, validation, test = np.split(classes, np.cumsum([len(part) for part in parts])[:2])
    assert not set(train) & set(validation) and not set(train) & set(test) and not set(validation) & set(test)


@pytest.fixture
def folder(tmp_path):
    """train.csv with 20 puzzles and copies of the 10 of test.csv."""
    puzzles = TASK.generate(30, seed=0)
    test = puzzles.subset(slice(20, None))
    copies = PuzzleSet.of(TASK.name, *TASK.augment(test.inputs, test.labels, np.random.default_rng(0)))
    write_puzzles(tmp_path / "train.csv", PuzzleSet.concatenate([copies, puzzles.subset(slice(0, 20))]))
    write_puzzles(tmp_path / "test.csv", test)
    return tmp_path


def test_generated_splits_have_their_sizes_and_do_not_overlap(tmp_path):
    result = generate_splits("sudoku-4x4", (200, 20, 30), 0, None, tmp_path)
    assert [len(result.train), len(result.validation), len(result.test)] == [200, 20, 30]
    assert_disjoint(result)


def test_copies_of_test_puzzles_are_passed_over(folder):
    result = read_splits(folder, (15, 5, 10), 0, folder / "cache")
    assert [len(result.train), len(result.validation), len(result.test)] == [15, 5, 10]
    assert_disjoint(result)
    with pytest.raises(InputError, match="train.csv: 16 rows are left .* 17 are asked for"):
        read_splits(folder, (17, 4, 10), 0, folder / "cache")


def test_one_file_is_cut_in_three(folder):
    result = read_splits(folder / "train.csv", (10, 10, 10), 0, folder / "cache")
    assert_disjoint(result)
    assert read_splits(folder / "train.csv", (10, 10, 10), 1, folder / "cache").content_hash() != result.content_hash()
    smaller = read_splits(folder / "train.csv", (30, 15, 15), 0, folder / "cache")  # a file of 30 rows is shared out
    assert [len(smaller.train), len(smaller.validation), len(smaller.test)] == [15, 7, 7]


def test_a_missing_path_is_named(folder):
    with pytest.raises(InputError, match="nowhere: no such file or folder"):
        read_splits(folder / "nowhere", (1, 1, 1), 0, folder / "cache")
    (folder / "test.csv").unlink()
    with pytest.raises(InputError, match="test.csv: no such file"):
        read_splits(folder, (1, 1, 1), 0, folder / "cache")


def test_the_cache_is_used_until_settings_or_files_change(folder, monkeypatch):
    result = read_splits(folder, (5, 5, 5), 0, folder / "cache")
    monkeypatch.setattr(splits, "_draw_splits", None)
    assert read_splits(folder, (5, 5, 5), 0, folder / "cache").content_hash() == result.content_hash()
    with pytest.raises(TypeError):
        read_splits(folder, (5, 5, 4), 0, folder / "cache")
    with open(folder / "test.csv", "a") as file:
        file.write("\n")
    with pytest.raises(TypeError):
        read_splits(folder, (5, 5, 5), 0, folder / "cache")


def test_a_damaged_cache_entry_is_made_again(tmp_path):
    def make():
        return generate_splits("sudoku-6x6", (8, 4, 4), 0, 14, tmp_path)

    def damage_bytes(name):
        path = next(tmp_path.glob(name))
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)

    expected = make().content_hash()
    record = json.loads(next(tmp_path.glob("*.json")).read_text())
    assert record["content_hash"] == expected and record["settings"]["givens"] == 14
    for damage in (
        lambda: damage_bytes("*-train.npz"),
        lambda: next(tmp_path.glob("*-test.npz")).unlink(),
        lambda: next(tmp_path.glob("*.json")).write_text("{"),
        lambda: make().test.save(next(tmp_path.glob("*-validation.npz"))),
    ):
        damage()
        assert make().content_hash() == expected
        assert len(list(tmp_path.iterdir())) == 4


def test_real_puzzles(request, tmp_path):
    path = request.config.rootpath.parent / "shared/data/sudoku-real"
    if not path.is_dir():
        pytest.skip(f"no real puzzles at {path}")
    result = read_splits(path, (100, 25, 25), 0, tmp_path)
    assert_disjoint(result)
    assert result.train.task == "sudoku-9x9" and not np.isnan(result.train.rating).any()
    lines = (path / "test.csv").read_text().splitlines()
    chosen = read_puzzles(path / "test.csv", np.array([7, 3])).inputs
    assert [get_task("sudoku-9x9").decode(row) for row in chosen] == [lines[row + 1].split(",")[1] for row in (7, 3)]


def test_every_split_has_distinct_puzzles_and_the_rest_is_counted(folder):
    puzzles = read_puzzles(folder / "train.csv")
    write_puzzles(folder / "three.csv", PuzzleSet.concatenate([puzzles.subset(slice(0, 24))] * 3))
    for _ in range(2):  # made, then read from the cache
        result = read_splits(folder / "three.csv", (12, 4, 8), 0, folder / "cache")
        assert result.repeated == 48
        for part in (result.train, result.validation, result.test):
            assert len(part.distinct()) == len(part)
        assert [len(result.train), len(result.validation), len(result.test)] == [12, 4, 8]
    write_puzzles(folder / "same.csv", puzzles.subset([0] * 30))
    with pytest.raises(InputError, match="same.csv: 1 distinct puzzles for 3 splits"):
        read_splits(folder / "same.csv", (10, 10, 10), 0, folder / "cache")


@pytest.mark.parametrize("sizes", [(500, 50, 100), (100, 1, 1), (7, 3, 90)])
def test_puzzles_needed_is_the_least_number(folder, sizes):
    needed = splits.puzzles_needed("one.csv", sizes, 7)
    for available, enough in ((needed, True), (needed - 1, False)):
        assert (splits._fit("one.csv", sizes, available)[0] >= 7) is enough
    assert splits.puzzles_needed(folder, sizes, 7) <= needed

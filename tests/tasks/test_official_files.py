import json

import numpy as np
import pytest

from rrm.errors import InputError
from rrm.tasks import PuzzleSet, get_task
from rrm.tasks.build import main
from rrm.tasks.build_official import build_official
from rrm.tasks.official_files import OfficialDataset, OfficialPart
from rrm.tasks.puzzle_csv import write_puzzles
from rrm.tasks.splits import read_splits

TASK = get_task("sudoku-4x4")
HRM = {
    "pad_id": 0,
    "ignore_label_id": 0,
    "blank_identifier_id": 0,
    "vocab_size": 6,
    "seq_len": 16,
    "num_puzzle_identifiers": 1,
    "total_groups": 4,
    "mean_puzzle_examples": 1.0,
    "sets": ["all"],
}
TRM = {**HRM, "total_puzzles": 4}


def files(folder):
    """The bytes of every file below a folder by relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def official_folder(root, metadata):
    """A data set as the public builders write it: 4 groups of an original and 2 copies, int64 tokens in train."""
    for name, kind, copies in (("train", np.int64, 2), ("test", np.uint8, 0)):
        puzzles = TASK.generate(4, seed=len(name))
        moved = [TASK.augment(puzzles.inputs, puzzles.labels, np.random.default_rng(i)) for i in range(copies)]
        pairs = [(puzzles.inputs, puzzles.labels), *moved]
        grids = [np.stack([pair[i] for pair in pairs], axis=1).reshape(-1, 16).astype(kind) for i in (0, 1)]
        count = len(grids[0])
        arrays = {
            "inputs": grids[0],
            "labels": grids[1],
            "puzzle_identifiers": np.zeros(count, np.int32),
            "puzzle_indices": np.arange(count + 1, dtype=np.int32),
            "group_indices": np.arange(0, count + 1, 1 + copies, dtype=np.int32),
        }
        (root / name).mkdir(parents=True)
        (root / name / "dataset.json").write_text(json.dumps(metadata))
        for key, array in arrays.items():
            np.save(root / name / f"all__{key}.npy", array)
    (root / "identifiers.json").write_text('["<blank>"]')
    return root


@pytest.mark.parametrize("metadata", [HRM, TRM], ids=["HRM", "TRM"])
def test_a_round_trip_gives_the_same_bytes(tmp_path, metadata):
    root = official_folder(tmp_path / "official", metadata)
    dataset = OfficialDataset.read(root)
    dataset.write(tmp_path / "again")
    assert files(tmp_path / "again") == files(root) and len(files(root)) == 13
    assert isinstance(dataset.parts["train"].inputs, np.memmap)
    with pytest.raises(InputError, match="give the path of a new folder"):
        dataset.write(root)


def test_original_puzzles_come_back_as_a_set(tmp_path):
    part = OfficialDataset.read(official_folder(tmp_path, TRM)).parts["train"]
    assert part.originals.tolist() == [0, 3, 6, 9]
    puzzles = part.puzzles(part.originals[[2, 0]])
    expected = TASK.generate(4, seed=5).subset([2, 0])
    assert (puzzles.inputs == expected.inputs).all() and (puzzles.labels == expected.labels).all()
    result = read_splits(tmp_path, (2, 1, 3), 0, tmp_path / "cache")
    assert [len(result.train), len(result.validation), len(result.test)] == [2, 1, 3]


def change_array(name, change):
    def damage(folder):
        path = folder / f"all__{name}.npy"
        array = np.load(path)
        np.save(path, change(array))

    return damage


def change_json(**changes):
    def damage(folder):
        (folder / "dataset.json").write_text(json.dumps({**TRM, **changes}))

    return damage


def with_entry(index, value):
    def change(array):
        array[index] = value
        return array

    return change


def truncate(folder):
    path = folder / "all__labels.npy"
    path.write_bytes(path.read_bytes()[:-8])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "dataset.json").write_text("{"), "dataset.json: not a readable JSON object"),
        (lambda folder: (folder / "dataset.json").write_text("[]"), "dataset.json: not a readable JSON object"),
        (lambda folder: (folder / "all__labels.npy").unlink(), "all__labels.npy: no such file"),
        (lambda folder: (folder / "all__inputs.npy").write_bytes(b""), "all__inputs.npy: not a readable .npy array"),
        (truncate, "all__labels.npy: not a readable .npy array"),
        (lambda folder: np.save(folder / "all__inputs.npy", np.array([{}])), "all__inputs.npy: not a readable"),
        (change_json(seq_len="16"), "dataset.json: seq_len is '16'"),
        (change_json(seq_len=17), r"all__inputs.npy: shape \(12, 16\), needed is \(12, 17\)"),
        (change_json(sets=["all", "more"]), "dataset.json: sets is"),
        (change_array("labels", lambda array: array[1:]), r"all__labels.npy: shape \(11, 16\)"),
        (change_array("inputs", lambda array: array.astype(float)), "all__inputs.npy: float64"),
        (change_array("inputs", with_entry((7, 3), 6)), "all__inputs.npy: token 6 in row 7, allowed are 0 to 5"),
        (change_array("labels", with_entry((7, 3), -1)), "all__labels.npy: token -1 in row 7"),
        (change_array("puzzle_indices", with_entry(3, 2)), "all__puzzle_indices.npy: entry 3 is 2 after 2"),
        (change_array("puzzle_indices", with_entry(12, 13)), "all__puzzle_indices.npy: numbers from 0 to 13"),
        (change_array("puzzle_indices", lambda array: array[:-1]), "all__puzzle_indices.npy: 12 entries, needed"),
        (change_array("group_indices", with_entry(0, 1)), "all__group_indices.npy: numbers from 1 to 12"),
        (change_array("inputs", with_entry((7, 3), -1)), "all__inputs.npy: token -1 in row 7"),
        (change_array("puzzle_identifiers", with_entry(2, -1)), "all__puzzle_identifiers.npy: numbers from -1 to 0"),
        (change_array("puzzle_identifiers", with_entry(0, 1)), "all__puzzle_identifiers.npy: numbers from 0 to 1"),
    ],
)
def test_damage_is_named(tmp_path, damage, message):
    damage(official_folder(tmp_path, TRM) / "train")
    with pytest.raises(InputError, match=f"train/{message}") as error:
        OfficialDataset.read(tmp_path)
    assert "\n" not in str(error.value)


def test_folders_of_other_tasks_are_read_but_give_no_puzzles(tmp_path):
    root = official_folder(tmp_path, {**TRM, "vocab_size": 12})
    part = OfficialDataset.read(root).parts["train"]
    with pytest.raises(InputError, match="no task has puzzles of 16 cells and 12 tokens"):
        part.puzzles(part.originals)


@pytest.mark.parametrize(("ignore", "mask"), [(-100, -100), (0, 0), (0, -100), (None, -100)])
def test_masked_labels_are_what_the_puzzle_gives(tmp_path, ignore, mask):
    root = official_folder(tmp_path, {**TRM, "ignore_label_id": ignore}) / "train"
    whole = OfficialPart.read(root).puzzles(np.arange(12))
    given = np.load(root / "all__inputs.npy") > 1
    np.save(root / "all__labels.npy", np.where(given, mask, whole.labels.astype(np.int64)))
    assert OfficialPart.read(root).puzzles(np.arange(12)).content_hash() == whole.content_hash()
    np.save(root / "all__labels.npy", np.full((12, 16), mask))
    with pytest.raises(InputError, match=rf"example 0: .*ignore_label_id \({ignore}\).*write whole answers"):
        OfficialPart.read(root).puzzles(np.arange(12))


def test_originals_that_repeat_another(tmp_path):
    root = official_folder(tmp_path, {**TRM, "num_puzzle_identifiers": 2}) / "test"
    inputs = np.load(root / "all__inputs.npy")
    np.save(root / "all__inputs.npy", inputs[[0, 0, 1, 1]])
    np.save(root / "all__puzzle_identifiers.npy", np.array([0, 0, 0, 1], np.int32))
    assert OfficialPart.read(root).distinct().tolist() == [0, 2, 3]


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "csv"
    folder.mkdir()
    puzzles = TASK.generate(30, seed=0)
    write_puzzles(folder / "train.csv", puzzles.subset(slice(20)))
    write_puzzles(folder / "test.csv", puzzles.subset(slice(20, None)))
    return folder


def test_the_builder_depends_on_the_seed_alone(source, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        build_official(source, tmp_path / name, subsample=5, augmentations=3, seed=seed)
    assert files(tmp_path / "a") == files(tmp_path / "b") != files(tmp_path / "c")


def test_groups_hold_an_original_and_its_copies(source, tmp_path):
    build_official(source, tmp_path / "built", subsample=5, augmentations=3, seed=0)
    dataset = OfficialDataset.read(tmp_path / "built")
    train, test = dataset.parts["train"], dataset.parts["test"]
    assert train.inputs.shape == (20, 16) and train.group_indices.tolist() == [0, 4, 8, 12, 16, 20]
    classes = TASK.equivalence_classes(train.inputs, train.labels).reshape(5, 4)
    assert (classes == classes[:, :1]).all() and len(np.unique(classes)) == 5
    TASK.check(PuzzleSet.of(TASK.name, train.inputs, train.labels), str)
    assert set(HRM) | {"total_puzzles"} == set(train.metadata) and train.metadata["total_groups"] == 5
    assert len(test.inputs) == 10 and len(test.group_indices) == 11


def test_the_command_reports_and_refuses_in_one_line(source, tmp_path, capsys):
    main([str(source / "train.csv"), str(tmp_path / "one"), "--augmentations", "2"])
    shown = capsys.readouterr()
    assert "train 60 puzzles" in shown.out and "60 of 60 train puzzles, 0 s left" in shown.err
    assert not (tmp_path / "one" / "test").exists()
    write_puzzles(tmp_path / "mazes.csv", get_task("maze-6x6").generate(2, seed=0))
    for arguments, message in (
        ([str(source), str(tmp_path / "two"), "--subsample", "21"], "has 20 rows"),
        ([str(source), str(tmp_path / "one")], "exists already"),
        ([str(tmp_path / "none.csv"), str(tmp_path / "two")], "no such file"),
        ([str(tmp_path / "mazes.csv"), str(tmp_path / "two"), "--augmentations", "8"], "rule that moved labels"),
        ([str(source), str(tmp_path / "two"), "--seed", "-1"], "seed -1"),
        ([str(source), str(tmp_path / "two"), "--seed", "x"], "invalid int value: 'x'"),
        ([str(source), str(tmp_path / "two"), "--augmentations", str(10**12)], "more than 2147483647 in all"),
        ([str(source), str(tmp_path / "mazes.csv" / "two")], "cannot be made in"),
        (["/dev/null", str(tmp_path / "two")], "a pipe or a device"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        error = capsys.readouterr().err
        assert stop.value.code == 2 and message in error and error.count("\n") == 1
    assert not (tmp_path / "two").exists()

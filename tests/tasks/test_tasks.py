"""The contract of `rrm.tasks.base.Task`, for every task of the registry."""

import numpy as np
import pytest

from rrm.errors import InputError
from rrm.tasks import TASKS, PuzzleSet, get_task
from rrm.tasks.puzzle_file import load_puzzles
from rrm.tasks.symmetry import Symmetries

GOLDEN = {
    "sudoku-4x4": "2cf861016799beb20d77404ff779f1d8ea8c5d9fd49e682e46ddffc9475092e3",
    "sudoku-6x6": "7082ec3e50043401e30b0f79309c83798a39a022f473f4555ec8014c239840fe",
    "sudoku-9x9": "68382e8f5a22c85ce23a2ffb2af08fa8c32745450798d4d3cf99ff44b60ac991",
    "sudoku-16x16": "e133b09ced625d884beb3273b35ff1d322c43eed28ca1541533d3fe24caa25c2",
    "maze-10x10": "ef5a0f3dfc721175eef24d4d92a94c62cedb213228f718d1d28d57b0d39fde20",
    "maze-unique-10x10": "df16a01cda171231b214e46ab0d247108fe2f711752f27b2f0c595c4e0da799a",
}


MAZES = ("maze-10x10", "maze-unique-10x10")


@pytest.fixture(scope="module", params=[*TASKS, *MAZES])
def case(request):
    task = get_task(request.param)
    return task, task.generate(24, seed=11)


def test_generated_puzzles_are_the_same_everywhere(case):
    task, puzzles = case
    assert puzzles.content_hash() == GOLDEN[task.name], "raise GENERATOR_VERSION in splits.py with a new hash"
    assert task.generate(24, seed=12).content_hash() != puzzles.content_hash()


def test_generated_puzzles_keep_the_rules_and_differ(case):
    task, puzzles = case
    task.check(puzzles, str)
    assert len(puzzles) == 24 and puzzles.inputs.shape == (24, task.seq_len) == puzzles.labels.shape
    assert puzzles.labels.max() < task.vocab_size
    assert len(np.unique(task.equivalence_classes(puzzles.inputs, puzzles.labels))) == 24


def test_text_form_round_trips(case):
    task, puzzles = case
    for tokens in (puzzles.inputs[0], puzzles.labels[0]):
        assert (task.encode(task.decode(tokens)) == tokens).all()
    with pytest.raises(InputError, match=f"give {task.seq_len}"):
        task.encode(task.decode(puzzles.inputs[0])[1:])
    with pytest.raises(InputError, match="unknown character 'é' in cell 1 "):
        task.encode("é" + task.decode(puzzles.inputs[0])[1:])


def test_augmented_puzzles_are_valid_copies(case):
    task, puzzles = case
    before = puzzles.content_hash()
    inputs, labels = task.augment(puzzles.inputs, puzzles.labels, np.random.default_rng(0))
    task.check(PuzzleSet.of(task.name, inputs, labels), str)
    together = np.concatenate([puzzles.inputs, inputs]), np.concatenate([puzzles.labels, labels])
    classes = task.equivalence_classes(*together)
    assert (classes[:24] == classes[24:]).all()
    assert puzzles.content_hash() == before and (inputs == puzzles.inputs).all() == (not task.augmentable)


def test_score_of_the_labels_and_of_the_puzzle_itself(case):
    task, puzzles = case
    right = task.score(puzzles.inputs, puzzles.labels, puzzles.labels)
    assert right["exact"].all() and (right["cells"] == 1).all()
    assert not right["violations"].any() and not right["changed_givens"].any()
    blank = task.score(puzzles.inputs, puzzles.labels, puzzles.inputs)
    assert not blank["exact"].any() and (blank["violations"] > 0).all() and not blank["changed_givens"].any()


def test_puzzle_sets_survive_saving(case, tmp_path):
    _, puzzles = case
    puzzles.save(tmp_path / "set.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["set.npz"]
    assert load_puzzles(tmp_path / "set.npz").content_hash() == puzzles.content_hash()
    (tmp_path / "set.npz").write_bytes(b"no archive")
    with pytest.raises(InputError, match="set.npz"):
        load_puzzles(tmp_path / "set.npz")


def test_content_hash_ignores_storage_and_sees_content(case):
    _, puzzles = case
    wide = PuzzleSet(**{**puzzles.arrays, "task": puzzles.task, "source": puzzles.source.astype("U99")})
    assert wide.content_hash() == puzzles.content_hash()
    assert puzzles.subset(slice(1, None)).content_hash() != puzzles.content_hash()
    assert puzzles.subset(np.arange(24)[::-1]).content_hash() != puzzles.content_hash()


def test_an_unknown_task_is_refused_with_the_list():
    with pytest.raises(InputError, match="sudoku-5x5.*sudoku-4x4, sudoku-6x6, sudoku-9x9"):
        get_task("sudoku-5x5")


def test_a_symmetric_copy_is_as_valid_and_leads_back(case):
    task, puzzles = case
    copies = Symmetries.stack([task.symmetry(number, (3, 1)) for number in range(24)])
    inputs, labels = copies.apply(puzzles.inputs), copies.apply(puzzles.labels)
    # By the rules: the label of a copy may be another of several answers.
    score = task.score(inputs, labels, labels)
    assert not score["violations"].any() and not score["changed_givens"].any()
    task.check(PuzzleSet.of(task.name, inputs, labels), str)
    back = copies.inverse()
    assert (back.apply(inputs) == puzzles.inputs).all() and (back.apply(labels) == puzzles.labels).all()
    assert (back.inverse().sources == copies.sources).all() and (back.inverse().tokens == copies.tokens).all()
    again, other = task.symmetry(5, (3, 1)), task.symmetry(5, (3, 2))
    assert (again.sources[0] == copies.sources[5]).all() and (again.tokens[0] == copies.tokens[5]).all()
    assert task.name in MAZES or (other.sources != again.sources).any()


@pytest.mark.parametrize("name", MAZES)
def test_eight_copies_of_a_maze_are_all_its_symmetries(name):
    copies = Symmetries.stack([get_task(name).symmetry(number, (0,)) for number in range(16)])
    assert len(np.unique(copies.sources[:8], axis=0)) == len(np.unique(copies.sources, axis=0)) == 8

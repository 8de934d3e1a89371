import dataclasses

import numpy as np
import pytest

from rrm.errors import InputError
from rrm.tasks import PuzzleSet, dihedral, get_task
from rrm.tasks.maze_cells import GOAL, START, WALL, pack, reachable, single
from rrm.tasks.maze_labels import label_mazes, shortest_path
from rrm.tasks.maze_unique import is_tree
from rrm.tasks.puzzle_csv import read_puzzles, write_puzzles

TASK = get_task("maze-5x5")
MAZE = "S    " + "#### " + "     " + " ####" + "    G"  # one way round two walls: 16 steps
ANSWER = "Soooo" + "####o" + "ooooo" + "o####" + "ooooG"
PLANE = "S    " + "  #  " + "     " + "     " + "    G"  # many ways of 8 steps


def score(maze, prediction, answer=None):
    result = TASK.score(*(TASK.encode(text)[None] for text in (maze, answer or ANSWER, prediction)))
    return {name: values[0].item() for name, values in result.items()}


def test_scores_of_the_label():
    assert score(MAZE, ANSWER) == {
        "exact": True,
        "cells": 1,
        "violations": 0,
        "changed_givens": 0,
        "valid": True,
        "shortest": True,
        "length_gap": 0,
    }


def test_a_shortest_path_that_is_not_the_label_is_shortest_but_not_exact():
    label, length = label_mazes(TASK.encode(PLANE)[None])
    assert TASK.decode(label[0]) == "S    " + "o #  " + "o    " + "o    " + "ooooG" and length == 8
    other = score(PLANE, "Soooo" + "  # o" + "    o" + "    o" + "    G", TASK.decode(label[0]))
    assert not other["exact"] and other["valid"] and other["shortest"] and other["length_gap"] == 0
    assert other["violations"] == 0 and other["cells"] == 11 / 25


def test_detours_and_stray_cells_count_as_length():
    detour = score(PLANE, "So   " + "oo#  " + "o    " + "o    " + "ooooG")
    assert detour["valid"] and not detour["shortest"] and detour["length_gap"] == 2


@pytest.mark.parametrize(
    ("prediction", "violations", "changed"),
    [
        (MAZE, 1, 0),  # no path
        (ANSWER.replace("o####", " ####"), 1, 0),  # a gap in the path
        (ANSWER.replace("####o", "###oo", 1), 0, 1),  # a wall walked through
        (ANSWER.replace("S", "o"), 0, 1),  # the start overwritten
        (ANSWER.replace("####o", "#####", 1), 2, 0),  # an open cell turned into wall, and the path cut
        (ANSWER.replace("####o", "####S", 1), 2, 0),  # a second start
    ],
)
def test_invalid_predictions(prediction, violations, changed):
    result = score(MAZE, prediction)
    assert (result["violations"], result["changed_givens"]) == (violations, changed)
    assert not result["valid"] and not result["shortest"] and np.isnan(result["length_gap"])


@pytest.mark.parametrize(
    ("maze", "answer", "message"),
    [
        (ANSWER, ANSWER, "a token of the maze is none of"),
        (MAZE.replace("G", "S"), ANSWER, "does not have one S and one G"),
        (MAZE.replace("####\u0020", "#####"), ANSWER, "no path joins S and G"),
        (MAZE, ANSWER.replace("####o", "###oo", 1), "disagrees with a wall, S or G"),
        (MAZE, MAZE, "do not join S and G"),
        (PLANE, "So   " + "oo#  " + "o    " + "o    " + "ooooG", "not a shortest one"),
    ],
)
def test_check_names_the_row_and_the_rule(maze, answer, message):
    with pytest.raises(InputError, match=f"row 1: .*{message}"):
        rows = [[TASK.encode(text) for text in pair] for pair in ((MAZE, ANSWER), (maze, answer))]
        TASK.check(PuzzleSet.of(TASK.name, *np.swapaxes(rows, 0, 1)), lambda i: f"row {i}")


def test_a_loop_is_refused_where_paths_must_be_unique():
    with pytest.raises(InputError, match="row 0: .* not a tree"):
        task = get_task("maze-unique-5x5")
        label = label_mazes(TASK.encode(PLANE)[None])[0]
        task.check(PuzzleSet.of(task.name, [TASK.encode(PLANE)], label), lambda i: f"row {i}")
    mazes = np.stack([TASK.encode(text).reshape(5, 5) for text in (MAZE, PLANE, MAZE.replace("####\u0020", "#####"))])
    assert is_tree(mazes).tolist() == [True, False, False]


@pytest.mark.parametrize("name", ["maze-9", "maze-9x", "maze-09x09", "maze-uniq-9x9", "maze-30x30x30"])
def test_other_names_are_no_mazes(name):
    with pytest.raises(InputError, match="is unknown; .*maze-NxN"):
        get_task(name)


@pytest.mark.parametrize("name", ["maze-10x12", "maze-4x4", "maze-unique-65x65"])
def test_sizes_out_of_range_are_named(name):
    with pytest.raises(InputError, match="5 x 5 to 64 x 64"):
        get_task(name)


@pytest.mark.parametrize(("n", "kind"), [(32, np.uint32), (33, np.uint64)])
def test_widths_of_a_full_integer(n, kind):
    free = np.ones((2, n, n), bool)
    free[1, :, n // 2] = False
    sets = pack(free)
    assert sets.dtype == kind
    reached = np.bitwise_count(reachable(sets, single(np.array([0, 0]), n))).sum(axis=0)
    assert reached.tolist() == [n * n, n * (n // 2)]


def test_the_eight_symmetries_form_the_group_of_the_square():
    grid = np.arange(9, dtype=np.uint8)[None]
    copies = {dihedral.apply(symmetry, grid).tobytes() for symmetry in range(8)}
    again = {dihedral.apply(b, dihedral.apply(a, grid)).tobytes() for a in range(8) for b in range(8)}
    assert len(copies) == 8 and again == copies
    assert {dihedral.smallest_copy(np.frombuffer(copy, np.uint8)[None]).tobytes() for copy in copies} == {min(copies)}


def test_hard_mazes_move_only_with_new_labels():
    task = get_task("maze-10x10")
    puzzles = task.generate(8, seed=0)
    with pytest.raises(InputError, match="neighbour order down, left, right, up"):
        task.transform(puzzles.inputs, puzzles.labels, 3)
    inputs, labels = task.transform(puzzles.inputs, puzzles.labels, 3, relabel=True)
    task.check(PuzzleSet.of(task.name, inputs, labels), str)
    assert not (labels == dihedral.apply(3, puzzles.labels)).all()


def test_labels_of_unique_mazes_move_with_the_maze():
    task = get_task("maze-unique-10x10")
    puzzles = task.generate(8, seed=0)
    for symmetry in range(dihedral.COUNT):
        inputs, labels = task.transform(puzzles.inputs, puzzles.labels, symmetry)
        assert (label_mazes(inputs)[0] == labels).all()
    assert not get_task("maze-unique-30x30").generate(1, seed=0).inputs.reshape(30, 30)[29].tolist().count(2)


def test_the_threshold_can_be_chosen_and_an_impossible_one_is_refused(monkeypatch):
    puzzles = dataclasses.replace(get_task("maze-10x10"), least=20).generate(30, seed=0)
    assert puzzles.rating.min() in (20, 21) and len(np.unique(puzzles.rating)) > 4
    monkeypatch.setattr("rrm.tasks.maze_generator.BARREN", 2)
    with pytest.raises(InputError, match="3 mazes of maze-5x5: only 0 are found"):
        dataclasses.replace(TASK, least=17).generate(3, seed=0)
    with pytest.raises(InputError, match="3 mazes of maze-unique-5x5: only 0 are found"):
        dataclasses.replace(get_task("maze-unique-5x5"), lengths=(30, 30)).generate(3, seed=0)
    with pytest.raises(InputError, match="givens 5 for maze-5x5"):
        TASK.generate(3, seed=0, givens=5)


def test_generated_mazes_follow_the_plain_definition():
    """Against blind drawing: walls, then S and G uniform over the open cells, kept when far enough apart."""
    task = dataclasses.replace(get_task("maze-6x6"), least=11)
    rng = np.random.default_rng(0)
    lengths, walls = [], []
    while len(lengths) < 150:
        maze = np.where(rng.random(36) < rng.uniform(0.3, 0.5), WALL, 2).astype(np.uint8)
        free = np.flatnonzero(maze == 2)
        maze[rng.choice(free)] = START
        goal = rng.choice(free)
        if maze[goal] != START:
            maze[goal] = GOAL
            path = shortest_path(maze.reshape(6, 6))
            if path and len(path) > 11:
                lengths.append(len(path) - 1)
                walls.append((maze == WALL).mean())
    puzzles = task.generate(600, seed=0)
    assert abs(puzzles.rating.mean() - np.mean(lengths)) < 0.35
    assert abs((puzzles.inputs == WALL).mean() - np.mean(walls)) < 0.02


@pytest.mark.parametrize("name", ["maze-9x9", "maze-5x5", "maze-unique-9x9", "maze-unique-10x10"])
def test_maze_files_read_back(tmp_path, name):
    puzzles = get_task(name).generate(5, seed=0)
    write_puzzles(tmp_path / "mazes.csv", puzzles)
    assert read_puzzles(tmp_path / "mazes.csv").content_hash() == puzzles.content_hash()


def test_real_mazes_have_the_labels_of_the_rule_and_the_statistics_of_the_generator(request):
    path = request.config.rootpath.parent / "shared/data/maze-real/test.csv"
    if not path.is_file():
        pytest.skip(f"no real mazes at {path}")
    real = read_puzzles(path)
    assert real.task == "maze-30x30" and len(real) == 500
    labels, lengths = label_mazes(real.inputs)
    assert (labels == real.labels).all() and (lengths == real.rating).all() and lengths.min() == 109
    ours = get_task(real.task).generate(10, seed=0)
    assert ours.rating.min() >= 109 and 110.5 < ours.rating.mean() < 118
    assert abs((ours.inputs == WALL).mean() - (real.inputs == WALL).mean()) < 0.03

"""Moves from puzzle to puzzle, and walks in the graph that they make."""

import numpy as np
import pytest

from rrm.errors import InputError
from rrm.tasks import PuzzleSet, get_task
from rrm.tasks.graph import PuzzleGraph, moves_of
from rrm.tasks.maze import HardMazeTask
from rrm.tasks.maze_labels import label_mazes

TASKS = ("sudoku-4x4", "sudoku-6x6", "sudoku-9x9", "maze-10x10", "maze-unique-9x9")
# The least share of random moves that succeed.
SUCCEED = {"hint": 1, "dig": 0.3, "swap": 0.3, "turn": 0.3, "cross": 0.05, "wall": 0.05, "step": 0.05}
MOVES = [(task, move) for task in TASKS for move in moves_of(get_task(task)).named]


@pytest.fixture(scope="module")
def given():
    return {name: get_task(name).generate(60, 5) for name in TASKS}


@pytest.mark.parametrize("name, move", MOVES)
def test_a_move_ends_at_another_proven_puzzle(given, name, move):
    task, puzzles = get_task(name), given[name]
    moves = moves_of(task)
    mates = np.roll(puzzles.inputs, 1, axis=0)
    before = [array.copy() for array in (puzzles.inputs, puzzles.labels, mates)]

    def make(seed):
        return moves.make(move, puzzles.inputs, puzzles.labels, mates, np.random.default_rng(seed))

    inputs, labels, done = make(0)
    assert all(map(np.array_equal, make(0), (inputs, labels, done)))
    assert not np.array_equal(make(1)[0], inputs)
    assert all(map(np.array_equal, before, (puzzles.inputs, puzzles.labels, mates)))
    assert done.mean() >= SUCCEED[move]
    # the solver proves the only solution of a Sudoku, and a shortest path of a maze
    task.check(PuzzleSet.of(name, inputs[done], labels[done]), str)
    if isinstance(task, HardMazeTask):
        assert np.array_equal(label_mazes(inputs[done])[0], labels[done])
    assert (inputs[done] != puzzles.inputs[done]).any(axis=1).all()
    low, high = moves.bounds
    size = moves.size(inputs[done], labels[done])
    assert (low <= size).all() and (size <= high).all()


def test_moves_of_sudokus_do_what_they_say(given):
    puzzles = given["sudoku-6x6"]
    moves = moves_of(get_task("sudoku-6x6"))
    mates = np.roll(puzzles.inputs, 1, axis=0)

    def make(move):
        made = moves.make(move, puzzles.inputs, puzzles.labels, mates, np.random.default_rng(0))
        return [array[made[2]] for array in (*made, puzzles.inputs, puzzles.labels)]

    for move, more in (("hint", 1), ("dig", -1), ("swap", 0)):
        inputs, labels, _, old, old_labels = make(move)
        assert np.array_equal(labels, old_labels)
        assert (moves.size(inputs, labels) - moves.size(old, old_labels) == more).all()
    inputs, labels, _, old, old_labels = make("turn")
    assert (labels != old_labels).any(axis=1).all() and (labels == old_labels).mean() > 0.3
    assert (moves.size(inputs, labels) >= moves.size(old, old_labels)).all()


@pytest.mark.parametrize("name", TASKS)
def test_walks_end_at_new_puzzles(given, name):
    task, puzzles = get_task(name), given[name].subset(slice(30))
    start = PuzzleGraph.of(puzzles)
    start = start.observe(np.array([3, 3, 4, 5]), np.array([1, 1, 4, 0]), np.array([2, 2, 4, 4]))
    assert start.learnability()[3] == pytest.approx(2 * 2 / (4 * 3)) and np.count_nonzero(start.learnability()) == 1

    def walk(graph):
        return graph.walk(8, 4, None, np.random.default_rng(7))

    graph, ends = walk(start)
    again, rows = walk(PuzzleGraph.from_arrays(name, {key: array.copy() for key, array in start.arrays().items()}))
    assert np.array_equal(ends, rows) and all(map(np.array_equal, graph.arrays().values(), again.arrays().values()))
    assert 4 <= len(ends) <= 8 and len(np.unique(ends)) == len(ends) and ends.min() >= 30
    assert len(np.unique(task.equivalence_classes(graph.inputs, graph.labels))) == len(graph)
    task.check(graph.puzzles(), str)
    near, _ = start.walk(8, 4, None, np.random.default_rng(7), start.moves.small)
    assert {list(start.moves.named)[move] for move in near.edges[:, 2]} <= set(start.moves.small)
    # every new node was reached by a move, and the walks began at the one node that is solved half of the time
    parents, children, moves = graph.edges.T
    assert set(range(30, len(graph))) == set(children) - set(range(30)) and moves.max() < len(graph.moves.named)
    assert set(parents[parents < 30]) <= {3} | set(children)
    assert not graph.trials[30:].any() and graph.trials[3] == 4


@pytest.mark.parametrize("name, bounds", [("sudoku-6x6", (10, 16)), ("maze-10x10", None)])
def test_one_solved_board_is_enough(given, name, bounds):
    task = get_task(name)
    rng = np.random.default_rng(0)
    graph = PuzzleGraph.from_board(name, given[name].labels[0], 20, rng, bounds)
    graph, ends = graph.walk(30, 3, None, rng)
    graph, ends = graph.walk(30, 3, np.ones(len(graph)), rng)
    task.check(graph.puzzles(), str)
    assert len(ends) == 30 and len(np.unique(graph.labels[ends], axis=0)) > 10


def test_bad_graphs_are_refused(given):
    puzzles = given["sudoku-4x4"]
    with pytest.raises(InputError, match="0 puzzles"):
        PuzzleGraph.of(puzzles.subset([]))
    with pytest.raises(InputError, match=r"bounds \(9, 4\)"):
        PuzzleGraph.of(puzzles, (9, 4))
    with pytest.raises(InputError, match="move 'jump' is unknown: sudoku-4x4 has hint, dig, swap, turn, cross"):
        PuzzleGraph.of(puzzles).walk(1, 1, None, np.random.default_rng(0), ["jump"])
    with pytest.raises(InputError, match="inside"):
        PuzzleGraph.from_board("sudoku-4x4", puzzles.labels[0], 10, np.random.default_rng(0), (1, 2))
    graph = PuzzleGraph.of(puzzles)
    for length, weights in ((0, None), (1, np.ones(3)), (1, np.zeros(len(graph))), (1, -np.ones(len(graph)))):
        with pytest.raises(InputError, match="use 1 move or more"):
            graph.walk(2, length, weights, np.random.default_rng(0))

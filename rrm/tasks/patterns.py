"""Where an attention head may look: patterns of keys by name, as masks over the positions that a network reads.

A pattern is bool [b, q, K]: entry (i, j, k) says whether position k is in the pattern of query j in puzzle i. The
queries are the S cells of the puzzle, the keys the K = prefix + S positions. Where b is 1, all puzzles have the same
pattern, and where q is 1, all queries of a puzzle have it.
"""

from collections.abc import Mapping

import numpy as np

from rrm.errors import InputError
from rrm.tasks.base import PuzzleSet, Task
from rrm.tasks.maze import MazeTask
from rrm.tasks.maze_cells import GOAL, PATH, START, WALL
from rrm.tasks.sudoku import SudokuTask
from rrm.tasks.sudoku_box import BLANK

Patterns = Mapping[str, np.ndarray]


def puzzle_patterns(puzzles: PuzzleSet, task: Task, prefix: int = 0) -> dict[str, np.ndarray]:
    """The patterns of B puzzles; a cell is in no pattern of its own but "self" and those that do not ask for a query.

    Sudoku: self, row, column, box, peers (any of these three), same digit (in the answer), clue. Mazes: self, row,
    column, neighbours (side by side, without wrapping), wall, ends (S and G), path (of the label). Both: prefix, where
    there is one.

    Args:
        puzzles: of the task.
        task: a Sudoku or a maze.
        prefix: positions in front of the cells.

    Raises:
        InputError: another task.
    """
    if isinstance(task, SudokuTask):
        found = _sudoku(puzzles, task)
    elif isinstance(task, MazeTask):
        found = _maze(puzzles, task)
    else:
        raise InputError(f"no patterns are known of {task.name}: give puzzles of a Sudoku or of a maze")
    wide = {name: np.pad(mask, ((0, 0), (0, 0), (prefix, 0))) for name, mask in found.items()}
    front = np.arange(prefix + task.seq_len) < prefix
    return wide | ({"prefix": front[None, None]} if prefix else {})


def _sudoku(puzzles: PuzzleSet, task: SudokuTask) -> dict[str, np.ndarray]:
    N = task.box.digits
    own = np.eye(task.seq_len, dtype=bool)
    together = {}
    for name, units in zip(("row", "column", "box"), np.split(task.box.units, (N, 2 * N)), strict=True):
        unit = np.empty(task.seq_len, int)
        unit[units] = np.arange(N)[:, None]
        together[name] = (unit[:, None] == unit) & ~own
    peers = np.logical_or.reduce([*together.values()])
    alike = (puzzles.labels[:, :, None] == puzzles.labels[:, None]) & ~own
    fixed = {name: mask[None] for name, mask in ({"self": own} | together | {"peers": peers}).items()}
    return fixed | {"same digit": alike, "clue": (puzzles.inputs != BLANK)[:, None]}


def _maze(puzzles: PuzzleSet, task: MazeTask) -> dict[str, np.ndarray]:
    row, column = np.divmod(np.arange(task.seq_len), task.n)
    down, across = np.abs(row[:, None] - row), np.abs(column[:, None] - column)
    fixed = {
        "self": down + across == 0,
        "row": (down == 0) & (across > 0),
        "column": (across == 0) & (down > 0),
        "neighbours": down + across == 1,
    }
    inputs = puzzles.inputs
    of_keys = {"wall": inputs == WALL, "ends": (inputs == START) | (inputs == GOAL), "path": puzzles.labels == PATH}
    return {name: mask[None] for name, mask in fixed.items()} | {name: m[:, None] for name, m in of_keys.items()}


# The tokens of an equation.
PLACES = ("first number", "operation", "second number", "equals")


def equation_patterns(tokens: np.ndarray) -> dict[str, np.ndarray]:
    """The patterns of equations [B, 4], a o b =: those of `sequence_patterns`, and each of the four positions."""
    key = np.arange(tokens.shape[1])
    fixed = {name: (key == place)[None, None] for place, name in enumerate(PLACES)}
    return sequence_patterns(tokens) | fixed


def sequence_patterns(tokens: np.ndarray) -> dict[str, np.ndarray]:
    """The patterns of token rows [B, S]: self, previous, next, same token (before the query), and induction.

    The induction pattern of a query holds the positions behind earlier copies of its token: the head that looks there
    finds what came next the last time (Olsson et al., arXiv 2209.11895).
    """
    length = tokens.shape[1]
    query, key = np.arange(length)[:, None], np.arange(length)
    same = (tokens[:, :, None] == tokens[:, None]) & (key < query)
    behind = np.zeros_like(same)
    behind[:, :, 1:] = same[:, :, :-1]
    fixed = {"self": key == query, "previous": key == query - 1, "next": key == query + 1}
    return {name: mask[None] for name, mask in fixed.items()} | {"same token": same, "induction": behind}

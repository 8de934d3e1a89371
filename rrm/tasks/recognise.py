"""The task of a file, recognised by its first puzzle."""

import math

import numpy as np

from rrm.errors import InputError
from rrm.tasks import TASKS, Task, get_task
from rrm.tasks.maze import SMALLEST
from rrm.tasks.maze_cells import CHARACTERS, LARGEST, WALL
from rrm.tasks.maze_unique import is_tree


def task_of_text(question: str, place: str) -> Task:
    """The task of a puzzle in text form: a maze for a text with an S, otherwise the Sudoku with that many cells.

    A maze whose open cells form a spanning tree of rooms is one of the unique-path family.

    Raises:
        InputError: for any other text; the message begins with `place`.
    """
    if "S" in question and _is_maze_size(len(question)):
        maze = get_task(_maze_name(len(question)))
        try:
            return _family(maze.encode(question))
        except InputError as error:
            raise InputError(f"{place}: question: {error}") from None
    for task in TASKS.values():
        if task.seq_len == len(question):
            return task
    allowed = ", ".join(f"{task.seq_len} ({task.name})" for task in TASKS.values())
    raise InputError(
        f"{place}: wrong length of question, {len(question)} characters; a grid has one of {allowed}, or is a square "
        f"maze of {SMALLEST} x {SMALLEST} to {LARGEST} x {LARGEST} cells with an S"
    )


def task_of_tokens(puzzle: np.ndarray, vocab_size: int, place: str) -> Task:
    """The task of a puzzle as tokens [S] of a vocabulary.

    Raises:
        InputError: when no task has that shape; the message begins with `place`.
    """
    for task in TASKS.values():
        if (task.seq_len, task.vocab_size) == (len(puzzle), vocab_size):
            return task
    if vocab_size == len(CHARACTERS) and _is_maze_size(len(puzzle)):
        return _family(puzzle)
    allowed = ", ".join(f"{task.seq_len} and {task.vocab_size} ({task.name})" for task in TASKS.values())
    raise InputError(
        f"{place}: no task has puzzles of {len(puzzle)} cells and {vocab_size} tokens; there are {allowed}, and square "
        f"mazes with {len(CHARACTERS)}"
    )


def _is_maze_size(cells: int) -> bool:
    return SMALLEST <= math.isqrt(cells) <= LARGEST and math.isqrt(cells) ** 2 == cells


def _maze_name(cells: int, family: str = "") -> str:
    n = math.isqrt(cells)
    return f"maze-{family}{n}x{n}"


def _family(puzzle: np.ndarray) -> Task:
    """The maze task of a puzzle (uint8 tokens [S])."""
    n = math.isqrt(len(puzzle))
    rooms = ((n + 1) // 2) ** 2
    # small mazes with many paths can be trees by chance, but hardly with as many cells as rooms and doors
    unique = (puzzle != WALL).sum() == 2 * rooms - 1 and is_tree(puzzle.reshape(1, n, n))[0]
    return get_task(_maze_name(len(puzzle), "unique-" if unique else ""))

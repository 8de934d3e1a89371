"""Puzzle tasks: their tokens, generators, solvers, symmetries and checks."""

from rrm.errors import InputError
from rrm.tasks.base import PuzzleSet, Task
from rrm.tasks.maze import maze_task
from rrm.tasks.sudoku import SudokuTask
from rrm.tasks.sudoku_box import Box

__all__ = ["TASKS", "PuzzleSet", "Task", "get_task"]

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        SudokuTask("sudoku-4x4", Box(2, 2), givens=(4, 9)),
        SudokuTask("sudoku-6x6", Box(2, 3), givens=(10, 14)),
        SudokuTask("sudoku-9x9", Box(3, 3), givens=(24, 30)),
        SudokuTask("sudoku-16x16", Box(4, 4), givens=(120, 140)),
    )
}


def get_task(name: str) -> Task:
    """The task of that name: one of `TASKS`, or mazes of any size (`rrm.tasks.maze.maze_task`).

    Raises:
        InputError: for an unknown name; the message lists the names.
    """
    task = TASKS.get(name) or maze_task(name)
    if task is None:
        raise InputError(
            f"task {name!r} is unknown; choose one of {', '.join(TASKS)}, maze-NxN or maze-unique-NxN with a size N"
        )
    return task

"""The moves of every task that has some."""

from rrm.errors import InputError
from rrm.tasks.base import Task
from rrm.tasks.graph.maze_moves import MazeMoves, UniqueMazeMoves
from rrm.tasks.graph.moves import Bounds, Moves
from rrm.tasks.graph.sudoku_moves import SudokuMoves
from rrm.tasks.maze import HardMazeTask, UniqueMazeTask
from rrm.tasks.sudoku import SudokuTask


def moves_of(task: Task, bounds: Bounds | None = None) -> Moves:
    """The moves of a task.

    Args:
        task: a Sudoku or a maze.
        bounds: least and most givens of a Sudoku (default: any with a blank cell), or steps of the path of a maze
            (default: those of the family).

    Raises:
        InputError: for another task, and for bounds that no puzzle meets.
    """
    if bounds is not None and not 0 <= bounds[0] <= bounds[1] <= task.seq_len:
        raise InputError(f"bounds {bounds} of {task.name}: use (least, most) inside 0 to {task.seq_len}")
    if isinstance(task, SudokuTask):
        return SudokuMoves(bounds or (0, task.seq_len - 1), task.box)
    if isinstance(task, HardMazeTask):
        return MazeMoves(bounds or (task.least, task.seq_len), task)
    if isinstance(task, UniqueMazeTask):
        return UniqueMazeMoves(bounds or task.lengths, task)
    raise InputError(f"task {task.name!r} has no moves from puzzle to puzzle: use a Sudoku or a maze")

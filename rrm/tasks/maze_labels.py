"""The answer of a maze: of its many shortest paths, the one that the data sets of the field state.

Each label of Maze-Hard is the path that a breadth-first search from S finds when it looks at the neighbours of a cell
in the order down, left, right, up and every cell keeps the neighbour that reached it first.
"""

import numpy as np

from rrm.tasks.maze_cells import GOAL, PATH, START, WALL


def shortest_path(maze: np.ndarray) -> list[int] | None:
    """The cells from S to G, numbered row by row, of a token grid [n, n]; None where no path joins them."""
    n = len(maze)
    width = n + 2  # a border of walls saves the tests for the edges
    bordered = np.full((width, width), WALL, np.uint8)
    bordered[1:-1, 1:-1] = maze
    flat = bordered.ravel()
    start, goal = int((flat == START).argmax()), int((flat == GOAL).argmax())
    origin = np.where(flat == WALL, 0, -1).tolist()  # -1: not reached yet; no cell can come from the border's corner 0
    origin[start] = start
    queue = [start]
    for cell in queue:
        if cell == goal:
            break
        for beside in (cell + width, cell - 1, cell + 1, cell - width):
            if origin[beside] < 0:
                origin[beside] = cell
                queue.append(beside)
    else:
        return None
    path = [goal]
    while path[-1] != start:
        path.append(origin[path[-1]])
    return [(cell // width - 1) * n + cell % width - 1 for cell in reversed(path)]


def label_mazes(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The answers (uint8 tokens [B, S]) and the path lengths in steps (int [B]) of mazes (tokens [B, S]).

    Raises:
        ValueError: for a maze whose S does not reach G.
    """
    inputs = np.asarray(inputs, np.uint8)
    n = round(inputs.shape[1] ** 0.5)
    labels, lengths = inputs.copy(), np.zeros(len(inputs), np.int64)
    for row, maze in enumerate(inputs):
        path = shortest_path(maze.reshape(n, n))
        if path is None:
            raise ValueError(f"maze {row}: no path joins S and G")
        labels[row, path[1:-1]] = PATH
        lengths[row] = len(path) - 1
    return labels, lengths

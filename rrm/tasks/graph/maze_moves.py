"""Moves of mazes: walls change, S or G takes a step, walls of two mazes meet. Children are labelled anew."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np

from rrm.tasks.graph.moves import Children, Move, Moves
from rrm.tasks.maze import HardMazeTask, MazeTask, UniqueMazeTask
from rrm.tasks.maze_cells import GOAL, OPEN, PATH, START, WALL, distances, pack
from rrm.tasks.maze_labels import label_mazes
from rrm.tasks.maze_unique import is_tree


@dataclass(frozen=True)
class _AnyMazeMoves(Moves):
    """What the moves of all mazes share."""

    task: MazeTask

    @property
    def small(self) -> tuple[str, ...]:
        return ("wall", "step")

    def size(self, inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return (labels == PATH).sum(axis=1) + 1

    def seeds(self, answer: np.ndarray, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The maze of the answer, where its path is inside the bounds."""
        inputs = np.where(answer == PATH, OPEN, answer).astype(np.uint8)[None]
        inputs, labels, done = self._labelled(inputs, np.ones(1, bool))
        low, high = self.bounds
        size = self.size(inputs, labels)
        inside = done & (low <= size) & (size <= high)
        return inputs[inside][:count], labels[inside][:count]

    def marks(self, inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        keys = self.task.symmetry_key(inputs, labels)
        digests = b"".join(blake2b(key.tobytes(), digest_size=8).digest() for key in keys)
        return np.frombuffer(digests, "<i8").astype(np.int64)

    @abstractmethod
    def _is_member(self, mazes: np.ndarray) -> np.ndarray:
        """bool [M]: whether mazes [M, S] keep the rule of the family, besides that of the lengths of paths."""

    def _labelled(self, mazes: np.ndarray, done: np.ndarray) -> Children:
        """Mazes [M, S] with the labels of the task; failed where S does not reach G or the maze leaves its family."""
        n = self.task.n
        sets = [pack(cells.reshape(-1, n, n)) for cells in (mazes == OPEN, mazes == START, mazes == GOAL)]
        done = done & (distances(*sets) > 0) & self._is_member(mazes)
        labels = mazes.copy()
        labels[done] = label_mazes(mazes[done])[0]
        return mazes, labels, done

    def _step(self, inputs: np.ndarray, labels: np.ndarray, mates: np.ndarray, rng: np.random.Generator) -> Children:
        """S or G moves to a cell beside it; fails where that cell is not open."""
        n, every = self.task.n, np.arange(len(inputs))
        token = np.where(rng.random(len(inputs)) < 0.5, START, GOAL).astype(np.uint8)
        cell = (inputs == token[:, None]).argmax(axis=1)
        down, right = np.array([(1, 0), (-1, 0), (0, 1), (0, -1)])[rng.integers(4, size=len(inputs))].T
        row, column = cell // n + down, cell % n + right
        inside = (row >= 0) & (row < n) & (column >= 0) & (column < n)
        beside = np.where(inside, row * n + column, cell)
        done = inputs[every, beside] == OPEN
        new = inputs.copy()
        new[every[done], cell[done]] = OPEN
        new[every[done], beside[done]] = token[done]
        return self._labelled(new, done)


@dataclass(frozen=True)
class MazeMoves(_AnyMazeMoves):
    """Moves of Maze-Hard."""

    task: HardMazeTask

    @property
    def named(self) -> Mapping[str, Move]:
        return {"wall": self._wall, "step": self._step, "cross": self._cross}

    def _is_member(self, mazes: np.ndarray) -> np.ndarray:
        return np.ones(len(mazes), bool)

    def _wall(self, inputs: np.ndarray, labels: np.ndarray, mates: np.ndarray, rng: np.random.Generator) -> Children:
        """One wall opens or one open cell becomes a wall."""
        every = np.arange(len(inputs))
        cell = _pick((inputs == WALL) | (inputs == OPEN), rng)
        new = inputs.copy()
        new[every, cell] = np.where(inputs[every, cell] == WALL, OPEN, WALL)
        return self._labelled(new, np.ones(len(new), bool))

    def _cross(self, inputs: np.ndarray, labels: np.ndarray, mates: np.ndarray, rng: np.random.Generator) -> Children:
        """The columns right of a random cut get the walls of the other maze; S and G stay."""
        n = self.task.n
        cut = rng.integers(1, n, size=len(inputs))
        behind = np.arange(n * n) % n >= cut[:, None]
        ends = (inputs == START) | (inputs == GOAL)
        new = np.where(behind & ~ends, np.where(mates == WALL, WALL, OPEN), inputs).astype(np.uint8)
        return self._labelled(new, np.ones(len(new), bool))


@dataclass(frozen=True)
class UniqueMazeMoves(_AnyMazeMoves):
    """Moves of the mazes with one path."""

    task: UniqueMazeTask

    @property
    def named(self) -> Mapping[str, Move]:
        return {"wall": self._wall, "step": self._step}

    def _is_member(self, mazes: np.ndarray) -> np.ndarray:
        return is_tree(mazes.reshape(-1, self.task.n, self.task.n))

    def _wall(self, inputs: np.ndarray, labels: np.ndarray, mates: np.ndarray, rng: np.random.Generator) -> Children:
        """A wall between two rooms opens and a door between two others closes; fails where no tree of rooms is left."""
        n, every = self.task.n, np.arange(len(inputs))
        row, column = np.divmod(np.arange(n * n), n)
        last = (n - 1) // 2 * 2
        between = ((row + column) % 2 == 1) & (row <= last) & (column <= last)
        new = inputs.copy()
        new[every, _pick(between & (inputs == WALL), rng)] = OPEN
        new[every, _pick(between & (inputs == OPEN), rng)] = WALL
        return self._labelled(new, np.ones(len(new), bool))


def _pick(cells: np.ndarray, rng: np.random.Generator) -> Any:
    """int [M]: a random true cell of each row of bool [M, S]."""
    return (cells * rng.random(cells.shape)).argmax(axis=1)

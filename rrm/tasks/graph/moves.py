"""The contract of moves: how one puzzle of a task becomes another."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

# Puzzles and answers [M, S] that moves end at, and bool [M]: which of them are puzzles with the right answer.
Children = tuple[np.ndarray, np.ndarray, np.ndarray]
# From puzzles, their answers and the puzzles of mates (uint8 tokens [M, S] each), which a crossing takes a part from.
Move = Callable[[np.ndarray, np.ndarray, np.ndarray, np.random.Generator], Children]
Bounds = tuple[int, int]


@dataclass(frozen=True)
class Moves(ABC):
    """The moves of one task.

    bounds: least and most `size` of a puzzle; moves that leave them fail.
    """

    bounds: Bounds

    @property
    @abstractmethod
    def named(self) -> Mapping[str, Move]:
        """The moves by name; a move changes none of its arguments. Graphs number moves in this order."""

    @property
    @abstractmethod
    def small(self) -> tuple[str, ...]:
        """The moves that change a cell or two and keep the answer nearly as it is."""

    @abstractmethod
    def size(self, inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """int [M]: givens of Sudokus, steps of the paths of mazes."""

    @abstractmethod
    def seeds(self, answer: np.ndarray, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """At most `count` puzzles and answers [M, S] that one solved board (tokens [S]) alone leads to."""

    @abstractmethod
    def marks(self, inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """int64 [M]: equal for symmetric copies of one puzzle, almost always different otherwise."""

    def make(
        self, move: str, inputs: np.ndarray, labels: np.ndarray, mates: np.ndarray, rng: np.random.Generator
    ) -> Children:
        """Make a move from each of M puzzles.

        Args:
            move: name of the move.
            inputs, labels: uint8 tokens [M, S], puzzles with their right answers.
            mates: uint8 tokens [M, S], a second puzzle for each; only a crossing looks at them.
            rng: of the choices; the same generator and arguments give the same children.

        Returns:
            Children. A Sudoku that succeeded has its answer as the only solution, as proven by the solver, and a maze
            the label that its task gives; all are inside the bounds. The other rows have no meaning.
        """
        new, answers, done = self.named[move](inputs, labels, mates, rng)
        low, high = self.bounds
        size = self.size(new, answers)
        return new, answers, done & (low <= size) & (size <= high)

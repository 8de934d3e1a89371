"""Moves of Sudokus: a hint more or a given less, one given for another, another answer, the answer with other givens.

Each child has one solution: givens go only where the solver finds no other solution without them, and new givens come
until it finds none.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rrm.tasks.graph.moves import Children, Move, Moves
from rrm.tasks.sudoku_box import BLANK, Box
from rrm.tasks.sudoku_generator import dig, thin
from rrm.tasks.sudoku_hard import constrained
from rrm.tasks.sudoku_solver import candidates, search
from rrm.tasks.sudoku_symmetry import invariant, random_symmetries


@dataclass(frozen=True)
class SudokuMoves(Moves):
    """Moves of the Sudokus of one box."""

    box: Box

    @property
    def named(self) -> Mapping[str, Move]:
        return {"hint": self._hint, "dig": self._dig, "swap": self._swap, "turn": self._turn, "cross": self._cross}

    @property
    def small(self) -> tuple[str, ...]:
        return ("hint", "dig")

    def size(self, inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return (inputs != BLANK).sum(axis=1)

    def seeds(self, answer: np.ndarray, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Puzzles of the one board, with numbers of givens that are uniform inside the bounds where it allows them."""
        answers = answer[None].repeat(count, axis=0)
        low, high = self.bounds
        inputs = dig(answers, rng.integers(low, high + 1, count), self.box, rng)
        inside = self.size(inputs, answers) <= high
        return inputs[inside], answers[inside]

    def marks(self, inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return invariant(inputs, labels, self.box).view(np.int64)

    def _hint(self, inputs: np.ndarray, labels: np.ndarray, mates: np.ndarray, rng: np.random.Generator) -> Children:
        """One more given."""
        new, blank = inputs.copy(), inputs == BLANK
        cells = (blank * rng.random(blank.shape)).argmax(axis=1)
        every = np.arange(len(new))
        new[every, cells] = labels[every, cells]
        return new, labels, blank.any(axis=1)

    def _dig(self, inputs: np.ndarray, labels: np.ndarray, mates: np.ndarray, rng: np.random.Generator) -> Children:
        """One given fewer; fails for a minimal puzzle."""
        givens = self.size(inputs, labels)
        new = thin(inputs, labels, givens - 1, inputs != BLANK, self.box, rng)
        return new, labels, self.size(new, labels) < givens

    def _swap(self, inputs: np.ndarray, labels: np.ndarray, mates: np.ndarray, rng: np.random.Generator) -> Children:
        """One given for another; fails where no old one can go for the new one."""
        more, _, done = self._hint(inputs, labels, mates, rng)
        givens = self.size(inputs, labels)
        new = thin(more, labels, givens, inputs != BLANK, self.box, rng)
        return new, labels, done & (self.size(new, labels) == givens)

    def _turn(self, inputs: np.ndarray, labels: np.ndarray, mates: np.ndarray, rng: np.random.Generator) -> Children:
        """Another answer: a given goes, a random other solution of the rest becomes the answer, givens are added until
        it is the only one, and unneeded ones go down to the old number. Fails where the given was not needed."""
        every = np.arange(len(inputs))
        dropped = ((inputs != BLANK) * rng.random(inputs.shape)).argmax(axis=1)
        rest = inputs.copy()
        rest[every, dropped] = BLANK
        masks = candidates(rest, self.box)
        masks[every, dropped] ^= candidates(labels[every, dropped], self.box)
        found = search(masks, self.box, 1, rng)
        done = found.counts > 0
        answers = np.where(done[:, None], found.solutions, labels)
        givens = self.size(inputs, labels)
        new = inputs.copy()
        grown = constrained(rest[done], answers[done], self.box, rng)
        new[done] = thin(grown, answers[done], givens[done], grown != BLANK, self.box, rng)
        return new, answers, done

    def _cross(self, inputs: np.ndarray, labels: np.ndarray, mates: np.ndarray, rng: np.random.Generator) -> Children:
        """The answer of one puzzle with the given cells of another, which a random symmetry moved; givens are added
        until the answer is the only solution, and unneeded ones go down to the number of the other puzzle."""
        moved = random_symmetries(self.box, len(mates), rng).apply(mates)
        masked = np.where(moved != BLANK, labels, BLANK).astype(np.uint8)
        grown = constrained(masked, labels, self.box, rng)
        new = thin(grown, labels, self.size(mates, labels), grown != BLANK, self.box, rng)
        return new, labels, np.ones(len(new), bool)

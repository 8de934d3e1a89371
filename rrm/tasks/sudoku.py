"""The Sudoku family as a task: 4 x 4, 6 x 6 (boxes of 2 rows x 3 columns), 9 x 9 and 16 x 16 grids."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rrm.errors import InputError
from rrm.tasks.base import PuzzleSet
from rrm.tasks.checks import Place, refuse
from rrm.tasks.sudoku_box import BLANK, FIRST_DIGIT, PAD, Box
from rrm.tasks.sudoku_generator import dig, random_grids
from rrm.tasks.sudoku_solver import TooHard, count_solutions
from rrm.tasks.sudoku_symmetry import equivalence_classes, random_symmetries, symmetry_key
from rrm.tasks.symmetry import Symmetries
from rrm.tasks.text_form import TextForm

DIGITS = "123456789ABCDEFG"
MOST_DRAWS = 8192  # puzzles that are generated together
# Most guesses of the solver per puzzle of a file, and per file beyond that. 3,000 puzzles of a list of the hardest take
# 120 on average and 1483 at most, but a 16 x 16 grid can be made to take any number.
MOST_GUESSES, SPARE_GUESSES = 2_000, 200_000
EXHAUSTED = 0.01  # generation gives up when a smaller share of many draws is new


@dataclass(frozen=True)
class SudokuTask:
    """Sudoku as token grids: token = digit + 1, 1 = blank, 0 = padding; see `rrm.tasks.base.Task` for the methods.

    Text form: one character a cell, row by row, '.' or '0' for a blank, digits from 1, in 16 x 16 from A to G after 9.
    """

    name: str
    box: Box
    givens: tuple[int, int]  # default range for `generate`

    ignore_label_id = PAD
    augmentable = True

    @property
    def seq_len(self) -> int:
        return self.box.cells

    @property
    def vocab_size(self) -> int:
        return self.box.digits + FIRST_DIGIT

    @cached_property
    def _text(self) -> TextForm:
        digits = DIGITS[: self.box.digits]
        allowed = f"the digits 1 to {digits[-1]}, and '.' or '0' for a blank"
        return TextForm(self.name, self.seq_len, "." + digits, allowed, {"0": BLANK})

    def encode(self, text: str) -> np.ndarray:
        return self._text.encode(text)

    def decode(self, tokens: np.ndarray) -> str:
        return self._text.decode(tokens)

    def generate(self, count: int, seed: int, givens: int | tuple[int, int] | None = None) -> PuzzleSet:
        """`count` puzzles, no two equal up to symmetry. A puzzle that is minimal with more givens than drawn stays."""
        low, high = self._givens_range(givens)
        rng = np.random.Generator(np.random.Philox(seed))
        inputs = labels = np.zeros((0, self.seq_len), np.uint8)
        least = 32
        while len(inputs) < count:
            known = len(inputs)
            draws = min(max(count - known, least), MOST_DRAWS)
            answers = random_grids(self.box, draws, rng)
            puzzles = dig(answers, rng.integers(low, high + 1, draws), self.box, rng)
            inputs, labels = np.concatenate([inputs, puzzles]), np.concatenate([labels, answers])
            _, first = np.unique(self.equivalence_classes(inputs, labels), return_index=True)
            first.sort()
            inputs, labels = inputs[first], labels[first]
            share = (len(inputs) - known) / draws
            if len(inputs) < count and draws >= 1024 and share < EXHAUSTED:
                raise InputError(
                    f"{count} puzzles of {self.name} with {low} to {high} givens: only {len(inputs)} are found that "
                    f"differ up to symmetry; ask for fewer, for another number of givens or for a larger grid"
                )
            if share < 0.5:
                least = min(4 * least, MOST_DRAWS)
        return PuzzleSet.of(self.name, inputs[:count], labels[:count], source="generated")

    def _givens_range(self, givens: int | tuple[int, int] | None) -> tuple[int, int]:
        if givens is None:
            return self.givens
        bounds = list(givens) if isinstance(givens, (tuple, list)) else [givens, givens]
        if len(bounds) != 2 or not 0 <= bounds[0] <= bounds[1] <= self.seq_len:
            raise InputError(
                f"givens {givens} for {self.name}; give a number or a pair (low, high) inside 0 to {self.seq_len}"
            )
        return int(bounds[0]), int(bounds[1])

    def augment(
        self, inputs: np.ndarray, labels: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        symmetries = random_symmetries(self.box, len(inputs), rng)
        return symmetries.apply(inputs), symmetries.apply(labels)

    def symmetry(self, number: int, seed: Sequence[int]) -> Symmetries:
        return random_symmetries(self.box, 1, np.random.default_rng([*seed, number]))

    def symmetry_key(self, inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return symmetry_key(inputs, labels, self.box)

    def equivalence_classes(self, inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return equivalence_classes(inputs, labels, self.box)

    def check(self, puzzles: PuzzleSet, where: Place) -> None:
        inputs, labels = puzzles.inputs, puzzles.labels
        refuse(where, (inputs >= self.vocab_size) | (inputs == PAD), "a token of the puzzle is no cell of this task")
        refuse(where, (labels >= self.vocab_size) | (labels < FIRST_DIGIT), "a cell of the answer is not a digit")
        refuse(where, self._repeats(inputs), "the puzzle gives a digit twice in one row, column or box")
        wrong = (inputs != BLANK) & (inputs != labels)
        broken = self._missing(labels) > 0
        bad = np.flatnonzero(wrong.any(axis=1) | broken)
        if len(bad) and not self._solutions(inputs, bad[:1], 1, where)[0]:
            raise InputError(f"{where(int(bad[0]))}: the puzzle has no solution; correct or remove it")
        refuse(where, wrong, "the answer disagrees with a given cell")
        refuse(where, broken, "the answer breaks a row, column or box")
        everything = np.arange(len(inputs))
        refuse(where, self._solutions(inputs, everything, 2, where) > 1, "the puzzle has two or more solutions")

    def _solutions(self, inputs: np.ndarray, rows: np.ndarray, limit: int, where: Place) -> np.ndarray:
        """int [M]: solutions, up to `limit`, of the rows int [M]; InputError where they are too hard to count."""
        try:
            return count_solutions(inputs[rows], self.box, limit, MOST_GUESSES * len(rows) + SPARE_GUESSES)
        except TooHard as error:
            raise InputError(
                f"{where(int(rows[error.row]))}: {error.guesses} guesses do not show whether the puzzle has one "
                f"solution; correct or remove it"
            ) from None

    def score(self, inputs: np.ndarray, labels: np.ndarray, predictions: np.ndarray) -> dict[str, np.ndarray]:
        inputs, predictions = np.asarray(inputs), np.asarray(predictions)
        right = predictions == labels
        return {
            "exact": right.all(axis=1),
            "cells": right.mean(axis=1),
            "violations": self._missing(predictions),
            "changed_givens": ((inputs != BLANK) & (predictions != inputs)).sum(axis=1),
        }

    def _unit_counts(self, tokens: np.ndarray) -> np.ndarray:
        """int8 [N, 3N, digits]: how often each unit of token grids [N, S] holds each digit."""
        counts = np.zeros((len(tokens), len(self.box.units), self.box.digits), np.int8)
        for digit in range(self.box.digits):
            counts[:, :, digit] = (tokens == digit + FIRST_DIGIT)[:, self.box.units].sum(axis=2)
        return counts

    def _repeats(self, tokens: np.ndarray) -> np.ndarray:
        """bool [N]: whether a unit of token grids [N, S] holds a digit twice."""
        return self._unit_counts(tokens).max(axis=(1, 2)) > 1

    def _missing(self, tokens: np.ndarray) -> np.ndarray:
        """int [N]: digits that units of token grids [N, S] lack, summed over the units."""
        return (self._unit_counts(tokens) == 0).sum(axis=(1, 2))

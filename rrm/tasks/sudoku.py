"""The Sudoku family as a task: 4 x 4, 6 x 6 (boxes of 2 rows x 3 columns) and 9 x 9 grids."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rrm.errors import InputError
from rrm.tasks.base import PuzzleSet
from rrm.tasks.sudoku_box import BLANK, FIRST_DIGIT, PAD, Box
from rrm.tasks.sudoku_generator import dig, random_grids
from rrm.tasks.sudoku_solver import count_solutions
from rrm.tasks.sudoku_symmetry import apply_symmetries, canonical_form, equivalence_classes, random_symmetries

UNKNOWN = 255  # no token: the entry of characters that are not part of the text form
MOST_DRAWS = 8192  # puzzles that are generated together
EXHAUSTED = 0.01  # generation gives up when a smaller share of many draws is new


@dataclass(frozen=True)
class SudokuTask:
    """Sudoku as token grids: token = digit + 1, 1 = blank, 0 = padding; see `rrm.tasks.base.Task` for the methods.

    Text form: one character a cell, row by row, '.' or '0' for a blank, digits from 1.
    """

    name: str
    box: Box
    givens: tuple[int, int]  # default range for `generate`

    ignore_label_id = PAD

    @property
    def seq_len(self) -> int:
        return self.box.cells

    @property
    def vocab_size(self) -> int:
        return self.box.digits + FIRST_DIGIT

    @property
    def grid_shape(self) -> tuple[int, int]:
        return self.box.digits, self.box.digits

    @cached_property
    def _characters(self) -> str:
        return "?." + "".join(str(digit + 1) for digit in range(self.box.digits))

    @cached_property
    def _tokens(self) -> np.ndarray:
        """The token of every ASCII character."""
        table = np.full(128, UNKNOWN, np.uint8)
        table[ord("0")] = BLANK
        table[[ord(character) for character in self._characters[BLANK:]]] = np.arange(BLANK, self.vocab_size)
        return table

    def encode(self, text: str) -> np.ndarray:
        if len(text) != self.seq_len:
            raise InputError(f"{len(text)} characters for a {self.name} grid; give {self.seq_len}, one for each cell")
        tokens = self._tokens[np.frombuffer(text.encode("ascii", "replace"), np.uint8)]
        if (tokens == UNKNOWN).any():
            cell = int((tokens == UNKNOWN).argmax())
            raise InputError(
                f"unknown character {text[cell]!r} in cell {cell + 1} of a {self.name} grid; "
                f"use the digits 1 to {self.box.digits}, and '.' or '0' for a blank"
            )
        return tokens

    def decode(self, tokens: np.ndarray) -> str:
        return "".join(self._characters[token] for token in tokens)

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

    def _givens_range(self, givens):
        if givens is None:
            return self.givens
        bounds = [givens, givens] if np.isscalar(givens) else list(givens)
        if len(bounds) != 2 or not 0 <= bounds[0] <= bounds[1] <= self.seq_len:
            raise InputError(
                f"givens {givens} for {self.name}; give a number or a pair (low, high) inside 0 to {self.seq_len}"
            )
        return int(bounds[0]), int(bounds[1])

    def augment(self, inputs, labels, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        symmetries = random_symmetries(self.box, len(inputs), rng)
        return apply_symmetries(symmetries, inputs), apply_symmetries(symmetries, labels)

    def symmetry_key(self, inputs, labels) -> np.ndarray:
        forms = [canonical_form(puzzle, answer, self.box) for puzzle, answer in zip(inputs, labels, strict=True)]
        return np.array(forms, np.uint8).reshape(len(forms), self.seq_len)

    def equivalence_classes(self, inputs, labels) -> np.ndarray:
        return equivalence_classes(inputs, labels, self.box)

    def check(self, puzzles: PuzzleSet, where) -> None:
        inputs, labels = puzzles.inputs, puzzles.labels
        _refuse(where, (inputs >= self.vocab_size) | (inputs == PAD), "a token of the puzzle is no cell of this task")
        _refuse(where, (labels >= self.vocab_size) | (labels < FIRST_DIGIT), "a cell of the answer is not a digit")
        _refuse(where, self._repeats(inputs), "the puzzle gives a digit twice in one row, column or box")
        wrong = (inputs != BLANK) & (inputs != labels)
        broken = self._missing(labels) > 0
        bad = np.flatnonzero(wrong.any(axis=1) | broken)
        if len(bad) and not count_solutions(inputs[bad[:1]], self.box, limit=1)[0]:
            raise InputError(f"{where(int(bad[0]))}: the puzzle has no solution; correct or remove it")
        _refuse(where, wrong, "the answer disagrees with a given cell")
        _refuse(where, broken, "the answer breaks a row, column or box")
        _refuse(where, count_solutions(inputs, self.box) > 1, "the puzzle has two or more solutions")

    def score(self, inputs, labels, predictions) -> dict[str, np.ndarray]:
        inputs, predictions = np.asarray(inputs), np.asarray(predictions)
        right = predictions == labels
        return {
            "exact": right.all(axis=1),
            "cells": right.mean(axis=1),
            "violations": self._missing(predictions),
            "changed_givens": ((inputs != BLANK) & (predictions != inputs)).sum(axis=1),
        }

    def _unit_counts(self, tokens):
        """int8 [N, 3N, digits]: how often each unit of token grids [N, S] holds each digit."""
        counts = np.zeros((len(tokens), len(self.box.units), self.box.digits), np.int8)
        for digit in range(self.box.digits):
            counts[:, :, digit] = (tokens == digit + FIRST_DIGIT)[:, self.box.units].sum(axis=2)
        return counts

    def _repeats(self, tokens):
        return (self._unit_counts(tokens) > 1).any(axis=(1, 2))

    def _missing(self, tokens):
        return (self._unit_counts(tokens) == 0).sum(axis=(1, 2))


def _refuse(where, bad, rule):
    """InputError for the first row of bool [N] or [N, S] with a true value."""
    rows = np.flatnonzero(bad if bad.ndim == 1 else bad.any(axis=1))
    if len(rows):
        raise InputError(f"{where(int(rows[0]))}: {rule}; correct or remove the puzzle")

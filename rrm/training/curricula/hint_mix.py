"""Puzzles with extra clues beside the puzzles themselves: a continuous difficulty of every puzzle."""

from dataclasses import dataclass

import numpy as np

from rrm.errors import InputError
from rrm.training.curricula.uniform import Uniform


@dataclass(frozen=True)
class HintMix(Uniform):
    """All puzzles alike, some of them with a part of the answer filled in (Ren and Liu, arXiv 2601.10679).

    share: of the rows that get hints, each of them a uniform number from 1 to all but one of the cells that differ from
    the answer.
    """

    share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise InputError(f"share is {self.share}: use a share of the rows from 0 to 1")

    def transform(
        self, inputs: np.ndarray, labels: np.ndarray, progress: float, rng: np.random.Generator
    ) -> np.ndarray:
        open_cells = inputs != labels
        blanks = open_cells.sum(1)
        hints = 1 + (rng.random(len(inputs)) * (blanks - 1)).astype(np.int64)
        hints = np.where((rng.random(len(inputs)) < self.share) & (blanks > 1), hints, 0)
        # The open cells of a row in random order, those of low rank are filled in.
        rank = np.where(open_cells, rng.random(inputs.shape), np.inf).argsort(1).argsort(1)
        return np.where(rank < hints[:, None], labels, inputs)

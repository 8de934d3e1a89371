"""Symmetries of puzzles as maps of tokens: to a symmetric copy, and back."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Symmetries:
    """B symmetries of one task, one for each row of a batch: cells move, and tokens get other names.

    Cell s of the copy of grid b is tokens[b, grid[sources[b, s]]].

    Attributes:
        sources: [B, S] int64, for every cell of a copy the cell it comes from; a permutation of the cells.
        tokens: [B, V] uint8, the token that every token becomes; a permutation of the tokens.
    """

    sources: np.ndarray
    tokens: np.ndarray

    @classmethod
    def stack(cls, each: Sequence["Symmetries"]) -> "Symmetries":
        """The symmetries of several batches as one batch."""
        return cls(np.concatenate([one.sources for one in each]), np.concatenate([one.tokens for one in each]))

    def apply(self, grids: np.ndarray) -> np.ndarray:
        """The copies of token grids [B, S]."""
        return np.take_along_axis(self.tokens, np.take_along_axis(grids, self.sources, axis=1), axis=1)

    def inverse(self) -> "Symmetries":
        """The symmetries that lead back: `symmetries.inverse().apply(symmetries.apply(grids))` is `grids`."""
        return Symmetries(self.sources.argsort(axis=1), self.tokens.argsort(axis=1).astype(np.uint8))

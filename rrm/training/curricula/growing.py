"""Curricula whose share of the puzzles grows: in the order of difficulty, against it, and in no order at all.

Random pacing is the control without which nothing can be said of an order: its set of puzzles grows as fast. Wu, Dyer
and Neyshabur (arXiv 2012.03107) found the gain of curricula to be that of the growth.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rrm.errors import InputError
from rrm.tasks.base import PuzzleSet
from rrm.training.curricula.belief import Belief
from rrm.training.curricula.curriculum import Curriculum

# Ends the seed of the random order, which is so none of the seeds of batches.
_ORDER = 3


@dataclass(frozen=True)
class Growing(Curriculum):
    """The first puzzles of an order, all alike. start: their share at the begin.  full: share of the training after
    which all puzzles are in; in between the share grows linearly.
    """

    start: float = 0.15
    full: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.start <= 1:
            raise InputError(f"start is {self.start}: use a share of the puzzles above 0, at most 1")
        if not 0 <= self.full <= 1:
            raise InputError(f"full is {self.full}: use a share of the training from 0 to 1")

    @abstractmethod
    def order(self, puzzles: PuzzleSet, seed: int) -> np.ndarray:
        """int [N]: the puzzles in the order in which they come in."""

    def weights(self, belief: Belief, puzzles: PuzzleSet, progress: float, seed: int) -> np.ndarray:
        share = self.start + (1 - self.start) * min(1.0, progress / self.full if self.full else 1.0)
        weights = np.zeros(len(puzzles))
        weights[self.order(puzzles, seed)[: max(1, round(share * len(puzzles)))]] = 1
        return weights


@dataclass(frozen=True)
class RandomPacing(Growing):
    """A random order, another one for every training seed."""

    def order(self, puzzles: PuzzleSet, seed: int) -> np.ndarray:
        return np.random.default_rng([seed, _ORDER]).permutation(len(puzzles))


@dataclass(frozen=True)
class EasyToHard(Growing):
    """The puzzles of low rating first."""

    rated: ClassVar[bool] = True

    def order(self, puzzles: PuzzleSet, seed: int) -> np.ndarray:
        return np.argsort(puzzles.rating, kind="stable")


@dataclass(frozen=True)
class HardToEasy(Growing):
    """The puzzles of high rating first."""

    rated: ClassVar[bool] = True

    def order(self, puzzles: PuzzleSet, seed: int) -> np.ndarray:
        return np.argsort(-puzzles.rating, kind="stable")

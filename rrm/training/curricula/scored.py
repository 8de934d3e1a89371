"""Curricula that draw puzzles by a score of their outcomes, and part of the rows from all puzzles alike."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rrm.errors import InputError
from rrm.tasks.base import PuzzleSet
from rrm.training.curricula.belief import Belief
from rrm.training.curricula.curriculum import Curriculum


@dataclass(frozen=True)
class Scored(Curriculum):
    """uniform: share of the rows that come from all puzzles alike, whatever their score; all rows do where no puzzle
    has a score yet. Without such rows a puzzle of score 0 would never come again.
    """

    uniform: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.uniform <= 1:
            raise InputError(f"uniform is {self.uniform}: use a share of the rows above 0, at most 1")

    @abstractmethod
    def score(self, belief: Belief) -> np.ndarray:
        """float64 [N], 0 or more: the rest of the rows are in proportion to it."""

    def weights(self, belief: Belief, puzzles: PuzzleSet, progress: float, seed: int) -> np.ndarray:
        score = self.score(belief)
        if not score.any():
            return np.ones(len(puzzles))
        return self.uniform / len(score) + (1 - self.uniform) * score / score.sum()


@dataclass(frozen=True)
class Learnability(Scored):
    """p (1 - p): puzzles that half of the attempts solve (SFL, arXiv 2408.15099).

    A reasoner without noise solves a puzzle or not, so p is that of the noisy attempts of the hook "trials". The
    estimate is unbiased (`Belief.learnability`); a puzzle keeps that of its last attempts.
    """

    needs_trials: ClassVar[int] = 2

    def score(self, belief: Belief) -> np.ndarray:
        return belief.learnability


@dataclass(frozen=True)
class LearningProgress(Scored):
    """|change of p|: puzzles that were solved more or less often in the last window than in the one before.

    Lives on the outcomes of training itself, often one a window: what has just been learned or forgotten comes again.
    """

    def score(self, belief: Belief) -> np.ndarray:
        return np.nan_to_num(np.abs(belief.p_hat - belief.earlier_p_hat))

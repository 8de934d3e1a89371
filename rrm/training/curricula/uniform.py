"""The control of every curriculum: all puzzles alike."""

from dataclasses import dataclass

import numpy as np

from rrm.tasks.base import PuzzleSet
from rrm.training.curricula.belief import Belief
from rrm.training.curricula.curriculum import Curriculum


@dataclass(frozen=True)
class Uniform(Curriculum):
    """Every puzzle as often as any other. Nothing to set."""

    def weights(self, belief: Belief, puzzles: PuzzleSet, progress: float, seed: int) -> np.ndarray:
        return np.ones(len(puzzles))

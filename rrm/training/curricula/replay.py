"""Prioritised level replay (Jiang, Grefenstette and Rocktaeschel, arXiv 2010.03934): failures, and what is long ago."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from rrm.errors import InputError
from rrm.tasks.base import PuzzleSet
from rrm.training.curricula.belief import Belief
from rrm.training.curricula.curriculum import Curriculum


@dataclass(frozen=True)
class Replay(Curriculum):
    """Draws a puzzle in proportion to 1 / rank^(1 / temperature), and by the rounds since it was seen.

    The rank is that of its share of failures in the last window; equal shares have the mean of their ranks, and a
    puzzle that was never seen counts as failed.

    temperature: of the ranks.  staleness: share of the rows that go by age.
    """

    temperature: float = 1.0
    staleness: float = 0.3

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise InputError(f"temperature is {self.temperature}: it must be positive")
        if not 0 <= self.staleness <= 1:
            raise InputError(f"staleness is {self.staleness}: use a share of the rows from 0 to 1")

    def weights(self, belief: Belief, puzzles: PuzzleSet, progress: float, seed: int) -> np.ndarray:
        failures = 1 - np.nan_to_num(belief.p_hat)
        by_rank = rankdata(-failures) ** (-1 / self.temperature)
        age = (belief.round - belief.last_seen).astype(np.float64)
        return (1 - self.staleness) * by_rank / by_rank.sum() + self.staleness * age / age.sum()

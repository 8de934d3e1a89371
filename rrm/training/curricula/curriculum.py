"""The contract of a curriculum: a distribution over the training puzzles, fed by outcomes, apart from the trainer."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rrm.errors import InputError
from rrm.tasks.base import PuzzleSet, Task
from rrm.training.curricula.belief import Belief
from rrm.training.part import PartSettings


@dataclass(frozen=True)
class Curriculum(PartSettings, ABC):
    """Which puzzles the coming round of a training should draw, and how often. Settings are plain values.

    rated: whether the curriculum reads the ratings of the puzzles.
    needs_trials: attempts at a puzzle without which the curriculum knows nothing of it; 0 for a curriculum that lives
        on the outcomes of training itself. Attempts are the work of the hook "trials", which pays for them.
    """

    rated: ClassVar[bool] = False
    needs_trials: ClassVar[int] = 0

    def check(self, puzzles: PuzzleSet, task: Task) -> None:
        """InputError where the curriculum cannot work on these training puzzles."""
        if self.rated and np.isnan(puzzles.rating).any():
            unknown = int(np.isnan(puzzles.rating).sum())
            raise InputError(
                f"{unknown} of {len(puzzles)} training puzzles of {task.name} have no rating, and the curriculum "
                "orders them by it: make a rated set with python -m rrm puzzles, or use a curriculum without ratings"
            )

    @abstractmethod
    def weights(self, belief: Belief, puzzles: PuzzleSet, progress: float, seed: int) -> np.ndarray:
        """float64 [N], 0 or more and not all 0: how often to draw each puzzle. Pure.

        Args:
            belief: outcomes so far; `belief.round` is the round that begins.
            puzzles: the N training puzzles.
            progress: share of the training that is done, 0 to 1.
            seed: of the training.
        """

    def transform(
        self, inputs: np.ndarray, labels: np.ndarray, progress: float, rng: np.random.Generator
    ) -> np.ndarray:
        """The inputs [B, S] that training shows in place of `inputs`; labels [B, S] stay. Default: the same."""
        return inputs

"""What a curriculum knows of its puzzles: counts of attempts and of those that solved them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor


@dataclass(frozen=True)
class Belief:
    """Outcomes of attempts at N puzzles, and the weights by which a round draws them. Plain arrays alone.

    An ability changes, so outcomes count by *window*: the window of a puzzle is its newest round with outcomes, and the
    window before that is kept beside it. Counts add up: neither the order of outcomes nor the worker that saw them
    matters.

    Attributes:
        successes, trials: int64 [N], of the window of each puzzle.
        earlier_successes, earlier_trials: int64 [N], of the window before.
        last_seen: int64 [N], round of the window; -1 for a puzzle that was never tried.
        round: the round that runs, from 0; -1 before the first.
        weights: float64 [N], with sum 1, frozen for the round.
    """

    successes: np.ndarray
    trials: np.ndarray
    earlier_successes: np.ndarray
    earlier_trials: np.ndarray
    last_seen: np.ndarray
    round: int
    weights: np.ndarray

    @classmethod
    def blank(cls, count: int) -> Self:
        """The belief of `count` puzzles that nobody tried."""
        none = np.zeros(count, np.int64)
        return cls(none, none, none, none, np.full(count, -1, np.int64), -1, np.full(count, 1 / count))

    def observe(self, rows: ArrayLike, solved: ArrayLike) -> Self:
        """The belief after more outcomes in the round that runs.

        Args:
            rows: int [M], the puzzle of each outcome; a puzzle may come several times, -1 is passed over.
            solved: bool [M].
        """
        rows, solved = np.asarray(rows, np.int64), np.asarray(solved, bool)
        rows, solved = rows[rows >= 0], solved[rows >= 0]
        tried = np.zeros(len(self.trials), bool)
        tried[rows] = True
        opens = tried & (self.last_seen < self.round)
        successes, trials = (np.where(opens, 0, counts) for counts in (self.successes, self.trials))
        np.add.at(successes, rows, solved)
        np.add.at(trials, rows, 1)
        return replace(
            self,
            successes=successes,
            trials=trials,
            earlier_successes=np.where(opens, self.successes, self.earlier_successes),
            earlier_trials=np.where(opens, self.trials, self.earlier_trials),
            last_seen=np.where(tried, self.round, self.last_seen),
        )

    @property
    def p_hat(self) -> np.ndarray:
        """float64 [N]: share of the window's attempts that solved the puzzle; nan where there was none."""
        return _share(self.successes, self.trials)

    @property
    def earlier_p_hat(self) -> np.ndarray:
        """float64 [N]: `p_hat` of the window before."""
        return _share(self.earlier_successes, self.earlier_trials)

    @property
    def learnability(self) -> np.ndarray:
        """float64 [N]: s (K - s) / (K (K - 1)) of s successes in K attempts, the unbiased estimate of p (1 - p).

        0 where K is below 2. The mean of s (K - s) / K^2 would be p (1 - p) (1 - 1 / K).
        """
        s, K = self.successes.astype(np.float64), self.trials
        return np.where(K < 2, 0.0, s * (K - s) / np.maximum(K * (K - 1), 1))

    def tensors(self) -> dict[str, Tensor]:
        """The belief as tensors, for a checkpoint."""
        return {field.name: torch.as_tensor(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """The belief that `tensors` gave."""
        held: dict[str, Any] = {field.name: tensors[field.name].cpu().numpy() for field in fields(cls)}
        return cls(**held | {"round": int(held["round"])})


def _share(successes: np.ndarray, trials: np.ndarray) -> np.ndarray:
    return np.divide(successes, trials, out=np.full(len(trials), np.nan), where=trials > 0)

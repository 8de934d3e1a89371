"""Equal shares of easy, middling and hard puzzles from the first batch to the last: diversity without an order."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rrm.errors import InputError
from rrm.tasks.base import PuzzleSet, Task
from rrm.training.curricula.belief import Belief
from rrm.training.curricula.curriculum import Curriculum


@dataclass(frozen=True)
class MixedTiers(Curriculum):
    """tiers: parts of the range of ratings, each with an equal share of the rows.

    The range is that between the lowest and the highest twentieth of the ratings, cut into parts of equal width: with
    equally many puzzles in each part equal shares would be those of all puzzles alike.
    """

    rated: ClassVar[bool] = True

    tiers: int = 3

    def __post_init__(self) -> None:
        if type(self.tiers) is not int or self.tiers < 2:
            raise InputError(f"tiers is {self.tiers!r}: use a number of tiers from 2")

    def tier(self, rating: np.ndarray) -> np.ndarray:
        """int [N]: tier of each puzzle, 0 the easiest."""
        low, high = np.quantile(rating, (0.05, 0.95))
        return np.searchsorted(np.linspace(low, high, self.tiers + 1)[1:-1], rating, side="right")

    def check(self, puzzles: PuzzleSet, task: Task) -> None:
        super().check(puzzles, task)
        sizes = np.bincount(self.tier(puzzles.rating), minlength=self.tiers)
        if not sizes.all():
            raise InputError(
                f"tier {int(np.flatnonzero(sizes == 0)[0]) + 1} of {self.tiers} is empty: of {len(puzzles)} training "
                f"puzzles the tiers have {', '.join(map(str, sizes))}; use fewer tiers, or puzzles whose ratings "
                "spread more"
            )

    def weights(self, belief: Belief, puzzles: PuzzleSet, progress: float, seed: int) -> np.ndarray:
        tier = self.tier(puzzles.rating)
        return (1 / np.bincount(tier, minlength=self.tiers).clip(min=1))[tier]

"""Rounds of a dream loop, from the curves of its trainings."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rrm.curves import Curves
from rrm.statistics.hypotheses import mean_over_seeds
from rrm.statistics.interval import Interval

HEAD = "dream/"


@dataclass(frozen=True)
class Rounds:
    """The rounds of the trainings of one arm.

    Attributes:
        arm: its name.
        series: float64 [seeds, rounds] by name, without "dream/"; seeds that made fewer rounds have nan behind them.
    """

    arm: str
    series: Mapping[str, np.ndarray]

    @property
    def count(self) -> int:
        """The most rounds of a training."""
        return next(iter(self.series.values())).shape[1]

    def mean(self, name: str, number: int) -> Interval:
        """Mean over seeds of a number of round `number`, with its interval by Student's t."""
        values = self.series[name][:, number]
        return mean_over_seeds(values[~np.isnan(values)])

    def records(self, seed: int) -> list[dict[str, float]]:
        """The rounds of one training, as the loop keeps them."""
        rows = [{name: float(values[seed, n]) for name, values in self.series.items()} for n in range(self.count)]
        return [row for row in rows if not np.isnan(row["sigma"])]


def rounds_of(arm: str, curves: list[Curves]) -> Rounds | None:
    """The rounds of the trainings of an arm; None where none made one."""
    made = [found for one in curves if (found := _of_training(one))]
    if not made:
        return None
    count = max(len(found["sigma"]) for found in made)
    names = [name for name in made[0] if all(name in found for found in made)]

    def padded(values: np.ndarray) -> np.ndarray:
        return np.pad(values, (0, count - len(values)), constant_values=np.nan)

    return Rounds(arm, {name: np.array([padded(found[name]) for found in made]) for name in names})


def _of_training(curves: Curves) -> dict[str, np.ndarray]:
    """[rounds] by name. Evaluations repeat the numbers of the last round, so the first row of each round counts."""
    if f"{HEAD}round" not in curves:
        return {}
    steps, numbers = curves[f"{HEAD}round"]
    _, first = np.unique(numbers, return_index=True)
    at = steps[first]
    found = {}
    for name, (own, values) in curves.items():
        if name.startswith(HEAD) and name != f"{HEAD}round":
            place = np.searchsorted(own, at)
            if (place < len(own)).all() and (own[place] == at).all():
                found[name.removeprefix(HEAD)] = values[place]
    return found

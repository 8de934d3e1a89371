"""One trained model of a sweep over the perturbation size, and the choice among several."""

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class SweepPoint:
    """Exact accuracy of one training run on the test puzzles.

    Attributes:
        model: model type, such as "TRM".
        sigma: standard deviation of the perturbation, in units of the state; 0 is the baseline.
        best: test accuracy, as a fraction, of the checkpoint that was best on validation.
        final: test accuracy, as a fraction, of the last checkpoint.
        n: number of test puzzles.
        stopped_early: the run ended before its budget.
        validation: validation accuracy, as a fraction, of the best checkpoint; None when it was not kept.

    Raises:
        ValueError: an accuracy outside [0, 1], a negative sigma, or no puzzles.
    """

    model: str
    sigma: float
    best: float
    final: float
    n: int
    stopped_early: bool
    validation: float | None = None

    def __post_init__(self):
        for name in ("best", "final", "validation"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{self.model}, sigma {self.sigma}: {name} must be a fraction in [0, 1]; got {value}")
        if not (math.isfinite(self.sigma) and self.sigma >= 0):
            raise ValueError(f"{self.model}: sigma must be finite and not negative; got {self.sigma}")
        if self.n < 1:
            raise ValueError(f"{self.model}, sigma {self.sigma}: needs at least one test puzzle; got {self.n}")


def by_model(points: Iterable[SweepPoint]) -> dict[str, list[SweepPoint]]:
    """The points of each model type, in order of first appearance, sorted by sigma."""
    groups: dict[str, list[SweepPoint]] = {}
    for point in points:
        groups.setdefault(point.model, []).append(point)
    return {model: sorted(group, key=lambda point: point.sigma) for model, group in groups.items()}


def select(points: Iterable[SweepPoint]) -> tuple[SweepPoint | None, bool]:
    """The point that was best on validation, and whether validation could decide.

    Where a validation accuracy is missing, the test accuracy of the best checkpoint decides and the second value is
    False: the chosen accuracy is then too high by the luck of the draw. A single point needs no choice. None without
    points.
    """
    points = list(points)
    if len(points) < 2:
        return (points[0] if points else None), True
    if any(point.validation is None for point in points):
        return max(points, key=lambda point: point.best), False
    return max(points, key=lambda point: point.validation), True

"""One trained model of a sweep, and the choice among several."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class SweepPoint:
    """Exact accuracy of one training run on the test puzzles.

    Attributes:
        model: model type, such as "TRM".
        arm: name of the configuration without model and seed; comparisons are between arms.
        best: test accuracy, as a fraction, of the checkpoint that was best on validation.
        final: test accuracy, as a fraction, of the last checkpoint.
        n: number of test puzzles; None where the objective of the training brought its own data.
        stopped_early: the run ended before its budget.
        baseline: the arm is the baseline of its model type.
        settings: the settings that define the arm, by name and in any number, such as sigma (the standard deviation
            of a perturbation in units of the state).
        validation: validation accuracy, as a fraction, of the best checkpoint; None when it was not kept.
        seed: training seed.
        area: mean validation accuracy, as a fraction, over the evaluations, which are evenly spaced in the budget: the
            area under the learning curve. None when it was not kept.
        call_units: compute of training: a forward call of the network on one row is 1, a backward call 2. None when it
            was not counted.
        drawn: the configuration was drawn by a search that chooses by this very run.
        best_at_halting, final_at_halting: as `best` and `final`, where each answer is read
            as soon as the Q head says halt; None without a Q head and when it was not kept.
        finished: number of puzzles that halted in training, repeats included; None when it was not counted.
        segments_per_puzzle: mean number of segments that these puzzles took; None without segments and when it was not
            counted.
        solved: of each test puzzle, whether the checkpoint that was best on validation solves it, one byte a puzzle, 0
            or 1; None when it was not kept.
        cells: share of right cells, as a fraction, of the checkpoint that was best on validation; None when it was not
            kept.
        along_shortest: as `solved`, of mazes: whether the answer is any shortest path; None for a task whose puzzles
            have one right answer.

    Raises:
        ValueError: no name, an accuracy outside [0, 1], no puzzles, or compute that is not positive.
    """

    model: str
    arm: str
    best: float
    final: float
    n: int | None
    stopped_early: bool
    baseline: bool = False
    settings: Mapping[str, object] = field(default_factory=dict)
    validation: float | None = None
    seed: int = 0
    area: float | None = None
    call_units: float | None = None
    drawn: bool = False
    best_at_halting: float | None = None
    final_at_halting: float | None = None
    finished: int | None = None
    segments_per_puzzle: float | None = None
    solved: bytes | None = field(default=None, repr=False)
    along_shortest: bytes | None = field(default=None, repr=False)
    cells: float | None = None

    @property
    def puzzles(self) -> int:
        """`n`; ValueError where the accuracies are no shares of a known number of test puzzles."""
        if self.n is None:
            raise ValueError(f"{self.model}, {self.arm}: accuracies of data of its own have no interval over puzzles")
        return self.n

    def __post_init__(self) -> None:
        if not self.arm:
            raise ValueError(f"{self.model}: the arm has no name, and arms are compared by name")
        for name in ("best", "final", "validation", "area", "best_at_halting", "final_at_halting"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{self.model}, {self.arm}: {name} must be a fraction in [0, 1]; got {value}")
        if self.n is not None and self.n < 1:
            raise ValueError(f"{self.model}, {self.arm}: needs at least one test puzzle; got {self.n}")
        if self.call_units is not None and not (math.isfinite(self.call_units) and self.call_units > 0):
            raise ValueError(f"{self.model}, {self.arm}: call_units must be positive; got {self.call_units}")
        if self.solved is not None and len(self.solved) != self.n:
            raise ValueError(f"{self.model}: {len(self.solved)} outcomes are kept of {self.n} test puzzles")


def pack_outcomes(solved: ArrayLike) -> bytes:
    """Booleans [N] as bits; packed parts can be joined where all but the last have full bytes."""
    return np.packbits(np.asarray(solved, bool)).tobytes()


def unpack_outcomes(bits: bytes, n: int) -> bytes:
    """The `n` outcomes of `pack_outcomes`, as `SweepPoint.solved` holds them; ValueError for bits of another number."""
    if len(bits) != -(-n // 8):
        raise ValueError(f"{len(bits)} bytes do not hold the outcomes of {n} puzzles, one bit each")
    return np.unpackbits(np.frombuffer(bits, np.uint8), count=n).tobytes()


def by_model(points: Iterable[SweepPoint]) -> dict[str, list[SweepPoint]]:
    """The points of each model type, in order of first appearance."""
    groups: dict[str, list[SweepPoint]] = {}
    for point in points:
        groups.setdefault(point.model, []).append(point)
    return groups


def select(points: Iterable[SweepPoint]) -> tuple[SweepPoint | None, bool]:
    """The point that was best on validation, and whether validation could decide.

    Where a validation accuracy is missing, the test accuracy of the best checkpoint decides and the second value is
    False: the chosen accuracy is then too high by the luck of the draw. A single point needs no choice. None without
    points.
    """
    points = list(points)
    if len(points) < 2:
        return (points[0] if points else None), True
    judged = [(point.validation, point) for point in points if point.validation is not None]
    if len(judged) < len(points):
        return max(points, key=lambda point: point.best), False
    return max(judged, key=lambda pair: pair[0])[1], True

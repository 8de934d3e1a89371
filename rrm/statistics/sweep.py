"""One trained model of a sweep over the perturbation size, and the choice among several."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

# The halves of the state that a perturbation can act on.
LOCATIONS = ("both", "z_H", "z_L")


@dataclass(frozen=True)
class SweepPoint:
    """Exact accuracy of one training run on the test puzzles.

    Attributes:
        model: model type, such as "TRM".
        sigma: standard deviation of the perturbation, in units of the state; 0 where training has no noise.
        best: test accuracy, as a fraction, of the checkpoint that was best on validation.
        final: test accuracy, as a fraction, of the last checkpoint.
        n: number of test puzzles.
        stopped_early: the run ended before its budget.
        validation: validation accuracy, as a fraction, of the best checkpoint; None when it was not kept.
        kind: name of the perturbation, "none" for unperturbed training. "clean_copies" is the control with the compute
            of a perturbed arm and no noise. Where only a sigma above 0 is given, "initial_state".
        location: the half of the state that is perturbed, "both", "z_H" or "z_L".
        flossing: name of the flossing schedule, with its changed settings if there are any; "none" without.
        seed: training seed.
        area: mean validation accuracy, as a fraction, over the evaluations, which are evenly spaced in the budget: the
            area under the learning curve. None when it was not kept.
        call_units: compute of training: a forward call of the network on one row is 1, a backward call 2. None when it
            was not counted.
        drawn: the configuration was drawn by a search that chooses by this very run.
        arm: name of the configuration without model and seed; made of sigma, kind, location and flossing if not given.
        solved: of each test puzzle, whether the checkpoint that was best on validation solves it, one byte a puzzle, 0
            or 1; None when it was not kept.

    Raises:
        ValueError: an accuracy outside [0, 1], a negative sigma, no puzzles, compute that is not positive, or another
            location.
    """

    model: str
    sigma: float
    best: float
    final: float
    n: int
    stopped_early: bool
    validation: float | None = None
    kind: str = "none"
    location: str = "both"
    flossing: str = "none"
    seed: int = 0
    area: float | None = None
    call_units: float | None = None
    drawn: bool = False
    arm: str = ""
    solved: bytes | None = field(default=None, repr=False)

    def __post_init__(self):
        for name in ("best", "final", "validation", "area"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{self.model}, sigma {self.sigma}: {name} must be a fraction in [0, 1]; got {value}")
        if not (math.isfinite(self.sigma) and self.sigma >= 0):
            raise ValueError(f"{self.model}: sigma must be finite and not negative; got {self.sigma}")
        if self.n < 1:
            raise ValueError(f"{self.model}, sigma {self.sigma}: needs at least one test puzzle; got {self.n}")
        if self.call_units is not None and not (math.isfinite(self.call_units) and self.call_units > 0):
            raise ValueError(f"{self.model}, sigma {self.sigma}: call_units must be positive; got {self.call_units}")
        if self.solved is not None and len(self.solved) != self.n:
            raise ValueError(f"{self.model}: {len(self.solved)} outcomes are kept of {self.n} test puzzles")
        if self.location not in LOCATIONS:
            raise ValueError(f"{self.model}: location must be one of {', '.join(LOCATIONS)}; got {self.location!r}")
        if self.kind == "none" and self.sigma > 0:
            object.__setattr__(self, "kind", "initial_state")
        if not self.arm:
            object.__setattr__(self, "arm", self.intervention)

    @property
    def baseline(self) -> bool:
        """Whether nothing was changed in training: no perturbation, also no copies without noise, and no flossing."""
        return self.kind == "none" and self.flossing == "none"

    @property
    def intervention(self) -> str:
        """What was changed in training, in words: "every call σ = 0.1 on z_L, flossing pre"."""
        return arm_name(self.kind, self.sigma, self.location, self.flossing)


def arm_name(kind: str, sigma: float, location: str, flossing: str) -> str:
    """An intervention in words, "baseline" for none; arguments as the attributes of `SweepPoint`."""
    noise = [kind.replace("_", " ")] if kind != "none" else []
    noise += [f"σ = {sigma:g}"] if sigma > 0 else []
    noise += [f"on {location}"] if location != "both" else []
    words = [" ".join(noise)] if noise else []
    words += [f"flossing {flossing.replace('_', ' ')}"] if flossing != "none" else []
    return ", ".join(words) or "baseline"


def pack_outcomes(solved: ArrayLike) -> bytes:
    """Booleans [N] as bits; packed parts can be joined where all but the last have full bytes."""
    return np.packbits(np.asarray(solved, bool)).tobytes()


def unpack_outcomes(bits: bytes, n: int) -> bytes:
    """The `n` outcomes of `pack_outcomes`, as `SweepPoint.solved` holds them; ValueError for bits of another number."""
    if len(bits) != -(-n // 8):
        raise ValueError(f"{len(bits)} bytes do not hold the outcomes of {n} puzzles, one bit each")
    return np.unpackbits(np.frombuffer(bits, np.uint8), count=n).tobytes()


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

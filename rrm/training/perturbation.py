"""Trajectory perturbation: rollouts through noisy latent states that learn the same target as a clean one.

One class spans the published methods; `PRESETS` holds their settings by name.
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from rrm.errors import InputError
from rrm.halves import CHOICES, halves
from rrm.training.noise import Noise

TIMES = ("initial_state", "every_segment", "every_call")

# Settings by published name. PTRM (arXiv 2605.19943) has its noise at test time only; here it trains.
PRESETS: dict[str, dict[str, Any]] = {
    "multi4": {"time": "initial_state", "sigma": 1e-3, "copies": 3},
    "single": {"time": "initial_state", "sigma": 1e-3, "clean_branch": False},
    "ptrm_segment": {"time": "every_segment", "location": "z_L", "sigma": 0.3, "clean_branch": False},
}

# EqR (arXiv 2605.21488) is a model, not a way to train one: it is damped and noisy in evaluation too.
EQR = {"damping": 0.95, "call_noise": 0.01, "random_start": True}


@dataclass(frozen=True)
class TrajectoryPerturbation:
    """Gaussian noise on the latent state of some rollouts of every puzzle; the loss is averaged over its rollouts.

    location: "z_H", "z_L" or "both".
    time: "initial_state"; "every_segment", on the state that a segment starts from, the first one included; or
        "every_call", on the half that a network call has just replaced, so that the readout sees it (as in EqR).
    sigma: standard deviation of the noise; states have RMS 1. 0 is the baseline: one rollout, bitwise the unperturbed
        training.
    sigma_low: each perturbed trajectory draws its own scale, log-uniform between `sigma_low` and `sigma`.
    clean_share: the probability with which a perturbed trajectory gets no noise at all.
    warmup, ramp: shares of training; the noise is 0 in the warm-up, rises linearly over the ramp and is full after it.
    copies: perturbed rollouts.  clean_branch: whether a rollout without noise runs beside them. Halting and metrics
        follow the first rollout: the clean one, where there is one.
    copies_at_zero: run the copies at sigma 0 as well. That is the control which has the puzzles and the network calls
        of a perturbed arm but no noise; it trains what one rollout does, up to rounding.

    A trajectory keeps the scale it drew, and its being clean, from its refill to its halting.
    """

    sigma: float = 0.0
    copies: int = 1
    location: str = "both"
    time: str = "initial_state"
    clean_branch: bool = True
    sigma_low: float | None = None
    clean_share: float = 0.0
    warmup: float = 0.0
    ramp: float = 0.0
    copies_at_zero: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.sigma) and self.sigma >= 0):
            raise InputError(f"sigma is {self.sigma}: the noise scale must be 0 (baseline) or a positive number")
        if self.copies < 1:
            raise InputError(f"copies is {self.copies}: use at least 1 perturbed rollout (sigma 0 runs none)")
        for name, allowed in (("location", CHOICES), ("time", TIMES)):
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} {getattr(self, name)!r} is unknown: use one of {', '.join(allowed)}")
        # A sweep may hold the lower bound fixed and set sigma to 0 for its baseline.
        if self.sigma_low is not None and self.sigma > 0 and not 0 < self.sigma_low <= self.sigma:
            raise InputError(f"sigma_low is {self.sigma_low}: it must be positive and not above sigma {self.sigma}")
        if not 0 <= self.clean_share < 1:
            raise InputError(f"clean_share is {self.clean_share}: it must be a probability below 1")
        if not (self.warmup >= 0 and self.ramp >= 0 and self.warmup + self.ramp <= 1):
            raise InputError(f"warmup {self.warmup} and ramp {self.ramp} are shares of training: use at most 1 in all")

    @property
    def trajectories(self) -> int:
        """Rollouts a puzzle costs; call units are multiplied by it."""
        if self.sigma == 0 and not self.copies_at_zero:
            return 1
        return self.copies + self.clean_branch

    @property
    def perturbed(self) -> int:
        """How many of the rollouts get noise: the last ones."""
        return self.trajectories - self.clean_branch if self.sigma > 0 else 0

    @property
    def varies(self) -> bool:
        """Whether trajectories draw scales of their own."""
        return self.perturbed > 0 and (self.sigma_low is not None or self.clean_share > 0)

    def level(self, progress: float) -> float:
        """sigma when the share `progress` of training is done."""
        if progress < self.warmup:
            return 0.0
        return self.sigma * min(1.0, (progress - self.warmup) / self.ramp) if self.ramp else self.sigma

    def nominal(self, progress: float) -> float:
        """The RMS of the noise at `progress` that the settings ask for, over perturbed trajectories."""
        square = 1 - self.clean_share
        if self.sigma_low is not None and 0 < self.sigma_low < self.sigma:
            ratio = self.sigma_low / self.sigma
            square *= (1 - ratio**2) / (-2 * math.log(ratio))
        return self.level(progress) * square**0.5

    def noise(self, rows: int, generator: torch.Generator, progress: float = 1.0) -> Noise:
        """The noise of one training step on `rows` puzzles, drawn from `generator` alone."""
        return Noise(
            time=self.time,
            halves=halves(self.location),
            level=self.level(progress),
            clean=rows * (self.trajectories - self.perturbed),
            factors=self._draw_factors(rows, generator) if self.varies else None,
            generator=generator,
        )

    def _draw_factors(self, rows: int, generator: torch.Generator) -> Tensor:
        """Of sigma, what each perturbed trajectory gets: [rows, perturbed] in [0, 1], float32."""
        factors = torch.ones(rows, self.perturbed)
        if self.sigma_low is not None:
            factors = (self.sigma_low / self.sigma) ** torch.rand(factors.shape, generator=generator)
        if self.clean_share:
            factors = factors * (torch.rand(factors.shape, generator=generator) >= self.clean_share)
        return factors


def clean_copies(copies: int = 1) -> TrajectoryPerturbation:
    """The control of an arm with so many perturbed copies: its puzzles and its calls, no noise."""
    return TrajectoryPerturbation(copies=copies, copies_at_zero=True)


def eqr() -> TrajectoryPerturbation:
    """EqR's perturbation, which is the model's own (`EQR`): training adds none."""
    return TrajectoryPerturbation()


# By the time of the noise, by published name, and the control arm.
PERTURBATIONS: dict[str, Callable[..., TrajectoryPerturbation]] = {
    **{time: partial(TrajectoryPerturbation, time=time) for time in TIMES},
    **{name: partial(TrajectoryPerturbation, **settings) for name, settings in PRESETS.items()},
    "eqr": eqr,
    "clean_copies": clean_copies,
}

# What a perturbation needs of the model it trains: settings that take the place of the recipe's own.
MODEL_SETTINGS = {"eqr": EQR}


def perturbation(kind: str, **settings: Any) -> TrajectoryPerturbation:
    """The perturbation `kind` with its settings."""
    if kind not in PERTURBATIONS:
        raise InputError(f"perturbation {kind!r} is unknown: use one of {', '.join(PERTURBATIONS)}")
    allowed = [name for name in inspect.signature(PERTURBATIONS[kind]).parameters if name != "time"]
    for name in settings:
        if name not in allowed:
            takes = f"it has {', '.join(allowed)}" if allowed else "it has none"
            raise InputError(f"perturbation {kind!r} has no setting {name!r}: {takes}")
    return PERTURBATIONS[kind](**settings)

"""Trajectory perturbation: rollouts through noisy or far latent states that learn the same target as a clean one.

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
STARTS = ("model", "vectors", "fresh")
LEARNS = ("all", "best", "random")
HALTS = ("learner", "first")

# Winner-take-all of "Speed is Confidence" (arXiv 2601.19085).
_WINNER = {"start": "vectors", "copies": 3, "learns": "best", "share_H": True}

# Settings by published name, and their controls. PTRM (arXiv 2605.19943) has its noise at test time only; here it
# trains.
PRESETS: dict[str, dict[str, Any]] = {
    "multi4": {"time": "initial_state", "sigma": 1e-3, "copies": 3},
    "single": {"time": "initial_state", "sigma": 1e-3, "clean_branch": False},
    "ptrm_segment": {"time": "every_segment", "location": "z_L", "sigma": 0.3, "clean_branch": False},
    "winner_take_all": _WINNER,
    "winner_own_H": _WINNER | {"share_H": False},
    "winner_first_halts": _WINNER | {"halts": "first"},
    "random_learns": _WINNER | {"learns": "random"},
    "all_learn": {"start": "vectors", "copies": 3},
}

# EqR (arXiv 2605.21488) is a model, not a way to train one: it is damped and noisy in evaluation too.
EQR = {"damping": 0.95, "call_noise": 0.01, "random_start": True}


@dataclass(frozen=True)
class TrajectoryPerturbation:
    """Several rollouts of every puzzle, some of which start far away or get Gaussian noise, and which of them learn.

    location: "z_H", "z_L" or "both".
    time: "initial_state"; "every_segment", on the state that a segment starts from, the first one included; or
        "every_call", on the half that a network call has just replaced, so that the readout sees it (as in EqR).
    sigma: standard deviation of the noise; states have RMS 1. 0 is the baseline: one rollout, bitwise the unperturbed
        training.
    sigma_low: each perturbed trajectory draws its own scale, log-uniform between `sigma_low` and `sigma`.
    clean_share: the probability with which a perturbed trajectory gets no noise at all.
    warmup, ramp: shares of training; the noise is 0 in the warm-up, rises linearly over the ramp and is full after it.
    copies: perturbed rollouts.  clean_branch: whether a rollout without noise runs beside them, as the first one.
    copies_at_zero: run the copies at sigma 0 as well. That is the control which has the puzzles and the network calls
        of a perturbed arm but no noise; it trains what one rollout does, up to rounding.
    start: the z_L from which perturbed rollouts start, before any noise: "model", the model's own; "vectors", for each
        of them a vector of its own with entries of standard deviation 1, the same at every position and drawn once
        from the seed of the training; or "fresh", N(0, 1) by position and channel, drawn at every refill.
    learns: the rollouts of a puzzle that a step has a loss and a gradient for: "all", by the mean; "best", the one of
        lowest loss; or "random", one that is drawn. Where one learns, all run without gradient first, and the recorded
        calls of the one that learns run again: R x calls + 3 x recorded calls instead of R x (calls + 2 x recorded).
    share_H: after the step all rollouts of the puzzle go on from the z_H of the one that learns, each with its own z_L.
    halts: where one learns, whose Q head ends a puzzle: that of the "learner" or of the "first" rollout. Metrics follow
        the learner. Where all learn, halting and metrics follow the first: the clean one, where there is one.

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
    start: str = "model"
    learns: str = "all"
    share_H: bool = False
    halts: str = "learner"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.sigma) and self.sigma >= 0):
            raise InputError(f"sigma is {self.sigma}: the noise scale must be 0 (baseline) or a positive number")
        if self.copies < 1:
            raise InputError(f"copies is {self.copies}: use at least 1 perturbed rollout (sigma 0 runs none)")
        choices = {"location": CHOICES, "time": TIMES, "start": STARTS, "learns": LEARNS, "halts": HALTS}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} {getattr(self, name)!r} is unknown: use one of {', '.join(allowed)}")
        # A sweep may hold the lower bound fixed and set sigma to 0 for its baseline.
        if self.sigma_low is not None and self.sigma > 0 and not 0 < self.sigma_low <= self.sigma:
            raise InputError(f"sigma_low is {self.sigma_low}: it must be positive and not above sigma {self.sigma}")
        if not 0 <= self.clean_share < 1:
            raise InputError(f"clean_share is {self.clean_share}: it must be a probability below 1")
        if not (self.warmup >= 0 and self.ramp >= 0 and self.warmup + self.ramp <= 1):
            raise InputError(f"warmup {self.warmup} and ramp {self.ramp} are shares of training: use at most 1 in all")
        if self.start == "vectors" and not self.clean_branch:
            raise InputError(
                "start 'vectors' without clean_branch never trains the start of an evaluation: set clean_branch to "
                "true, or use start 'fresh'"
            )
        for name in ("share_H", "halts"):
            if self.learns == "all" and getattr(self, name) not in (False, "learner"):
                raise InputError(
                    f"{name} is {getattr(self, name)}, and learns 'all' has no single learner: leave {name} out, or "
                    "use learns 'best' or 'random'"
                )

    @property
    def trajectories(self) -> int:
        """Rollouts of a puzzle."""
        if self.sigma == 0 and not self.copies_at_zero and self.start == "model":
            return 1
        return self.copies + self.clean_branch

    @property
    def far(self) -> int:
        """How many of the rollouts start elsewhere than the model: the last ones."""
        return self.copies if self.start != "model" else 0

    @property
    def selects(self) -> bool:
        """Whether one of several rollouts learns."""
        return self.learns != "all" and self.trajectories > 1

    def learner(self, losses: Tensor, generator: torch.Generator) -> Tensor:
        """The rollout of each puzzle that learns, [B] int64, from the losses [R, B] of all."""
        if self.learns == "best":
            return losses.argmin(0)
        return torch.randint(len(losses), losses.shape[1:], generator=generator).to(losses.device)

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

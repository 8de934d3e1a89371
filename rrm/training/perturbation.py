"""Trajectory perturbation: extra rollouts from noisy latent states that learn the same target as the clean one."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from rrm.errors import InputError
from rrm.models.base import State


@dataclass(frozen=True)
class TrajectoryPerturbation:
    """Gaussian noise of scale `sigma` on the *initial* z_H and z_L of `copies` extra rollouts of every puzzle.

    `copies = 3, sigma = 1e-3` is the field's "multi4". sigma = 0 runs the clean rollout alone: copies without noise
    would repeat it, so the baseline costs one rollout a puzzle and is bitwise the unperturbed training.
    """

    sigma: float = 0.0
    copies: int = 1

    def __post_init__(self):
        if not (math.isfinite(self.sigma) and self.sigma >= 0):
            raise InputError(f"sigma is {self.sigma}: the noise scale must be 0 (baseline) or a positive number")
        if self.copies < 1:
            raise InputError(f"copies is {self.copies}: use at least 1 perturbed rollout (sigma 0 runs none)")

    @property
    def trajectories(self) -> int:
        """Rollouts a puzzle costs, the clean one included."""
        return 1 + self.copies if self.sigma > 0 else 1

    def perturb_start(self, start: State, rows: int, generator: torch.Generator) -> tuple[State, Tensor]:
        """Add noise to all trajectories but the clean first `rows`; returns the state and the realised sigma.

        start: [R * rows, L, D] per half. The noise is drawn and added in float32 and the sum stays float32: in bfloat16
        a sigma below 3e-3 would neither be Gaussian nor of its nominal size. The realised sigma is the RMS of the
        difference that was actually made.
        """
        if self.trajectories == 1:
            return start, torch.zeros(())
        noisy, squares = [], []
        for clean in start:
            wide = clean.to(torch.promote_types(clean.dtype, torch.float32))
            noise = torch.randn(wide[rows:].shape, generator=generator, dtype=torch.float32).to(wide)
            moved = wide[rows:] + self.sigma * noise
            squares.append((moved - wide[rows:]).square().mean())
            noisy.append(torch.cat((wide[:rows], moved)))
        return State(*noisy), torch.stack(squares).mean().sqrt()

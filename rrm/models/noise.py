"""Gaussian noise on a latent state: how noise is drawn, and how noise is added. Every noisy rollout uses this file.

Noise is drawn in float32 whatever the dtype of the state, so that the same seed gives the same noise in every
precision. A draw comes from a generator of PyTorch for a whole batch at once (training; EqR, whose calls are noisy), or
from one generator of NumPy per row (measurements), so that the noise of a row depends neither on the other rows of its
batch nor on the device.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def gaussian(shape: Sequence[int], generator: torch.Generator | None = None) -> Tensor:
    """N(0, 1) of `shape` in float32, drawn and left on the device of `generator` (None: PyTorch's own, on the CPU)."""
    device = "cpu" if generator is None else generator.device
    return torch.randn(*shape, generator=generator, device=device, dtype=torch.float32)


def gaussian_rows(shape: Sequence[int], rows: Sequence[np.random.Generator]) -> Tensor:
    """N(0, 1) as [B, *shape] float32 on the CPU; row i is the next draw of the i-th of B generators."""
    return torch.from_numpy(np.stack([row.standard_normal(tuple(shape), np.float32) for row in rows]))


def generator_on(device: torch.device, generator: torch.Generator) -> torch.Generator:
    """The generator itself, or for another kind of device a new one there, seeded by one draw of `generator`.

    Noise is then drawn where the state is: the millions of numbers of a call need not travel.
    """
    if generator.device.type == device.type:
        return generator
    seed = int(torch.randint(2**63 - 1, (), generator=generator))
    return torch.Generator(device).manual_seed(seed)


def add_noise(values: Tensor, sigma: float | Tensor, noise: Tensor) -> Tensor:
    """values + sigma noise on the device of `values`; `sigma` and `noise` broadcast to the shape of `values`.

    sigma noise is computed in the dtype of `noise`, the sum in the wider dtype of the two. Two uses follow from that:
    noise in float32 (measurements) moves a float64 state by the very numbers that move a float32 state, and noise that
    is first cast to the dtype of the state (`noise.to(values)`; training, EqR) leaves the dtype of the state alone.
    """
    return values + sigma * noise.to(values.device)

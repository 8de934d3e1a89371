"""How slowly the logits of a network of modular arithmetic change over the table of all pairs."""

import torch
from torch import Tensor

RADIUS = 0.25  # of low frequencies, as a share of p


def low_frequencies(logits: Tensor, radius: float = RADIUS) -> Tensor:
    """Share of the power of a table that lies at low 2-D frequencies: 1 is smooth, 0 is rough.

    Args:
        logits: [p, p, C], by a, b and class, in the order of the numbers; the mean over pairs is left out.
        radius: frequencies (k, l), from -p / 2 to p / 2 each, are low where sqrt(k^2 + l^2) <= radius * p.

    Noise has about pi radius^2. The share depends on the order of the numbers: a network that computes a + b by one
    wave of frequency k has 1 or 0 as k is low or high, so the share does not say whether a network has generalised.
    """
    p = len(logits)
    power = torch.fft.fft2(logits, dim=(0, 1)).abs().square().sum(2)
    k = torch.fft.fftfreq(p, 1 / p, device=logits.device)
    distance = k[:, None].hypot(k)
    return power[(distance <= radius * p) & (distance > 0)].sum() / power[distance > 0].sum()

"""How many directions a matrix has: four measures, which differ where its singular values fall slowly.

The step of an Adam-like optimizer is close to a sign, and the sign of a matrix of low rank has a high rank: a change of
weights is compared with one that the same optimizer makes where there is nothing to learn.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Ranks:
    """Measures of a matrix with singular values s; nan for a matrix of zeros.

    Attributes:
        effective: exp(entropy of s / sum s) (Roy and Vetterli, EUSIPCO 2007).
        stable: sum s^2 / max s^2.
        energy_90: the smallest number of singular values that hold 90 % of sum s^2.
        participation: (sum s^2)^2 / sum s^4.
    """

    effective: float
    stable: float
    energy_90: float
    participation: float


def ranks(matrix: ArrayLike) -> Ranks:
    """The measures of a matrix [m, n], in float64."""
    s = np.linalg.svd(np.asarray(matrix, np.float64), compute_uv=False)
    if not s[0] > 0:
        return Ranks(*[np.nan] * 4)
    s = s / s[0]
    share, energy = s[s > 0] / s.sum(), s**2
    held = np.cumsum(energy) / energy.sum()
    return Ranks(
        effective=float(np.exp(-(share * np.log(share)).sum())),
        stable=float(energy.sum()),
        energy_90=float(np.searchsorted(held, 0.9 - 1e-12) + 1),
        participation=float(energy.sum() ** 2 / (energy**2).sum()),
    )

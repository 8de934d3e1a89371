"""Descriptors of a spectrum: Kaplan-Yorke dimension, and the upper bound of the entropy.

At finite time both describe a window of an orbit; neither is a dimension or an entropy of an attractor.
"""

import torch
from torch import Tensor


def kaplan_yorke(exponents: Tensor, dimension: int) -> tuple[Tensor, Tensor]:
    """D = j + (lambda_1 + ... + lambda_j) / |lambda_j+1|, j the last index with a partial sum that is not negative.

    Kaplan and Yorke (Lecture Notes in Mathematics 730, 204, 1979), on the exponents sorted in descending order.

    Args:
        exponents: [..., k] in any unit and order, k of the `dimension` that the map has.
        dimension: N, dimension of the state space.

    Returns:
        D [...] float64 and truncated [...] bool. D is 0 where lambda_1 < 0; k and truncated where the partial sum is
        still not negative at k < N (the dimension is at least k), N where it is so at k = N; nan where an exponent is.

    Raises:
        ValueError: k is 0 or greater than N.
    """
    exponents, k = _checked(exponents, dimension)
    known = ~exponents.isnan().any(-1)
    ordered = exponents.sort(-1, descending=True).values
    sums = ordered.cumsum(-1)
    j = (sums >= 0).sum(-1)  # sums of a descending sequence rise, then fall: those >= 0 come first
    full = j == k
    last = (j - 1).clamp_min(0).unsqueeze(-1)
    following = ordered.gather(-1, j.clamp_max(k - 1).unsqueeze(-1)).squeeze(-1)
    fraction = torch.where((j == 0) | full, 0.0, sums.gather(-1, last).squeeze(-1) / following.abs())
    return torch.where(known, j + fraction, torch.nan), known & full & (k < dimension)


def positive_sum(exponents: Tensor, dimension: int) -> tuple[Tensor, Tensor]:
    """Sum of the positive exponents, an upper bound of the Kolmogorov-Sinai entropy.

    Ruelle, Bol. Soc. Bras. Mat. 9, 83 (1978); equal to the entropy for an SRB measure (Pesin, Russ. Math. Surv. 32, 55,
    1977).

    Args:
        exponents: [..., k] in any unit and order, k of the `dimension` that the map has.
        dimension: N, dimension of the state space.

    Returns:
        The sum [...] float64 in the unit of the exponents, nan where an exponent is, and truncated [...] bool: all
        k < N exponents are positive, so that the sum is a lower estimate *of the bound*.

    Raises:
        ValueError: k is 0 or greater than N.
    """
    exponents, k = _checked(exponents, dimension)
    known = ~exponents.isnan().any(-1)
    return exponents.clamp_min(0).sum(-1), known & (exponents > 0).all(-1) & (k < dimension)


def _checked(exponents: Tensor, dimension: int) -> tuple[Tensor, int]:
    exponents = torch.as_tensor(exponents).double()
    k = exponents.shape[-1] if exponents.ndim else 0
    if not 1 <= k <= dimension:
        raise ValueError(f"exponents have shape {tuple(exponents.shape)}: give [..., k], k 1 to dimension {dimension}")
    return exponents, k

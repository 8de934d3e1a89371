"""Exponents as a function of the weights: the spectrum of a window of the orbit, with its gradient.

The gradient runs through Q, R and the state; nothing is detached (Engelken, arXiv 2312.17306). Cutting it off between
steps would give another direction altogether.
"""

import torch
from torch import Tensor

from rrm.dynamics.lyapunov import factorizations, start_basis
from rrm.dynamics.tangent_map import TangentMap
from rrm.models.precision import own_precision


@own_precision()
def window_exponents(
    system: TangentMap,
    k: int,
    n_steps: int,
    *,
    transient: int = 0,
    first: int = 0,
    z: Tensor | None = None,
    seed: int = 0,
) -> Tensor:
    """The k leading exponents of `n_steps` steps of each orbit, with their gradient.

    The tangents are factorised at every step. With gradients enabled the exponents carry gradient to everything that
    the map is made of, at about (1 + k) times the cost of a forward and a backward pass through the window.

    Args:
        system: the map.
        k: number of exponents.
        n_steps: steps of the window.
        transient: steps at the start of the window that only align the basis and are left out of the mean.
        first: number of the step that the window begins with.
        z: state [B, N] that `first` steps lead to; default: the start state, for `first` 0.
        seed: of the start basis.

    Returns:
        [B, k] float64, nats per step; nan in rows that do not stay finite.

    Raises:
        ValueError: the transient leaves nothing of the window; as `start_basis`.
        ArithmeticError: as `orthonormalize`.
    """
    if not 0 <= transient < n_steps:
        raise ValueError(f"transient is {transient}: of {n_steps} steps 0 to {n_steps - 1} can be left out")
    V = start_basis(system.start(), k, seed, dtype=system.tangent_dtype)
    logs = [factors.log_diagonal for _, _, factors in factorizations(system, V, n_steps, first=first, z=z)]
    return torch.stack(logs[transient:]).mean(0)

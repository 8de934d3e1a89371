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
    """The k leading exponents [B, k] float64, in nats per step, of `n_steps` steps of each orbit.

    The window begins at the start state, or at the state `z` [B, N] that `first` steps lead to. The basis, drawn from
    `seed`, is factorised at every step; the first `transient` steps of the window only align it and are left out of the
    mean. With gradients enabled the exponents carry them to everything the map is made of, at about (1 + k) times the
    cost of a forward and a backward pass through the window. Rows that do not stay finite give nan.

    Raises:
        ValueError: the transient leaves nothing of the window; as `start_basis`.
        ArithmeticError: as `orthonormalize`.
    """
    if not 0 <= transient < n_steps:
        raise ValueError(f"transient is {transient}: of {n_steps} steps 0 to {n_steps - 1} can be left out")
    V = start_basis(system.start(), k, seed, dtype=system.tangent_dtype)
    logs = [factors.log_diagonal for _, _, factors in factorizations(system, V, n_steps, first=first, z=z)]
    return torch.stack(logs[transient:]).mean(0)

"""The contract that every estimator of stability runs on: a map on a batch of states, and its tangent map."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import jvp, vmap


class TangentMap(ABC):
    """z(t+1) = F_t(z(t)) on states z [B, N], and V -> DF_t(z) V on tangents V [B, k, N], one tangent a row.

    Both must be pure: the same t and z give the same result, in any order of requests, as long as no t is asked for
    before every t below it was.

    Attributes:
        calls_per_segment: steps that make a segment; 1 for a map without segments.
    """

    calls_per_segment = 1

    @property
    def tangent_dtype(self) -> torch.dtype:
        """Dtype of the tangents: that of the state, unless a map says otherwise."""
        return self.start().dtype

    @abstractmethod
    def start(self) -> Tensor:
        """z(0) [B, N]."""

    @abstractmethod
    def step(self, t: int, z: Tensor) -> Tensor:
        """z(t+1) [B, N] of a state z(t) [B, N] that need not lie on the orbit of `start`."""

    @abstractmethod
    def push(self, t: int, z: Tensor, V: Tensor) -> tuple[Tensor, Tensor]:
        """z(t+1) [B, N], and the pushed tangents DF_t(z) V [B, k, N]."""

    def run(self, first: int, last: int, z: Tensor) -> Tensor:
        """z(last) [B, N] of the state z(first) [B, N]."""
        for t in range(first, last):
            z = self.step(t, z)
        return z


class CallableMap(TangentMap):
    """z(t+1) = step(t, z(t)) for any differentiable `step` on states [B, N]; tangents by forward-mode derivatives."""

    def __init__(self, step: Callable[[int, Tensor], Tensor], z0: Tensor):
        # Forward mode refuses an expanded state.
        self._step, self._z0 = step, z0.contiguous()

    def start(self) -> Tensor:
        return self._z0

    def step(self, t: int, z: Tensor) -> Tensor:
        return self._step(t, z)

    def push(self, t: int, z: Tensor, V: Tensor) -> tuple[Tensor, Tensor]:
        return tangents_by_jvp(lambda u: self._step(t, u), z, V, dim=1)


def tangents_by_jvp(function: Callable[[Tensor], Tensor], u: Tensor, du: Tensor, dim: int = 0) -> tuple[Tensor, Tensor]:
    """(f(u), Df(u) du) by vmap(jvp(f)); the k tangents lie along axis `dim` of `du` and of the result."""

    def along(tangent: Tensor) -> tuple[Tensor, Tensor]:
        found = jvp(function, (u,), (tangent,))
        return found[0], found[1]

    # The value does not depend on the tangent: out_dims None returns it once. The stubs of torch allow no None.
    out, pushed = vmap(along, in_dims=dim, out_dims=(None, dim))(du)  # type: ignore[arg-type]
    return out, pushed


def check_state(z: Tensor) -> Tensor:
    """z [B, N] itself.

    Raises:
        ValueError: another shape, or a dtype other than float32 and float64, in which no exponent can be measured.
    """
    if z.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"the state is {z.dtype}: exponents need a map on states of float32 or float64")
    if z.ndim != 2:
        raise ValueError(f"the state has shape {tuple(z.shape)}: give a batch of orbits, [B, N]")
    return z


def check_steps(n_steps: int, **transients: int) -> None:
    """Check the length of a window and of the transients before and after.

    Raises:
        ValueError: a window of no steps, or a negative transient.
    """
    if n_steps < 1:
        raise ValueError(f"n_steps is {n_steps}: at least 1 step is needed")
    for name, steps in transients.items():
        if steps < 0:
            raise ValueError(f"{name} is {steps}: use 0 or more steps")


def flat(halves: tuple[Tensor, Tensor]) -> Tensor:
    """(z_H, z_L), each [B, L, D] -> z [B, N], N = 2 L D, the z_H block first."""
    return torch.stack(tuple(halves), 1).flatten(1)

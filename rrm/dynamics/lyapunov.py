"""Finite-time Lyapunov spectra by pushing k tangents forward and re-orthonormalising them after every call.

lambda_i = (1/T) sum_t log R_ii(t), natural logarithm, T the number of applications (Benettin et al. 1980; Shimada and
Nagashima 1979). At finite time these QR exponents depend on the start basis and are not the singular-value exponents
of the long product (Kuznetsov, arXiv 1410.2016); they are not sorted, because at small gaps they need not be.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import jvp, vmap

from rrm.dynamics.orthonormal import orthonormalize, random_basis
from rrm.dynamics.rollout import Rollout, collect, embed_batch
from rrm.dynamics.tangents import push
from rrm.models.base import RecursiveModel


@dataclass(frozen=True)
class Spectrum:
    """Joint (z_H, z_L) spectrum of a batch of rollouts.

    log_R: [calls, B, k] float64, local log R after every network call, in nats.
    lambda_per_call, lambda_per_segment: [B, k] float64; nats per network call, nats per segment.
    Q: [B, N, k], the orthonormal basis after the last call; N = 2 L D, z_H block first, each flattened from (L, D).
    rollout: the trajectory the tangents followed.
    """

    log_R: Tensor
    lambda_per_call: Tensor
    lambda_per_segment: Tensor
    Q: Tensor
    rollout: Rollout

    @property
    def z_H(self) -> Tensor:
        """z_H [B, L, D] after the last segment."""
        return self.rollout.z_H[-1]

    @property
    def z_L(self) -> Tensor:
        """z_L [B, L, D] after the last segment."""
        return self.rollout.z_L[-1]


@torch.no_grad()
def lyapunov_spectrum(
    model: RecursiveModel, batch: Mapping, k: int, segments: int, Q0: Tensor | None = None, *, seed: int = 0
) -> Spectrum:
    """The k leading finite-time Lyapunov exponents of each puzzle's rollout over `segments` segments.

    `batch` holds `inputs` [B, S], `labels` and `puzzle_identifiers` [B]. State and tangents run in float32, in float64
    for a model turned by `.double()`; never in bfloat16, where the exponents would be those of the rounding.
    `Q0` [B, N, k] (or [N, k], shared) is the start basis, orthonormal columns; by default one drawn from `seed` and
    shared by the batch, so that a puzzle's exponents do not depend on its neighbours. No transient is discarded. For a
    model with noise at every call (EqR) `seed` fixes the noise, and the exponents are those of that random map.
    """
    if segments < 1:
        raise ValueError(f"segments is {segments}: a spectrum needs at least one")
    with model.precision(torch.float32):
        x = embed_batch(model, batch)
        generator = torch.Generator().manual_seed(seed)
        start = state = model.initial_state(len(x), generator)
        half_shape = state.z_H.shape[1:]
        dimension = 2 * half_shape.numel()
        if Q0 is None:
            V = random_basis(dimension, k, seed, x.dtype).to(x.device).expand(len(x), k, dimension)
        else:
            V = torch.as_tensor(Q0).to(x).mT.expand(len(x), k, dimension)

        visited, log_R = [], []
        for _ in range(segments):
            for half in model.segment_calls:
                V_H, V_L = V.transpose(0, 1).unflatten(-1, (2, *half_shape)).unbind(2)
                # A call sees the sum of the halves, so a tangent needs one product, in the direction dz_H + dz_L;
                # the half that is not replaced keeps its tangent.
                out, V_out = push(model.network(half), model.inject(half, state, x), V_H + V_L)
                state = model.update(half, state, out, generator)
                if model.damping != 1:
                    V_out = (1 - model.damping) * (V_H if half == "H" else V_L) + model.damping * V_out
                V_H, V_L = (V_out, V_L) if half == "H" else (V_H, V_out)
                V, local = orthonormalize(torch.stack((V_H, V_L), 2).flatten(2).transpose(0, 1))
                log_R.append(local)
            visited.append((state, model.readout(state)))

    log_R = torch.stack(log_R)
    return Spectrum(log_R, log_R.mean(0), log_R.sum(0) / segments, V.mT, collect(start, visited))


@dataclass(frozen=True)
class MapSpectrum:
    """Spectrum of a batch of orbits of a map: log_R [n_steps, B, k], exponents [B, k] in nats per step, Q [B, N, k]."""

    log_R: Tensor
    exponents: Tensor
    Q: Tensor


@torch.no_grad()
def map_spectrum(
    step: Callable[[int, Tensor], Tensor],
    z0: Tensor,
    k: int,
    n_steps: int,
    Q0: Tensor | None = None,
    *,
    transient: int = 0,
    seed: int = 0,
) -> MapSpectrum:
    """The k leading exponents of z(t+1) = step(t, z(t)) for any differentiable step on states [B, N].

    The basis is carried through `transient` steps that are left out of the average.
    """
    batch, dimension = z0.shape
    if Q0 is None:
        V = random_basis(dimension, k, seed, z0.dtype).to(z0.device).expand(batch, k, dimension)
    else:
        V = torch.as_tensor(Q0).to(z0).mT.expand(batch, k, dimension)
    z, log_R = z0, []
    for t in range(transient + n_steps):
        z, V = vmap(lambda dz, t=t, z=z: jvp(lambda u: step(t, u), (z,), (dz,)), in_dims=1, out_dims=(None, 1))(V)
        V, local = orthonormalize(V)
        if t >= transient:
            log_R.append(local)
    log_R = torch.stack(log_R)
    return MapSpectrum(log_R, log_R.mean(0), V.mT)

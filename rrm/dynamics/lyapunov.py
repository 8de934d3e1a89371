"""Finite-time Lyapunov spectra by pushing k tangents forward and re-orthonormalising them.

lambda_i = (1/T) sum log R_ii, natural logarithm, T the number of applications (Benettin et al. 1980; Shimada and
Nagashima 1979). At finite time these QR exponents depend on the start basis and are not the singular-value exponents
of the long product (Kuznetsov, arXiv 1410.2016); they are not sorted, because at small gaps they need not be.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from rrm.dynamics.network_map import NetworkMap
from rrm.dynamics.orthonormal import Factors, orthonormalize, random_basis
from rrm.dynamics.rollout import Rollout, collect
from rrm.dynamics.tangent_map import CallableMap, TangentMap, check_state, check_steps
from rrm.models.base import RecursiveModel
from rrm.models.precision import measurement

# exp(7) = 1100: how far tangents may spread between two factorisations before the trailing exponents lose their digits.
MAX_LOG_SPREAD = 7.0


def default_transient(segments: int) -> int:
    """How many of the first `segments` to leave out of the exponents of a rollout: half of them, rounded down.

    A random direction grows too little until it has turned to where tangents grow. How much too little was measured on
    networks trained on 6 x 6 Sudoku (`cpu_sudoku`, 2 seeds each, 128 test puzzles): a fresh random basis after 8
    segments, its local lambda_1 less that of a basis carried along since the start. Of failed rollouts it is -.283,
    -.030, -.006, -.003 nats per call in the first segments (trm_mlp, 6 calls each) and -.605, -.342, -.134, -.060,
    -.027, -.014 (srm_mlp, 3 calls each). Over a window of 8 segments that lowers the mean by .042 and .149, by .003 and
    .041 once 2 segments are left out, and by .003 and .013 once 4 are: no more than another basis seed moves the median
    of the failed puzzles (SD .003 to .014 over 8 seeds). Trailing exponents align more slowly than the leading one.
    """
    return segments // 2


def start_basis(z: Tensor, k: int, seed: int, Q0: Tensor | None = None, dtype: torch.dtype | None = None) -> Tensor:
    """The first tangents [B, k, N] of orbits z [B, N]: from `Q0`, or a basis drawn from `seed`, in orthonormal rows.

    The columns of `Q0` [N, k], or [B, N, k] with a basis for each orbit, are made orthonormal. The drawn basis is
    shared by the batch, so that a row's exponents do not depend on its neighbours.

    ValueError for a `Q0` that does not fit, that is not real and finite or whose columns are dependent up to rounding,
    and as `random_basis` and `check_state`.
    """
    batch, dimension = check_state(z).shape
    dtype = dtype or z.dtype
    if Q0 is None:
        return random_basis(dimension, k, seed, dtype).to(z.device).expand(batch, k, dimension)
    Q0 = torch.as_tensor(Q0).to(z.device)
    if Q0.shape not in [(dimension, k), (1, dimension, k), (batch, dimension, k)] or not 1 <= k <= dimension:
        raise ValueError(f"Q0 has shape {tuple(Q0.shape)}: {k} exponents of this map need [{dimension}, {k}]")
    if Q0.is_complex() or not bool(Q0.isfinite().all()):
        raise ValueError("Q0 is not real and finite: give the columns of a basis in float32 or float64")
    factors = orthonormalize(Q0.double().mT.expand(batch, k, dimension))
    eps = torch.finfo(Q0.dtype if Q0.is_floating_point() else torch.float64).eps
    rank = int(torch.linalg.matrix_rank(factors.R, rtol=k * eps).amin())
    if rank < k:
        raise ValueError(f"Q0 has {k} columns of rank {rank}: give columns that are linearly independent")
    return factors.Q.to(dtype)


def factorizations(
    system: TangentMap, V: Tensor, n_steps: int, qr_every: int = 1, *, first: int = 0, z: Tensor | None = None
) -> Iterator[tuple[int, Tensor, Factors | None]]:
    """Run the map for `n_steps` with tangents V [B, k, N]; yield (t, z(t) [B, N], QR factors) for t = 1 ... n_steps.

    The run begins at the start state, or at the state `z` that `first` steps lead to; t counts from there. The factors
    are None at the steps between two factorisations. Everything yielded is differentiable. What a single step does to
    the digits of the trailing exponents no interval can mend: `Factors.floored` marks it.

    ValueError where `qr_every` lets the tangents of a row spread by more than a factor exp(7): beyond that the trailing
    exponents are rounding; and as `check_state`. ArithmeticError as in `orthonormalize`.
    """
    z = system.start() if z is None else z
    for t in range(n_steps):
        z, V = system.push(first + t, z, V)
        check_state(z)
        if (t + 1) % qr_every and t + 1 < n_steps:
            yield t + 1, z, None
            continue
        factors = orthonormalize(V)
        V = factors.Q
        if qr_every > 1:
            _check_spread(factors, qr_every, t + 1)
        yield t + 1, z, factors


def _check_spread(factors: Factors, qr_every: int, t: int) -> None:
    logs = factors.log_diagonal.detach()
    spread = float((logs.amax(-1) - logs.amin(-1)).nan_to_num(0.0).max())
    if spread > MAX_LOG_SPREAD:
        raise ValueError(
            f"qr_every is {qr_every}: the tangents spread by exp({spread:.1f}) before step {t}, at most "
            f"exp({MAX_LOG_SPREAD:g}) keeps their digits: use a smaller interval"
        )


@dataclass(frozen=True)
class Spectrum:
    """Joint (z_H, z_L) spectrum of a batch of rollouts, "LE by QR" and not singular values.

    log_R: [n, B, k] float64, local log R at every factorisation, in nats; n calls where `qr_every` is 1.
    lambda_per_call, lambda_per_segment: [B, k] float64; nats per network call, nats per segment; the transient left
    out. nan in the rows that are not finite.
    Q: [B, N, k], the orthonormal basis after the last call; N = 2 L D, z_H block first, each flattened from (L, D).
    rollout: the trajectory the tangents followed, transient included.
    finite: [B] bool, state and tangents stayed finite.
    floored: [B] int, how many of the local values are a floor: the direction died (log 1e-30), or its growth is so far
    below the largest of the same interval that it is not told from rounding (13 nats in float32, 30 in float64; see
    `floored` in rrm.dynamics.orthonormal). They make trailing exponents say little and leave the leading ones right.
    """

    log_R: Tensor
    lambda_per_call: Tensor
    lambda_per_segment: Tensor
    Q: Tensor
    rollout: Rollout
    finite: Tensor
    floored: Tensor

    @property
    def z_H(self) -> Tensor:
        """z_H [B, L, D] after the last segment."""
        return self.rollout.z_H[-1]

    @property
    def z_L(self) -> Tensor:
        """z_L [B, L, D] after the last segment."""
        return self.rollout.z_L[-1]


@measurement()
def lyapunov_spectrum(
    model: RecursiveModel,
    batch: Mapping,
    k: int,
    segments: int,
    Q0: Tensor | None = None,
    *,
    seed: int = 0,
    qr_every: int = 1,
    transient: int = 0,
    wide_tangents: bool = False,
    compiled: bool = False,
) -> Spectrum:
    """The k leading finite-time Lyapunov exponents of each puzzle's rollout over `segments` segments.

    `batch`, `seed`, `wide_tangents` and `compiled` as in `NetworkMap`; `Q0` and `seed` as in `start_basis`. `qr_every`
    counts calls between factorisations. The basis is carried through the first `transient` segments, which are left
    out of the exponents. k = 1 gives the leading exponent alone.
    """
    if segments < 1:
        raise ValueError(f"segments is {segments}: a spectrum needs at least one")
    if not 0 <= transient < segments:
        raise ValueError(f"transient is {transient}: of {segments} segments 0 to {segments - 1} can be left out")
    system = NetworkMap(model, batch, seed=seed, wide_tangents=wide_tangents, compiled=compiled)
    calls = system.calls_per_segment
    if not 1 <= qr_every <= calls or calls % qr_every:
        raise ValueError(f"qr_every is {qr_every}: it must divide the {calls} calls of a segment")
    z = system.start()
    V = start_basis(z, k, seed, Q0, system.tangent_dtype)
    visited, log_R, dead = [], [], 0
    for t, z, factors in factorizations(system, V, segments * calls, qr_every):
        if factors is not None:
            log_R.append(factors.log_diagonal)
            dead = dead + factors.floored.sum(-1)
            Q = factors.Q
        if t % calls == 0:
            visited.append((system.state(z), system.readout(z)))
    log_R = torch.stack(log_R)
    total = log_R[transient * calls // qr_every :].sum(0)
    window = segments - transient
    return Spectrum(
        log_R=log_R,
        lambda_per_call=total / (window * calls),
        lambda_per_segment=total / window,
        Q=Q.mT,
        rollout=collect(system.state(system.start()), visited),
        finite=z.isfinite().all(1) & log_R.isfinite().all(-1).all(0),
        floored=dead,
    )


@dataclass(frozen=True)
class MapSpectrum:
    """Spectrum of a batch of orbits: log_R [n, B, k], exponents [B, k] in nats per step, Q [B, N, k], z [B, N].

    log_R holds the factorisations after the transient, z and Q are those after the last step. floored [B] int, how many
    of the values in log_R are a floor, as in `Spectrum`.
    """

    log_R: Tensor
    exponents: Tensor
    Q: Tensor
    z: Tensor
    floored: Tensor


@measurement()
def map_spectrum(
    step: TangentMap | Callable[[int, Tensor], Tensor],
    z0: Tensor | None,
    k: int,
    n_steps: int,
    Q0: Tensor | None = None,
    *,
    transient: int = 0,
    qr_every: int = 1,
    seed: int = 0,
) -> MapSpectrum:
    """The k leading exponents of z(t+1) = step(t, z(t)) for any differentiable step on states [B, N].

    The basis is carried through `transient` steps that are left out of the average. A `TangentMap` brings its own start
    state: give it as `step`, with `z0` None.

    ValueError for a `qr_every` below 1 or one that does not divide the transient, and as `check_steps`, `start_basis`
    and `factorizations`.
    """
    check_steps(n_steps, transient=transient)
    if qr_every < 1:
        raise ValueError(f"qr_every is {qr_every}: factorise every step, or every so many")
    if transient % qr_every:
        raise ValueError(f"transient is {transient}: it must be a multiple of qr_every, {qr_every}")
    system = step if isinstance(step, TangentMap) else CallableMap(step, z0)
    V, log_R, dead = start_basis(system.start(), k, seed, Q0, system.tangent_dtype), [], 0
    for t, z, factors in factorizations(system, V, transient + n_steps, qr_every):  # noqa: B007 (z of the last step)
        if factors is not None and t > transient:
            log_R.append(factors.log_diagonal)
            dead = dead + factors.floored.sum(-1)
            Q = factors.Q
    log_R = torch.stack(log_R)
    return MapSpectrum(log_R, log_R.sum(0) / n_steps, Q.mT, z, dead)

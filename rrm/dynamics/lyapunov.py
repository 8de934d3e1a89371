"""Finite-time Lyapunov spectra by the method of Benettin: push k tangents forward and re-orthonormalise them.

    V = k random orthonormal rows [B, k, N]
    every step:         z, V <- F(z), DF(z) V
    every so many:      V^T = Q^T R;   V <- Q;   keep log R_ii
    lambda_i = (1/T) sum log R_ii, natural logarithm, T the number of steps

Benettin, Galgani, Giorgilli and Strelcyn, Meccanica 15, 9 and 21 (1980); Shimada and Nagashima, Prog. Theor. Phys. 61,
1605 (1979). At finite time these QR exponents depend on the start basis and are not the singular-value exponents of the
long product (Kuznetsov, arXiv 1410.2016); they are not sorted, because at small gaps they need not be.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from numpy.typing import ArrayLike
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
    networks trained on 6 x 6 Sudoku (`cpu_sudoku`, 2 seeds each, 128 test puzzles): the local lambda_1 of a fresh
    random basis after 8 segments, minus the local lambda_1 of a basis carried along since the start. For failed
    rollouts the difference is -.283, -.030, -.006, -.003 nats per call in the first segments (trm_mlp, 6 calls each)
    and -.605, -.342, -.134, -.060, -.027, -.014 (srm_mlp, 3 calls each). Over a window of 8 segments the mean falls by
    .042 and .149, by .003 and .041 once 2 segments are left out, and by .003 and .013 once 4 are left out: no more than
    another basis seed moves the median of the failed puzzles (SD .003 to .014 over 8 seeds). Trailing exponents align
    more slowly than the leading one.
    """
    return segments // 2


def start_basis(z: Tensor, k: int, seed: int, Q0: Tensor | None = None, dtype: torch.dtype | None = None) -> Tensor:
    """The first tangents of orbits: k orthonormal rows per orbit.

    Args:
        z: states [B, N].
        k: number of tangents, 1 to N.
        seed: of the basis that is drawn where `Q0` is None. The drawn basis is shared by the batch, so that the
            exponents of a row do not depend on its neighbours.
        Q0: columns [N, k], or [B, N, k] with a basis for each orbit; they are made orthonormal.
        dtype: of the tangents; default: that of z.

    Returns:
        [B, k, N].

    Raises:
        ValueError: `Q0` has another shape, is not real and finite, or has columns that are dependent up to rounding;
            as `random_basis` and `check_state`.
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
) -> Iterator[tuple[int, Tensor, Factors]]:
    """The loop of Benettin: run the map with its tangents, and factorise them every `qr_every` steps and at the end.

    Everything that is yielded is differentiable. What a single step does to the digits of the trailing exponents no
    interval can mend: `Factors.floored` marks such values.

    Args:
        system: the map.
        V: tangents [B, k, N] at the first state.
        n_steps: steps to run.
        qr_every: steps between two factorisations.
        first: number of the step that the run begins with.
        z: state [B, N] that `first` steps lead to; default: the start state, for `first` 0.

    Yields:
        (t, z [B, N], QR factors of the tangents) after each factorisation, t counting the steps of this run from 1.

    Raises:
        ValueError: `qr_every` lets the tangents of a row spread by more than a factor exp(7), beyond which the trailing
            exponents are rounding; as `check_state`.
        ArithmeticError: as `orthonormalize`.
    """
    z = system.start() if z is None else z
    for t in range(1, n_steps + 1):
        z, V = system.push(first + t - 1, z, V)
        check_state(z)
        if t % qr_every and t < n_steps:
            continue
        factors = orthonormalize(V)
        V = factors.Q
        if qr_every > 1:
            _check_spread(factors, qr_every, t)
        yield t, z, factors


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

    Attributes:
        log_R: [n, B, k] float64, local log R_ii at each of n factorisations, transient included, in nats; n calls where
            `qr_every` is 1.
        lambda_per_call: [B, k] float64, nats per network call, transient left out; nan in rows that are not finite.
        lambda_per_segment: [B, k] float64, nats per segment, likewise.
        Q: [B, N, k], the orthonormal basis after the last call; N = 2 L D, z_H block first, each flattened from (L, D).
        rollout: the trajectory that the tangents followed, transient included.
        finite: [B] bool, state and tangents stayed finite.
        floored: [B] int64, how many of the local values are a floor: the direction died (log 1e-30), or its growth is
            so far below the largest of the same interval that rounding hides the growth (13 nats in float32, 30 in
            float64; see `rrm.dynamics.orthonormal.floored`). Floors make trailing exponents say little and leave the
            leading ones right.
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
    batch: Mapping[str, ArrayLike | Tensor],
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

    Args:
        model: the network, in float32, in float64 after `.double()`.
        batch: `inputs` [B, S] and `puzzle_identifiers` [B], tensors or arrays.
        k: number of exponents, 1 to N = 2 L D; 1 gives the leading exponent alone.
        segments: length of the rollouts, at least 1.
        Q0: start basis as in `start_basis`; default: drawn from `seed`.
        seed: of the start basis, and of the draws of a model with randomness of its own.
        qr_every: calls between two factorisations; a divisor of the calls of a segment.
        transient: segments at the start that the basis is carried through and that are left out of the exponents.
        wide_tangents, compiled: as in `NetworkMap`.

    Raises:
        ValueError: wrong lengths; as `start_basis` and `factorizations`.
    """
    if segments < 1:
        raise ValueError(f"segments is {segments}: a spectrum needs at least one")
    if not 0 <= transient < segments:
        raise ValueError(f"transient is {transient}: of {segments} segments 0 to {segments - 1} can be left out")
    system = NetworkMap(model, batch, seed=seed, wide_tangents=wide_tangents, compiled=compiled)
    calls = system.calls_per_segment
    if not 1 <= qr_every <= calls or calls % qr_every:
        raise ValueError(f"qr_every is {qr_every}: it must divide the {calls} calls of a segment")
    V = start_basis(system.start(), k, seed, Q0, system.tangent_dtype)
    logs, floors, visited = [], [], []
    for t, z, factors in factorizations(system, V, segments * calls, qr_every):
        logs.append(factors.log_diagonal)
        floors.append(factors.floored)
        if t % calls == 0:
            visited.append((system.state(z), system.readout(z)))
    log_R = torch.stack(logs)
    total = log_R[transient * calls // qr_every :].sum(0)
    window = segments - transient
    return Spectrum(
        log_R=log_R,
        lambda_per_call=total / (window * calls),
        lambda_per_segment=total / window,
        Q=factors.Q.mT,
        rollout=collect(system.state(system.start()), visited),
        finite=z.isfinite().all(1) & log_R.isfinite().all(-1).all(0),
        floored=torch.stack(floors).sum((0, 2)),
    )


@dataclass(frozen=True)
class MapSpectrum:
    """Spectrum of a batch of B orbits of a map.

    Attributes:
        log_R: [n, B, k] float64, local log R_ii at each of n factorisations after the transient, in nats.
        exponents: [B, k] float64, nats per step, transient left out; nan in rows that are not finite.
        Q: [B, N, k], the orthonormal basis after the last step.
        z: [B, N], the state after the last step.
        floored: [B] int64, how many of the values in log_R are a floor, as in `Spectrum`.
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

    Args:
        step: (t, z [B, N]) -> z [B, N], or a `TangentMap`.
        z0: start state [B, N] in float32 or float64; None for a `TangentMap`, which brings its own.
        k: number of exponents, 1 to N.
        n_steps: steps of the window.
        Q0: start basis as in `start_basis`; default: drawn from `seed`.
        transient: steps before the window that the basis is carried through; a multiple of `qr_every`.
        qr_every: steps between two factorisations.
        seed: of the start basis.

    Raises:
        ValueError: a function without `z0`; a `qr_every` below 1 or one that does not divide the transient; as
            `check_steps`, `start_basis` and `factorizations`.
    """
    check_steps(n_steps, transient=transient)
    if qr_every < 1:
        raise ValueError(f"qr_every is {qr_every}: factorise every step, or every so many")
    if transient % qr_every:
        raise ValueError(f"transient is {transient}: it must be a multiple of qr_every, {qr_every}")
    if isinstance(step, TangentMap):
        system = step
    elif z0 is None:
        raise ValueError("z0 is None: a function needs a start state, [B, N]")
    else:
        system = CallableMap(step, z0)
    V = start_basis(system.start(), k, seed, Q0, system.tangent_dtype)
    logs, floors = [], []
    for t, z, factors in factorizations(system, V, transient + n_steps, qr_every):  # noqa: B007 (z of the last step)
        if t > transient:
            logs.append(factors.log_diagonal)
            floors.append(factors.floored)
    log_R = torch.stack(logs)
    return MapSpectrum(log_R, log_R.sum(0) / n_steps, factors.Q.mT, z, torch.stack(floors).sum((0, 2)))

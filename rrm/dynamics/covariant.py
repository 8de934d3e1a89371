"""Covariant Lyapunov vectors: the directions that the tangent map carries into each other, in general not orthogonal.

v_i grows at lambda_i forwards *and* backwards in time. Ginelli et al., Phys. Rev. Lett. 99, 130601 (2007); Kuptsov and
Parlitz, arXiv 1105.5228. In the basis of the QR method v_i(t) = Q(t) c_i(t), c_i the columns of an upper triangle C(t);
backwards in time C(t - 1) = R(t)^-1 C(t) up to the lengths of the columns, and C converges from any start. Growth and
angles need C alone, so that for most steps only the factor R [k, k] is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rrm.dynamics.lyapunov import factorizations, start_basis
from rrm.dynamics.orthonormal import LOG_FLOOR, invertible
from rrm.dynamics.tangent_map import TangentMap, check_steps
from rrm.models.precision import measurement

# Angles below this are rounding.
_SMALLEST_ANGLE = 1e-8


@dataclass(frozen=True)
class CovariantResult:
    """The k leading covariant vectors of B orbits over a window of n steps. Rows that are not finite are nan.

    Attributes:
        exponents: [B, k] float64, mean log growth of every vector over the window, nats per step.
        log_R: [n, B, k] float64, the local values of the QR method over the same window, nats per step. Their means
            agree with the exponents up to the change of the angles between the ends of the window, divided by n.
        cosines: [n, B, k, k] float64, v_i . v_j after every step. Signs are those of the QR basis: v_i . q_i > 0.
        spread_at_end: [B, k] float64, in radians: angle at the end of the window between two versions of vector i that
            came back from different random triangles. Where the spread is small, the angles of the whole window are
            those of the system; elsewhere they are those of the random start. The spread falls as exp(-gap x backward
            steps) and stays large where neighbouring exponents are nearly equal. The first vector needs no backward
            step: its spread is 0.
        floored: [B] int64, how many of the values in log_R are a floor, as in `Spectrum`; the vectors of such
            directions are rounding.
        vectors: {step: [B, N, k]}, unit columns after the requested steps of the window, 0 being its start.
    """

    exponents: Tensor
    log_R: Tensor
    cosines: Tensor
    spread_at_end: Tensor
    floored: Tensor
    vectors: dict[int, Tensor]


@measurement()
def covariant(
    system: TangentMap,
    k: int,
    n_steps: int,
    *,
    transient: int,
    backward_transient: int,
    seed: int = 0,
    Q0: Tensor | None = None,
    vectors_at: Sequence[int] = (),
) -> CovariantResult:
    """The k leading covariant vectors of each orbit, over the `n_steps` steps that follow the first `transient`.

    The QR basis aligns over the transient; the orbit then runs through the window and `backward_transient` steps beyond
    the window, and the triangles come back from there. Memory per row: (n_steps + backward_transient) k^2 numbers for
    R, n_steps k^2 for the cosines, N k for each step of `vectors_at`.

    Over a `NetworkMap` steps are calls. The transient is the first calls of the rollout, and the backward transient
    continues the rollout past the last segment of the window, which is legitimate because the map goes on as before;
    all three numbers are best multiples of `calls_per_segment`.

    Args:
        system: the map.
        k: number of vectors, 1 to N.
        n_steps: n, steps of the window.
        transient: steps before the window.
        backward_transient: steps after the window.
        seed: of the start basis and of the triangles.
        Q0: start basis as in `start_basis`; default: drawn from `seed`.
        vectors_at: steps of the window, 0 to n, after which the vectors are kept.

    Raises:
        ValueError: a step of `vectors_at` outside the window; as `check_steps` and `start_basis`.
    """
    check_steps(n_steps, transient=transient, backward_transient=backward_transient)
    outside = [step for step in vectors_at if not 0 <= step <= n_steps]
    if outside:
        raise ValueError(f"vectors_at holds {outside[0]}: the window has steps 0 to {n_steps}")
    z = system.start()
    V = start_basis(z, k, seed, Q0, system.tangent_dtype)
    R, log_R, floors, Q_at = [], [], [], {0: V} if transient == 0 and 0 in vectors_at else {}
    for t, _, factors in factorizations(system, V, transient + n_steps + backward_transient):
        step = t - transient
        if step in vectors_at:
            Q_at[step] = factors.Q
        if step > 0:
            R.append(factors.R)
            if step <= n_steps:
                log_R.append(factors.log_diagonal)
                floors.append(factors.floored)

    # Backwards: C(t - 1) = R(t)^-1 C(t) up to the lengths of the columns, for two random triangles C.
    both = _random_triangles(k, seed).to(z.device).unsqueeze(1).expand(2, len(z), k, k)
    growth, cosines, vectors = [], [], {}
    for step in range(n_steps + backward_transient, 0, -1):
        if step == n_steps:
            spread_at_end = _spread(both)
        if step <= n_steps:
            cosines.append(both[0].mT @ both[0])
            if step in Q_at:
                vectors[step] = _in_full(Q_at[step], both[0])
        both, lengths = _step_back(R[step - 1], both)
        if step <= n_steps:
            growth.append(-lengths[0].log())
    if 0 in Q_at:
        vectors[0] = _in_full(Q_at[0], both[0])
    return CovariantResult(
        exponents=torch.stack(growth[::-1]).clamp_min(LOG_FLOOR).mean(0),
        log_R=torch.stack(log_R),
        cosines=torch.stack(cosines[::-1]),
        spread_at_end=spread_at_end,
        floored=torch.stack(floors).sum((0, 2)),
        vectors=vectors,
    )


def _random_triangles(k: int, seed: int) -> Tensor:
    """Two upper triangles [2, k, k] float64 with unit columns and a positive diagonal."""
    generator = torch.Generator().manual_seed(seed)
    C = torch.randn(2, k, k, generator=generator, dtype=torch.float64).triu()
    C = C * torch.where(C.diagonal(dim1=-2, dim2=-1) < 0, -1.0, 1.0).unsqueeze(-2)
    return C / torch.linalg.vector_norm(C, dim=-2, keepdim=True)


def _step_back(R: Tensor, C: Tensor) -> tuple[Tensor, Tensor]:
    """R^-1 C with unit columns, and the lengths that the columns had."""
    C = torch.linalg.solve_triangular(invertible(R), C, upper=True)
    lengths = torch.linalg.vector_norm(C, dim=-2)
    return C / lengths.unsqueeze(-2), lengths


def _spread(both: Tensor) -> Tensor:
    """Angle [B, k] between the two versions of every vector, from the chord, which keeps the digits of small angles."""
    return 2 * torch.asin((torch.linalg.vector_norm(both[0] - both[1], dim=-2) / 2).clamp_max(1))


def _in_full(Q: Tensor, C: Tensor) -> Tensor:
    """Rows Q [B, k, N] and C [B, k, k] -> unit columns [B, N, k]."""
    return Q.mT @ C.to(Q.dtype)


def covariant_features(result: CovariantResult, half_shape: tuple[int, int] | None = None) -> dict[str, Tensor]:
    """A few numbers per row, for a regression on the outcome.

    Args:
        result: of at least 2 vectors.
        half_shape: (L, D) of a `NetworkMap`, to learn where the leading vector lives; needs vectors in the result.

    Returns:
        float64 [B] each; angles are floored at 1e-8.
        log_smallest_angle: ln of the smallest angle (radians, 0 to pi/2) between neighbours v_i, v_i+1; mean over the
            window.
        mean_abs_cosine: mean of |v_i . v_j| over all pairs and steps.
        log_spread: ln of the largest `spread_at_end`; near 0 the two numbers above are those of the random start.
        leading_positions (with `half_shape`): share of the L positions that carry the leading vector, (sum w)^2 /
            (L sum w^2) with w the weight of a position in both halves, 1/L to 1; mean over the requested steps.
        leading_H (with `half_shape`): weight of the leading vector in z_H, 0 to 1; mean over the requested steps.

    Raises:
        ValueError: k is 1, or `half_shape` without vectors.
    """
    k = result.cosines.shape[-1]
    if k < 2:
        raise ValueError("k is 1: angles need at least 2 vectors")
    i, j = torch.triu_indices(k, k, 1)
    cosine = result.cosines.abs()
    neighbours = cosine.diagonal(1, -2, -1).clamp_max(1).acos().amin(-1)
    features = {
        "log_smallest_angle": neighbours.clamp_min(_SMALLEST_ANGLE).log().mean(0),
        "mean_abs_cosine": cosine[..., i, j].mean((0, 2)),
        "log_spread": result.spread_at_end.amax(-1).clamp_min(_SMALLEST_ANGLE).log(),
    }
    if half_shape is not None:
        if not result.vectors:
            raise ValueError("half_shape is given but the result holds no vectors: ask for some by vectors_at")
        leading = torch.stack([vectors[..., 0] for vectors in result.vectors.values()]).double()
        weight = leading.square().unflatten(-1, (2, *half_shape)).sum(-1)  # [steps, B, half, L]
        weight = weight / weight.sum((-1, -2), keepdim=True)
        by_position = weight.sum(-2)
        features["leading_positions"] = (1 / (half_shape[0] * by_position.square().sum(-1))).mean(0)
        features["leading_H"] = weight[..., 0, :].sum(-1).mean(0)
    return features

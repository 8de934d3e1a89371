"""The leading exponent from two trajectories, without tangents: an independent check of everything that pushes them."""

import math
from dataclasses import dataclass

import torch

from rrm.dynamics.orthonormal import LOG_FLOOR, random_basis
from rrm.dynamics.tangent_map import TangentMap, check_state, check_steps
from rrm.models.precision import measurement

# Default distance per coordinate (root mean square), for states whose entries are of order one: 0.1 and 1e-6 for a
# joint state of 1e4 entries. Curvature biases the exponent by about this much times the curvature of the map, rounding
# by the spacing of the numbers over it: in float32 the leading exponent of a network of that size is good to 1e-3 at
# 0.1 and comes out 0.03 to 0.06 too large at 1e-4; in float64 it is good to 1e-7.
_RMS_DISTANCE = {torch.float32: 1e-3, torch.float64: 1e-8}


@dataclass(frozen=True)
class TwinResult:
    """Two-trajectory exponents of a batch of B orbits over n steps, in nats per step.

    log_growth: [n, B] float64, log of the growth of the separation in every step after the transient.
    exponents: [B] float64, their mean; nan where an orbit did not stay finite.
    distance: Euclidean norm of the separation that every step starts from.
    collapsed: [B] int64, steps (transient included) that ended with both orbits in one state. Such a step counts with
    the floor, log 1e-30, and the next starts in the first direction again: the exponent of that row is a floor.
    """

    log_growth: torch.Tensor
    exponents: torch.Tensor
    distance: float
    collapsed: torch.Tensor


@measurement()
def max_lyapunov(
    system: TangentMap, n_steps: int, *, distance: float | None = None, seed: int = 0, transient: int = 0
) -> TwinResult:
    """The leading exponent of each orbit by the method of Benettin, Galgani and Strelcyn (Phys. Rev. A 14, 2338, 1976).

    A companion starts at z(0) + `distance` in a direction drawn from `seed` (that of `start_basis` with k = 1) and is
    drawn back to `distance` after every step; both orbits see the same noise. The first `transient` steps, in which the
    direction aligns, are left out. The separation is measured in float64, and its growth from what it really was after
    rounding to the dtype of the state. `distance` is by default 1e-3 sqrt(N) for states in float32 and 1e-8 sqrt(N) in
    float64.

    ValueError for a distance that is not positive, and as `check_steps` and `check_state`.
    """
    check_steps(n_steps, transient=transient)
    z = check_state(system.start())
    distance = default_distance(z) if distance is None else float(distance)
    if not distance > 0:
        raise ValueError(f"distance is {distance}: it must be positive")
    first = random_basis(z.shape[1], 1, seed, torch.float64).to(z.device).expand(len(z), -1)
    direction, log_growth, collapsed = first, [], torch.zeros(len(z), dtype=torch.int64, device=z.device)
    for t in range(transient + n_steps):
        twin, size = companion(z, direction, distance)
        twin, z = system.step(t, twin), check_state(system.step(t, z))
        direction, grown, met = apart(twin, z, size, first)
        collapsed += met
        if t >= transient:
            log_growth.append(grown)
    log_growth = torch.stack(log_growth)
    return TwinResult(log_growth, log_growth.mean(0), distance, collapsed)


def default_distance(z: torch.Tensor) -> float:
    """The separation for states z [B, N] of float32 or float64."""
    return _RMS_DISTANCE[z.dtype] * math.sqrt(z.shape[1])


def companion(z: torch.Tensor, direction: torch.Tensor, distance: float) -> tuple[torch.Tensor, torch.Tensor]:
    """z [B, N] moved by `distance` along unit vectors, and how far [B] float64 it is from z after rounding."""
    twin = (z.double() + distance * direction).to(z.dtype)
    return twin, torch.linalg.vector_norm(twin.double() - z.double(), dim=1)


def apart(
    twin: torch.Tensor, z: torch.Tensor, before: torch.Tensor, first: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Where two orbits that were `before` [B] apart are now: direction [B, N], log of the growth [B], met [B] bool.

    Orbits that met have grown by the floor and go apart again along `first`.
    """
    separation = twin.double() - z.double()
    after = torch.linalg.vector_norm(separation, dim=1)
    met = after == 0
    direction = torch.where(met[:, None], first, separation / after[:, None])
    return direction, torch.where(met, LOG_FLOOR, (after / before).log().clamp_min(LOG_FLOOR)), met

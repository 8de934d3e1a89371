"""The leading exponent from two trajectories: no tangents, so an independent check of the estimators that push them."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from rrm.dynamics.orthonormal import LOG_FLOOR, random_basis
from rrm.dynamics.tangent_map import TangentMap, check_state, check_steps
from rrm.models.precision import measurement

# Default distance per coordinate (root mean square), for states whose entries are of order one; the Euclidean distance
# is then 0.1 and 1e-6 for a joint state of 1e4 entries. The exponent has a bias of about distance x curvature of the
# map, and one of about spacing of the numbers / distance. In float32 the leading exponent of a network of 1e4 entries
# is good to 1e-3 at a distance of 0.1, and 0.03 to 0.06 too large at 1e-4; in float64 the default is good to 1e-7.
_RMS_DISTANCE = {torch.float32: 1e-3, torch.float64: 1e-8}


@dataclass(frozen=True)
class TwinResult:
    """Two-trajectory exponents of a batch of B orbits over n steps.

    Attributes:
        log_growth: [n, B] float64, log of the growth of the separation in every step after the transient, in nats.
        exponents: [B] float64, mean log growth, nats per step; nan where an orbit did not stay finite.
        distance: Euclidean norm of the separation that every step starts from, in state units.
        collapsed: [B] int64, steps (transient included) that ended with both orbits in one state. Such a step counts
            with the floor, log 1e-30, and the next step starts in the first direction again: the exponent of that row
            is a floor.
    """

    log_growth: Tensor
    exponents: Tensor
    distance: float
    collapsed: Tensor


@measurement()
def max_lyapunov(
    system: TangentMap, n_steps: int, *, distance: float | None = None, seed: int = 0, transient: int = 0
) -> TwinResult:
    """The leading exponent of each orbit by the method of Benettin, Galgani and Strelcyn (Phys. Rev. A 14, 2338, 1976).

    A companion starts at `distance` from z(0), in a random direction, and is scaled back to `distance` after every
    step; both orbits see the same noise. The separation is measured in float64. Its growth is relative to the distance
    after rounding to the dtype of the state, which may differ from the nominal one.

    Args:
        system: the map.
        n_steps: n, steps of the window.
        distance: Euclidean norm of the separation, in state units; default: 1e-3 sqrt(N) for states in float32 and
            1e-8 sqrt(N) in float64.
        seed: of the direction, which is that of `start_basis` with k = 1.
        transient: steps before the window, in which the direction aligns.

    Raises:
        ValueError: a distance that is not positive; as `check_steps` and `check_state`.
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
    local = torch.stack(log_growth)
    return TwinResult(local, local.mean(0), distance, collapsed)


def default_distance(z: Tensor) -> float:
    """The separation for states z [B, N] of float32 or float64, in state units."""
    return _RMS_DISTANCE[z.dtype] * math.sqrt(z.shape[1])


def companion(z: Tensor, direction: Tensor, distance: float) -> tuple[Tensor, Tensor]:
    """z [B, N] moved by `distance` along unit vectors [B, N], and its distance [B] float64 from z after rounding."""
    twin = (z.double() + distance * direction).to(z.dtype)
    return twin, torch.linalg.vector_norm(twin.double() - z.double(), dim=1)


def apart(twin: Tensor, z: Tensor, before: Tensor, first: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Compare two orbits that were `before` [B] apart one step ago.

    Args:
        twin, z: states [B, N] of the two orbits now.
        before: [B] float64, their distance one step ago.
        first: unit vectors [B, N], the directions in which orbits that met go apart again.

    Returns:
        Direction of the separation [B, N] float64, log of its growth [B] float64 in nats (the floor, log 1e-30, for
        orbits that met), and met [B] bool.
    """
    separation = twin.double() - z.double()
    after = torch.linalg.vector_norm(separation, dim=1)
    met = after == 0
    direction = torch.where(met[:, None], first, separation / after[:, None])
    return direction, torch.where(met, LOG_FLOOR, (after / before).log().clamp_min(LOG_FLOOR)), met

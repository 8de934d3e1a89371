"""Spectra from full Jacobians: the oracle for systems small enough to hold them."""

import torch
from torch import Tensor
from torch.func import vjp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from rrm.dynamics.lyapunov import MapSpectrum, start_basis
from rrm.dynamics.orthonormal import floored, log_diagonal
from rrm.dynamics.tangent_map import TangentMap, check_state, check_steps
from rrm.models.precision import measurement

# A step costs N reverse passes, and N^2 numbers a row are held.
MAX_DIMENSION = 1024


def full_jacobian(system: TangentMap, t: int, z: Tensor) -> tuple[Tensor, Tensor]:
    """z(t+1) [B, N], and DF_t(z) [B, N, N] by reverse-mode derivatives of `system.step`.

    Reverse mode shares nothing with the pushes, which are written by hand or use forward mode. The rows of a batch must
    not see each other.
    """
    # The fused attention kernels cannot be batched over cotangents; MATH can on every device.
    with sdpa_kernel(SDPBackend.MATH):
        found = vjp(lambda u: check_state(system.step(t, u)), z)
        moved, pull = found[0], found[1]
        eye = torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
        (rows,) = vmap(pull)(eye.unsqueeze(1).expand(-1, len(z), -1))
    return moved, rows.transpose(0, 1)


@measurement()
def jacobian_spectrum(system: TangentMap, n_steps: int, transient: int = 0, Q0: Tensor | None = None) -> MapSpectrum:
    """All N exponents of each orbit, or those of the columns of `Q0`, by Householder QR of full Jacobians in float64.

    The orbit runs in the dtype of the system's state: an oracle of a network needs `model.double()`.

    Args:
        system: the map, with N up to 1024.
        n_steps: steps of the window.
        transient: steps before the window that the basis is carried through.
        Q0: start basis as in `start_basis`, [N, k] or [B, N, k]; default: the identity.

    Returns:
        Exponents in nats per step; nan in rows that do not stay finite.

    Raises:
        ValueError: a state of more than 1024 entries; as `check_steps`, `check_state` and `start_basis`.
    """
    check_steps(n_steps, transient=transient)
    z = check_state(system.start())
    dimension = z.shape[1]
    if dimension > MAX_DIMENSION:
        raise ValueError(f"the state has {dimension} entries: full Jacobians are held up to {MAX_DIMENSION}")
    Q0 = torch.eye(dimension) if Q0 is None else torch.as_tensor(Q0)
    Q = start_basis(z, Q0.shape[-1], 0, Q0, torch.float64).mT
    logs, floors = [], []
    for t in range(transient + n_steps):
        z, J = full_jacobian(system, t, z)
        Q, R = torch.linalg.qr(J.double() @ Q)
        sign = torch.where(R.diagonal(dim1=-2, dim2=-1) < 0, -1.0, 1.0)
        Q, R = Q * sign.unsqueeze(-2), R * sign.unsqueeze(-1)
        if t >= transient:
            logs.append(log_diagonal(R))
            floors.append(floored(R, z.dtype))
    log_R = torch.stack(logs)
    return MapSpectrum(log_R, log_R.mean(0), Q, z, torch.stack(floors).sum((0, 2)))

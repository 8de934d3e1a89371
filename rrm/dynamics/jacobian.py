"""Spectra from full Jacobians: the oracle for systems small enough to hold them."""

import torch
from torch import Tensor
from torch.func import vjp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from rrm.dynamics.lyapunov import MapSpectrum
from rrm.dynamics.orthonormal import LOG_FLOOR
from rrm.dynamics.tangent_map import TangentMap

# A step costs N reverse passes, and N^2 numbers a row are held.
MAX_DIMENSION = 1024


def full_jacobian(system: TangentMap, t: int, z: Tensor) -> tuple[Tensor, Tensor]:
    """(z(t+1) [B, N], DF_t(z) [B, N, N]) by reverse-mode derivatives of `system.step`.

    Reverse mode, so that nothing is shared with the pushes, which are written by hand or use forward mode. The rows of
    a batch must not see each other.
    """
    # The fused attention kernels cannot be batched over cotangents; MATH can on every device.
    with sdpa_kernel(SDPBackend.MATH):
        moved, pull = vjp(lambda u: system.step(t, u), z)
        eye = torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
        (rows,) = vmap(pull)(eye.unsqueeze(1).expand(-1, len(z), -1))
    return moved, rows.transpose(0, 1)


@torch.no_grad()
def jacobian_spectrum(system: TangentMap, n_steps: int, transient: int = 0, Q0: Tensor | None = None) -> MapSpectrum:
    """All N exponents of each orbit, or those of the columns of `Q0`, by Householder QR of full Jacobians in float64.

    `Q0` is [N, k] or [B, N, k] with orthonormal columns, the identity by default; the basis is carried through the
    first `transient` steps, which are left out of the average. The orbit runs in the dtype of the system's state: use
    `model.double()` for an oracle of a network. Rows that do not stay finite give nan.

    ValueError for a state of more than 1024 entries, fewer than one step, or a basis that does not fit.
    """
    z = system.start()
    batch, dimension = z.shape
    if dimension > MAX_DIMENSION:
        raise ValueError(f"the state has {dimension} entries: full Jacobians are held up to {MAX_DIMENSION}")
    if n_steps < 1 or transient < 0:
        raise ValueError(f"n_steps is {n_steps}, transient {transient}: at least 1 step and no negative transient")
    Q = torch.eye(dimension) if Q0 is None else torch.as_tensor(Q0)
    if Q.shape[-2] != dimension or Q.shape[-1] > dimension:
        raise ValueError(f"Q0 has shape {tuple(Q.shape)}: it needs {dimension} rows and at most as many columns")
    Q, log_R = Q.to(z.device, torch.float64).expand(batch, *Q.shape[-2:]), []
    for t in range(transient + n_steps):
        z, J = full_jacobian(system, t, z)
        Q, R = torch.linalg.qr(J.double() @ Q)
        diagonal = R.diagonal(dim1=-2, dim2=-1)
        Q = Q * torch.where(diagonal < 0, -1.0, 1.0).unsqueeze(-2)
        if t >= transient:
            log_R.append(diagonal.abs().log().clamp_min(LOG_FLOOR))
    log_R = torch.stack(log_R)
    return MapSpectrum(log_R, log_R.mean(0), Q, z)

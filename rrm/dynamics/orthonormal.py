"""Start bases and the QR step of Lyapunov estimation.

Tangents are kept as rows, V [B, k, N]: each of the k rows is a vector of the N-dimensional tangent space.
"""

import torch
from torch import Tensor

# log R of a direction that the map annihilates; finite, so that means and files stay finite.
LOG_FLOOR = -69.0  # about log 1e-30
# Below this ratio of the smallest to the largest diagonal entry the Gram matrix has lost its digits (condition 1e6).
_CHOLESKY_TRUST = 1e-6


def random_basis(dimension: int, k: int, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """k random orthonormal rows [k, N], uniform on the Stiefel manifold, the same on every machine and device."""
    if not 1 <= k <= dimension:
        raise ValueError(f"k is {k}: the tangent space has dimension {dimension}, use 1 to {dimension}")
    generator = torch.Generator().manual_seed(seed)
    gaussian = torch.randn(dimension, k, generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(gaussian)
    return (q * r.diagonal().sign()).T.contiguous().to(dtype)


def orthonormalize(V: Tensor) -> tuple[Tensor, Tensor]:
    """Rows V [B, k, N] -> (Q [B, k, N] with orthonormal rows, log R [B, k] in float64), R's diagonal positive.

    Cholesky QR with a float64 Gram matrix: as accurate in log R as Householder up to condition numbers of 1e5, and
    batched on every device. Rows where it breaks down (dependent or vanishing tangents) take Householder in float64.
    """
    wide = V.double()
    R_transposed, info = torch.linalg.cholesky_ex(wide @ wide.mT)
    diagonal = R_transposed.diagonal(dim1=-2, dim2=-1)
    trusted = (info == 0) & (diagonal.amin(-1) > _CHOLESKY_TRUST * diagonal.amax(-1))
    if bool(trusted.all()):
        Q = torch.linalg.solve_triangular(R_transposed, wide, upper=False)
    else:
        # Householder for the whole batch would also do; it is the slow path, so only the rows that need it take it.
        Q, diagonal = torch.empty_like(wide), diagonal.clone()
        Q[trusted] = torch.linalg.solve_triangular(R_transposed[trusted], wide[trusted], upper=False)
        q, r = torch.linalg.qr(wide[~trusted].mT)
        r_diagonal = r.diagonal(dim1=-2, dim2=-1)
        sign = torch.where(r_diagonal < 0, -1.0, 1.0)
        Q[~trusted], diagonal[~trusted] = (q * sign.unsqueeze(-2)).mT, r_diagonal.abs()
    return Q.to(V.dtype), diagonal.log().clamp_min(LOG_FLOOR)

"""Start bases and the QR step of Lyapunov estimation.

Tangents are kept as rows, V [B, k, N]: each of the k rows is a vector of the N-dimensional tangent space.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from rrm.models.precision import own_precision

# log R_ii, in nats, of a direction that the map annihilates; finite, so that means and files stay finite.
LOG_FLOOR = -69.0  # about log 1e-30
# A local value that lies so many nats below the largest growth in the same application is rounding: its error is
# exp(nats) times the rounding of a number. Measured on random bases in float32: 6e-4 at 10 nats, 4e-3 at 12, 0.04 at
# 14, 0.4 at 18; in float64 8e-4 at 30.
RESOLVED = {torch.float32: 13.0, torch.float64: 30.0}
# Condition number of V, in Frobenius norms, up to which its Gram matrix keeps digits; the Gram matrix has its square.
_CHOLESKY_TRUST = 1e6


class Factors(NamedTuple):
    """V^T = Q^T R of rows V [B, k, N]: Q [B, k, N] orthonormal rows, R [B, k, k] float64, upper, diagonal positive."""

    Q: Tensor
    R: Tensor

    @property
    def log_diagonal(self) -> Tensor:
        """log R_ii [B, k] in float64, floored at LOG_FLOOR where a direction died; nan where V was not finite."""
        return log_diagonal(self.R)

    @property
    def floored(self) -> Tensor:
        """[B, k] bool, as the function `floored`."""
        return floored(self.R, self.Q.dtype)


def log_diagonal(R: Tensor) -> Tensor:
    """log R_ii [..., k] of R [..., k, k], its diagonal not negative, floored at LOG_FLOOR; nan where R is."""
    return R.diagonal(dim1=-2, dim2=-1).log().clamp_min(LOG_FLOOR)


def floored(R: Tensor, dtype: torch.dtype) -> Tensor:
    """[..., k] bool: which log R_ii of R [..., k, k] are a floor and not the growth of a direction.

    A value is a floor where the direction died, or where the value lies so far below the largest entry of R that
    rounding of tangents in `dtype` hides the growth (RESOLVED).
    """
    R = R.detach()
    largest = R.abs().amax((-2, -1)).log().unsqueeze(-1)
    return log_diagonal(R) <= (largest - RESOLVED[dtype]).clamp_min(LOG_FLOOR)


def random_basis(dimension: int, k: int, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """k random orthonormal rows [k, N] on the CPU, uniform on the Stiefel manifold, the same on every machine.

    Raises:
        ValueError: k is 0 or greater than N.
    """
    if not 1 <= k <= dimension:
        raise ValueError(f"k is {k}: the tangent space has dimension {dimension}, use 1 to {dimension}")
    generator = torch.Generator().manual_seed(seed)
    gaussian = torch.randn(dimension, k, generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(gaussian)
    return (q * r.diagonal().sign()).T.contiguous().to(dtype)


@own_precision()
def orthonormalize(V: Tensor) -> Factors:
    """QR of the tangents V [B, k, N] of B orbits.

    Cholesky QR with a float64 Gram matrix: as accurate in log R as Householder up to condition numbers of 1e5, batched
    on every device and differentiable. The next Gram matrix measures the non-orthogonality that is left, so that it
    does not add up in log R. Orbits whose R has a condition number above 1e6 (dependent, vanishing or strongly sheared
    tangents; an even diagonal is no sign of a small one, Kahan 1966) take Householder in float64; orbits whose tangents
    are not finite give nan.

    Raises:
        ArithmeticError: V carries gradient and the tangents of a row are dependent up to rounding: R has no inverse
            there, and Q and log R no derivative.
    """
    gram = _gram(V)
    L, info = torch.linalg.cholesky_ex(gram)
    inverse = _triangular_inverse(L)
    size, inverse_size = (torch.linalg.matrix_norm(matrix.detach()) for matrix in (L, inverse))
    trusted = (info == 0) & (size * inverse_size < _CHOLESKY_TRUST)
    if bool(trusted.all()):
        return Factors(inverse.to(V.dtype) @ V, L.mT)
    # The slow path is taken by those rows alone that need it.
    Q, R = torch.full_like(V, torch.nan), torch.full_like(L, torch.nan)
    # Factorised again, because rows that fail would send nan back through the factorisation of all.
    easy = torch.linalg.cholesky(gram[trusted])
    Q[trusted], R[trusted] = _triangular_inverse(easy).to(V.dtype) @ V[trusted], easy.mT
    hard = ~trusted & V.isfinite().flatten(1).all(1)
    q, r = torch.linalg.qr(V[hard].double().mT)
    if torch.is_grad_enabled() and V.requires_grad:
        _check_independent(r.detach(), V.dtype)
    sign = torch.where(r.diagonal(dim1=-2, dim2=-1) < 0, -1.0, 1.0)
    Q[hard], R[hard] = (q * sign.unsqueeze(-2)).mT.to(V.dtype), r * sign.unsqueeze(-1)
    return Factors(Q, R)


def invertible(R: Tensor) -> Tensor:
    """R [..., k, k] with the diagonal entries of directions that died raised to exp(LOG_FLOOR)."""
    return R + torch.diag_embed((math.exp(LOG_FLOOR) - R.diagonal(dim1=-2, dim2=-1)).clamp_min(0))


def _check_independent(r: Tensor, dtype: torch.dtype) -> None:
    diagonal = r.diagonal(dim1=-2, dim2=-1).abs()
    dependent = int((diagonal.amin(-1) <= torch.finfo(dtype).eps * diagonal.amax(-1)).sum())
    if dependent:
        raise ArithmeticError(
            f"the tangents of {dependent} row(s) became dependent, so that their exponents have no gradient: "
            f"k is {r.shape[-1]}, use fewer exponents"
        )


def _gram(V: Tensor) -> Tensor:
    """V V^T [B, k, k] in float64."""
    if V.device.type == "cpu":
        # One row at a time: the float64 copy of a whole batch would cost more than the product.
        return torch.stack([wide @ wide.mT for wide in (row.double() for row in V)])
    wide = V.double()
    return wide @ wide.mT


def _triangular_inverse(L: Tensor) -> Tensor:
    eye = torch.eye(L.shape[-1], dtype=L.dtype, device=L.device)
    return torch.linalg.solve_triangular(L, eye.expand_as(L), upper=False)

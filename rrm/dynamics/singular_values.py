"""Singular values of long matrix products, whose entries no floating-point number could hold."""

import torch
from torch import Tensor

from rrm.dynamics.orthonormal import invertible

# Cosines between rows at which they count as orthogonal; the exponents are then exact to less than that.
_ORTHOGONAL = 1e-12
_MAX_ROUNDS = 40


def singular_value_ftle(R: Tensor) -> Tensor:
    """Exponents (1/n) log sigma_i of the product R_n ... R_1, sigma_i its singular values.

    With k = N the product is the whole Jacobian product times an orthogonal start basis, so that its singular values
    are those of the long Jacobian: the finite-time exponents in the sense of singular values ("LCE" in Kuznetsov, arXiv
    1410.2016), independent of the start basis. With k < N they are those of the product restricted to the span of the
    start basis: lower bounds of the N-dimensional ones, index by index.

    The product itself is never formed. Two QR sweeps through the factors, one for the product's transpose and one back,
    grade it: it becomes D X with log D known and X a well-conditioned triangle. One-sided Jacobi rotations of its rows,
    their lengths kept as logarithms, then converge to singular values of any dynamic range with small *relative* error
    (Demmel and Veselic, SIAM J. Matrix Anal. Appl. 13, 1204, 1992).

    A direction that a factor annihilates gives a very negative value set by rounding.

    Args:
        R: factors [n, B, k, k], the first applied first: those of `factorizations`, or any square matrices, such as
            full Jacobians.

    Returns:
        [B, k] float64, descending, in nats per factor; nan in rows with a factor that is not finite.

    Raises:
        RuntimeError: the rotations do not converge.
    """
    n, batch, k, _ = R.shape
    finite = R.isfinite().flatten(2).all(2).all(0)
    factors = R[:, finite].double()
    out = torch.full((batch, k), torch.nan, dtype=torch.float64, device=R.device)
    out[finite] = _log_singular_values(*_graded_product(_sweep(_sweep(factors)))) / n
    return out


def _sweep(factors: Tensor) -> Tensor:
    """Upper triangular factors [n, B, k, k], diagonals not negative, of the transposed product up to a rotation."""
    Q, out = torch.eye(factors.shape[-1], dtype=factors.dtype, device=factors.device), []
    for factor in factors.flip(0):
        Q, S = torch.linalg.qr(factor.mT @ Q)
        sign = torch.where(S.diagonal(dim1=-2, dim2=-1) < 0, -1.0, 1.0)
        Q = Q * sign.unsqueeze(-2)
        out.append(S * sign.unsqueeze(-1))
    return torch.stack(out)


def _graded_product(factors: Tensor) -> tuple[Tensor, Tensor]:
    """log d [B, k] and a unit upper triangle X [B, k, k] with diag(d) X = the product."""
    X = torch.eye(factors.shape[-1], dtype=factors.dtype, device=factors.device)
    log_d = factors.new_zeros(factors.shape[1:3])
    for S in invertible(factors):
        diagonal = S.diagonal(dim1=-2, dim2=-1)
        # Graded: for l > i d_l / d_i is small, so that the sums lose no digits. The bound keeps 0 * inf away below i.
        ratio = (log_d.unsqueeze(-2) - log_d.unsqueeze(-1)).clamp_max(600.0).exp()
        X = (S / diagonal.unsqueeze(-1) * ratio) @ X
        log_d = log_d + diagonal.log()
    return log_d, X


def _log_singular_values(log_d: Tensor, X: Tensor) -> Tensor:
    """Descending log singular values [B, k] of diag(d) X by one-sided Jacobi on the rows, directions y and log norms l.

    A rotation of rows of norms 1 and rho <= 1 (relative) with cosine c has tan(theta) = rho tau; in these terms nothing
    under- or overflows however small rho is.
    """
    k = X.shape[-1]
    norm = torch.linalg.vector_norm(X, dim=-1)
    y, l = X / norm.unsqueeze(-1), log_d + norm.log()
    for _ in range(_MAX_ROUNDS):
        largest = torch.zeros((), dtype=y.dtype, device=y.device)
        for p in range(k - 1):
            for q in range(p + 1, k):
                swap = l[:, q] > l[:, p]
                y_long = torch.where(swap[:, None], y[:, q], y[:, p])
                y_short = torch.where(swap[:, None], y[:, p], y[:, q])
                l_long, l_short = torch.maximum(l[:, p], l[:, q]), torch.minimum(l[:, p], l[:, q])
                rho = (l_short - l_long).exp()
                c = (y_long * y_short).sum(-1)
                largest = torch.maximum(largest, c.abs().amax()) if len(c) else largest
                spread = 1 - rho.square()
                divisor = spread + (spread.square() + 4 * (rho * c).square()).sqrt()
                tau = torch.where(divisor > 0, 2 * c / divisor.clamp_min(1e-300), 0.0)
                cosine = (1 + (rho * tau).square()).rsqrt()
                for row, size, vector in (
                    (p, l_long, y_long + (rho.square() * tau)[:, None] * y_short),
                    (q, l_short, y_short - tau[:, None] * y_long),
                ):
                    length = torch.linalg.vector_norm(vector, dim=-1).clamp_min(1e-300)
                    y[:, row], l[:, row] = vector / length[:, None], size + (cosine * length).log()
        if largest < _ORTHOGONAL:
            return l.sort(-1, descending=True).values
    raise RuntimeError(f"singular values did not converge in {_MAX_ROUNDS} rounds: cosine {float(largest):.1e} left")

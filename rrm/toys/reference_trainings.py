"""Trainings with known exponents: optimizers on quadratic losses, where the tangent map does not change.

Each function gives a map and its exponents in nats per step, [k] in descending order.
"""

import math

import torch
from torch import Tensor

from rrm.dynamics.training_map import (
    AdamATan2Rule,
    AdamRule,
    AdamWRule,
    GradientDescentRule,
    TrainingMap,
    fresh_state,
)

# Steps behind the start, after which the corrections of the moments are 1 to rounding.
LATE = 1_000_000


def _wide(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _sorted(*exponents: Tensor) -> Tensor:
    return torch.cat(exponents).sort(descending=True).values


def gradient_descent_on_a_quadratic(seed: int) -> tuple[TrainingMap, Tensor]:
    """L = w^T H w / 2, H rotated, one curvature negative and one beyond 2 / lr: ln |1 - lr (h + wd)|."""
    curvatures, rule = _wide(-1, 0.5, 2, 5, 12, 21), GradientDescentRule(lr=0.1, weight_decay=0.5)
    H = _rotated(curvatures, seed)
    exact = (1 - rule.lr * (curvatures + rule.weight_decay)).abs().log()
    return TrainingMap(lambda w: w @ H @ w / 2, rule, fresh_state(_wide(0, 0, 0, 0, 0, 0)[None], rule)), _sorted(exact)


def adamw_at_rest(seed: int) -> tuple[TrainingMap, Tensor]:
    """At a minimum the moments are 0, the preconditioner stays 1 / eps, and H may be rotated.

    Two exponents a mode, those of (dw, dm) <- [[1 - lr wd - lr (1 - b1) h / eps, -lr b1 / eps], [(1 - b1) h, b1]], and
    ln b2 for each weight. The last curvature lies beyond the edge of stability.
    """
    curvatures, (b1, b2) = _wide(-1, 0.5, 1, 60), (0.5, 0.98)
    rule = AdamWRule(lr=0.1, weight_decay=0.5, betas=(b1, b2), eps=1.0)
    H = _rotated(curvatures, seed)
    modes = torch.stack([
        _wide(1 - rule.lr * (rule.weight_decay + (1 - b1) * h), -rule.lr * b1, (1 - b1) * h, b1).view(2, 2)
        for h in curvatures.tolist()
    ])  # fmt: skip
    exact = _sorted(torch.linalg.eigvals(modes).abs().log().flatten(), torch.full((4,), math.log(b2)).double())
    z0 = fresh_state(torch.zeros(1, 4, dtype=torch.float64), rule)
    return TrainingMap(lambda w: w @ H @ w / 2, rule, z0, first=LATE), exact


def adamw_balanced(seed: int) -> tuple[TrainingMap, Tensor]:
    """AdamW where decay balances the update: wd w = -u, u = c / (|c| + eps) for a gradient c that stays."""
    eps = 0.1

    def update(c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        below = c.abs() + eps
        return c / below, 1 / below, -c / (2 * c.abs() * below.square())

    rule = AdamWRule(lr=0.1, weight_decay=0.5, betas=(0.5, 0.8), eps=eps)
    return _balanced(rule, *update(_GRADIENTS))


def adam_atan2_balanced(seed: int) -> tuple[TrainingMap, Tensor]:
    """The same with AdamATan2: u = atan2(c, |c|) = +-pi / 4."""
    c = _GRADIENTS
    rule = AdamATan2Rule(lr=0.1, weight_decay=0.5, betas=(0.5, 0.8))
    return _balanced(rule, math.pi / 4 * c.sign(), 1 / (2 * c.abs()), -c.sign() / (4 * c.square()))


# Of two weights with curvatures of their own, for which all eigenvalues are real and lie apart.
_GRADIENTS, _CURVATURES = _wide(1, -0.5), _wide(-1, 0.4)


def _balanced(rule: AdamRule, u: Tensor, of_m: Tensor, of_v: Tensor) -> tuple[TrainingMap, Tensor]:
    """A fixed point (w, m, v) = (-u / wd, c, c^2) of L = sum h (w - a)^2 / 2, and its matrix 3 x 3 a weight."""
    c, h, (b1, b2) = _GRADIENTS, _CURVATURES, rule.betas
    w = -u / rule.weight_decay
    goal = w - c / h
    modes = []
    for i in range(len(c)):
        to_m = _wide((1 - b1) * float(h[i]), b1, 0)
        to_v = _wide(2 * (1 - b2) * float(c[i] * h[i]), 0, b2)
        to_w = _wide(1 - rule.lr * rule.weight_decay, 0, 0) - rule.lr * (of_m[i] * to_m + of_v[i] * to_v)
        modes.append(torch.stack((to_w, to_m, to_v)))
    exact = _sorted(torch.linalg.eigvals(torch.stack(modes)).abs().log().flatten())
    z0 = torch.cat((w, c, c.square()))[None]
    return TrainingMap(lambda weights: (h * (weights - goal).square()).sum() / 2, rule, z0, first=LATE), exact


def _rotated(eigenvalues: Tensor, seed: int) -> Tensor:
    """A symmetric matrix with given eigenvalues in a random basis, which is not the start basis of the same seed."""
    generator = torch.Generator().manual_seed(seed + 1)
    n = len(eigenvalues)
    basis = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))[0]
    return basis @ torch.diag(eigenvalues) @ basis.T

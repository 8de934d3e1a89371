"""What an adaptive optimizer makes of the gradients: effective rates, ratio, and update against decay.

With m and v the moments before bias correction, c = 1 - beta_1^t and s = sqrt(v / (1 - beta_2^t)):

AdamW (arXiv 1711.05101): update u = (m / c) / (s + eps), P = s + eps, effective_lr = lr / P.
AdamATan2 (arXiv 2407.05872; its kernel corrects m outside): u = atan2(m, s) / c, P = (m^2 + s^2) / s, one over the
slope of atan2 in m, and effective_lr = lr / (c P).

effective_lr of each weight is the rate of gradient descent that would move it alike; weights that never had a gradient
are left out. Weights whose gradients vanish rule its mean, up to lr / eps, so the geometric mean stands beside it.
ratio = |u|: 1 where all gradients agree, small where they cancel; at most pi / (2 c) under AdamATan2.
update_to_decay = ||u|| / (wd ||w||) over the decayed weights: 1 where their norm stands still.
Cost: .1 training steps.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from rrm.probes.probe import Probe
from rrm.probes.view import Formula, Moments, View


class Adam(Probe):
    """effective_lr_mean, _geometric_mean and _max, ratio_mean and _max, and update_to_decay where anything decays."""

    name = "adam"

    @classmethod
    def lacking(cls, model: nn.Module, formula: Formula | None) -> str | None:
        return no_moments(formula)

    def measure(self, view: View) -> dict[str, Tensor]:
        moved = [(m, w) for m, w in zip(view.moments, view.weights, strict=True) if m is not None]
        rates = torch.cat([(m.rate / m.preconditioner).flatten() for m, _ in moved])
        logs = rates.log()
        # 1, or nan where the rate is no positive number: on a CPU several times as fast as a mask.
        ones = logs - logs + 1
        rates, logs = rates * ones, logs * ones
        ratios = torch.cat([m.direction.flatten() for m, _ in moved]).abs_()
        seen = ones.nansum(dtype=torch.float64)
        found = {
            "effective_lr_mean": rates.nansum(dtype=torch.float64) / seen,
            "effective_lr_geometric_mean": (logs.nansum(dtype=torch.float64) / seen).exp(),
            "effective_lr_max": rates.nan_to_num(0.0).max(),
            "ratio_mean": ratios.mean(dtype=torch.float64),
            "ratio_max": ratios.max(),
        }
        decayed = [(m.direction, m.weight_decay, w) for m, w in moved if m.weight_decay]
        if decayed:
            directions, decays, weights = zip(*decayed, strict=True)
            shrunk = torch._foreach_mul(torch._foreach_norm(weights), decays)
            updates = torch.stack(torch._foreach_norm(directions)).norm()
            found["update_to_decay"] = updates / torch.stack(shrunk).norm()
        return found


def no_moments(formula: Formula | None) -> str | None:
    """`Probe.lacking` of a probe that reads the moments of the optimizer."""
    return None if formula else "an optimizer with the moments of Adam (adamw, adam_atan2)"


def adamw(state: Mapping[str, Tensor], group: Mapping[str, Any]) -> Moments:
    """Of torch.optim.AdamW and torch.optim.Adam."""
    first, second = _corrections(state, group)
    v = state["exp_avg_sq"]
    P = (v / second).sqrt() + group["eps"]
    direction = state["exp_avg"] / first / P
    decay = group["weight_decay"] if group.get("decoupled_weight_decay", True) else 0.0
    lr = float(group["lr"])
    seen = P * (v / v)  # 0 / 0 is nan where no gradient ever came
    return Moments(direction, seen, lr, lr / first, lr, decay, group["betas"][0])


def adam_atan2(state: Mapping[str, Tensor], group: Mapping[str, Any]) -> Moments:
    """Of `rrm.training.optim.AdamATan2`."""
    first, second = _corrections(state, group)
    m, root = state["exp_avg"], (state["exp_avg_sq"] / second).sqrt()
    lr = float(group["lr"])
    P = (m.square() + root.square()) / root  # 0 / 0 is nan where no gradient ever came
    direction = torch.atan2(m, root) / first
    return Moments(direction, P, lr / first, lr / first, lr, group["weight_decay"], group["betas"][0])


def _corrections(state: Mapping[str, Tensor], group: Mapping[str, Any]) -> tuple[float, float]:
    """1 - beta^t of both moments."""
    t, (beta1, beta2) = float(state["step"]), group["betas"]
    return 1 - beta1**t, 1 - beta2**t

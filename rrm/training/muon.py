"""Muon: momentum made orthogonal for hidden matrices, AdamW for all other parameters.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024). All is computed in the dtype of the
parameters, which is float32 on every device, so that a training can be repeated.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rrm.errors import InputError
from rrm.training.optim import OptimizerSettings, checked_betas, undecayed

# Of the quintic iteration. They lift small singular values fast, and leave the large ones around 1 instead of at 1.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)

# Factors on the update of a matrix [out, in], by their names in torch.optim.Muon. An orthogonal matrix has entries of
# RMS max(out, in)^-1/2; "match_rms_adamw" makes it .2, about that of an update of Adam, whose learning rate then fits
# (Liu et al., arXiv 2502.16982).
UPDATE_SCALES: dict[str, Callable[[int, int], float]] = {
    "original": lambda out, wide: max(1.0, out / wide) ** 0.5,
    "match_rms_adamw": lambda out, wide: 0.2 * max(out, wide) ** 0.5,
}


def orthogonalized(G: Tensor, steps: int) -> Tensor:
    """About U V^T of matrices G = U S V^T [..., out, in], by steps X <- a X + b (X X^T) X + c (X X^T)^2 X.

    After five steps the singular values above a hundredth of the norm of G lie between .65 and 1.25.
    """
    a, b, c = COEFFICIENTS
    tall = G.shape[-2] > G.shape[-1]
    X = G.mT if tall else G
    X = X / (X.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        A = X @ X.mT
        X = a * X + (b * A + c * A @ A) @ X
    return X.mT if tall else X


class Muon(torch.optim.Optimizer):
    """Muon on the groups of hidden matrices, AdamW (arXiv 1711.05101) on the others.

    A group says by `stacked` how many matrices each of its parameters [stacked * out, in] holds; 0 is a group of AdamW.
    For a hidden matrix: m <- mu m + (1 - mu) g;  p <- p (1 - lr wd) - lr scale orthogonalized(m), with Nesterov's
    (1 - mu) g + mu m in place of m.
    """

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                    (self._muon if group["stacked"] else self._adamw)(p, p.grad, group)

    def _muon(self, p: Tensor, g: Tensor, group: Mapping[str, Any]) -> None:
        state, momentum = self.state[p], group["momentum"]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(p)
        m = state["momentum_buffer"].lerp_(g, 1 - momentum)
        if group["nesterov"]:
            m = torch.lerp(g, m, momentum)
        matrices = m.unflatten(0, (group["stacked"], -1))
        scale = UPDATE_SCALES[group["update_scale"]](*matrices.shape[1:])
        p.add_(orthogonalized(matrices, group["ns_steps"]).flatten(0, 1), alpha=-group["lr"] * scale)

    def _adamw(self, p: Tensor, g: Tensor, group: Mapping[str, Any]) -> None:
        state, (beta1, beta2) = self.state[p], group["betas"]
        if not state:
            # A tensor, so that it travels in checkpoints like the moments.
            state |= {"step": torch.zeros(()), "exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
        state["step"] += 1
        t = int(state["step"])
        m = state["exp_avg"].lerp_(g, 1 - beta1)
        v = state["exp_avg_sq"].mul_(beta2).addcmul_(g, g, value=1 - beta2)
        root = (v.sqrt() / math.sqrt(1 - beta2**t)).add_(group["eps"])
        p.addcdiv_(m, root, value=-group["lr"] / (1 - beta1**t))


@dataclass(frozen=True)
class MuonSettings(OptimizerSettings):
    """Settings of Muon and of the AdamW beside it, which has the learning rate and weight decay of the recipe.

    The model says which matrices are hidden (`hidden_matrices`); of a network that does not say it AdamW trains all.
    Nothing decays the parameters that the model spares (`undecayed`).

    hidden_lr, hidden_weight_decay: of hidden matrices, None for those of the recipe.
    momentum, nesterov: of hidden matrices.  ns_steps: of `orthogonalized`.  update_scale: one of UPDATE_SCALES.
    by_head: make queries, keys and values of each head orthogonal on their own, instead of all of them as one matrix.
    betas, eps: of AdamW.
    """

    hidden_lr: float | None = None
    hidden_weight_decay: float | None = None
    momentum: float = 0.95
    nesterov: bool = True
    ns_steps: int = 5
    update_scale: str = "match_rms_adamw"
    by_head: bool = False
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", checked_betas(self.betas))
        if not 0 <= self.momentum < 1:
            raise InputError(f"momentum is {self.momentum}: use a number from 0 to below 1")
        if self.ns_steps < 1:
            raise InputError(f"ns_steps is {self.ns_steps}: it must be at least 1")
        if self.update_scale not in UPDATE_SCALES:
            raise InputError(f"update_scale {self.update_scale!r} is unknown: use one of {', '.join(UPDATE_SCALES)}")
        if self.hidden_lr is not None and not self.hidden_lr > 0:
            raise InputError(f"hidden_lr is {self.hidden_lr}: it must be positive, or None for that of the recipe")

    def build(self, model: nn.Module, lr: float, weight_decay: float) -> Muon:
        held: dict[str, int] = getattr(model, "hidden_matrices", dict)()
        by_stack: dict[int, list[nn.Parameter]] = {0: []}
        spared = undecayed(model)
        alone: list[nn.Parameter] = []
        for name, parameter in model.named_parameters():
            stacked = (held[name] if self.by_head else 1) if name in held else 0
            (alone if name in spared else by_stack.setdefault(stacked, [])).append(parameter)
        adamw = {"lr": lr, "weight_decay": weight_decay, "betas": self.betas, "eps": self.eps}
        muon = {
            "lr": lr if self.hidden_lr is None else self.hidden_lr,
            "weight_decay": weight_decay if self.hidden_weight_decay is None else self.hidden_weight_decay,
            **{name: getattr(self, name) for name in ("momentum", "nesterov", "ns_steps", "update_scale")},
        }
        groups = [
            {"params": parameters, "stacked": stacked, **(muon if stacked else adamw)}
            for stacked, parameters in by_stack.items()
        ]
        if alone:
            groups.append({"params": alone, "stacked": 0, **adamw, "weight_decay": 0.0})
        return Muon(groups, {})

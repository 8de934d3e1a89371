"""The field's optimizers and weight averaging, to the letter of the public kernels.

AdamATan2: the package adam-atan2 of the public HRM and TRM code. SignSGD: the sparse embedding of the same code.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from rrm.errors import InputError
from rrm.models.layers import PuzzleTable
from rrm.training.part import PartSettings


class AdamATan2(torch.optim.Optimizer):
    """Adam with atan2 instead of a division, so without epsilon (Everett et al., arXiv 2407.05872).

    p <- p (1 - lr wd);  m, v as in Adam;  p <- p - lr / (1 - b1^t) * atan2(m, sqrt(v) / sqrt(1 - b2^t)).
    As in the published CUDA kernel the correction of m stands *outside* the atan2: the first step has size 0.997 lr.
    Weight decay applies to every parameter of a group; a model may spare some (`decayed`).
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float, betas: tuple[float, float] = (0.9, 0.95), weight_decay: float = 0.0
    ):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            for p in params:
                if not self.state[p]:
                    # A tensor, so that it travels in checkpoints like the moments.
                    self.state[p] = {
                        "step": torch.zeros(()), "exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)
                    }  # fmt: skip
            states = [self.state[p] for p in params]
            grads = [p.grad for p in params]
            m, v = [s["exp_avg"] for s in states], [s["exp_avg_sq"] for s in states]
            (beta1, beta2), lr = group["betas"], group["lr"]
            torch._foreach_mul_(params, 1 - lr * group["weight_decay"])
            torch._foreach_lerp_(m, grads, 1 - beta1)
            torch._foreach_mul_(v, beta2)
            torch._foreach_addcmul_(v, grads, grads, 1 - beta2)
            roots = torch._foreach_sqrt(v)
            for p, s, numerator, root in zip(params, states, m, roots, strict=True):
                s["step"] += 1
                t = int(s["step"])
                direction = torch.atan2(numerator, root.div_(math.sqrt(1 - beta2**t)))
                p.add_(direction, alpha=-lr / (1 - beta1**t))


class SignSGD:
    """Sparse sign-SGD on a puzzle table: w <- w (1 - lr wd) - lr sign(sum of gradients), on the rows seen only."""

    def __init__(self, table: PuzzleTable, lr: float, weight_decay: float):
        self.table, self.lr, self.weight_decay = table, lr, weight_decay

    @torch.no_grad()
    def step(self) -> None:
        """Update the rows that are pending from their gradients, then forget these."""
        learned = [(identifiers, rows.grad) for identifiers, rows in self.table.pending if rows.grad is not None]
        self.zero_grad()
        if not learned:
            return
        identifiers, gradients = (_of_all_workers(torch.cat(parts)) for parts in zip(*learned, strict=True))
        seen, position = identifiers.unique(return_inverse=True)
        gradient = gradients.new_zeros(len(seen), gradients.shape[1]).index_add_(0, position, gradients)
        weights = self.table.weights
        weights[seen] = weights[seen] * (1 - self.lr * self.weight_decay) - self.lr * gradient.sign()

    def zero_grad(self) -> None:
        """Forget the gradients of the batches since the last update."""
        self.table.pending.clear()


class EMA:
    """Exponential moving average of the trained parameters, started at their values, without bias correction."""

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.shadow = {name: p.detach().clone() for name, p in _parameters(model).items() if p.requires_grad}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """shadow <- decay * shadow + (1 - decay) * parameter."""
        names = _parameters(model)
        torch._foreach_lerp_(list(self.shadow.values()), [names[name].detach() for name in self.shadow], 1 - self.decay)

    def weights(self, model: nn.Module) -> dict[str, Tensor]:
        """A full state dict: averaged parameters and the model's buffers, copied."""
        return {name: self.shadow.get(name, value).detach().clone() for name, value in model.state_dict().items()}


def optimizer_tensors(optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """The state of an optimizer, such as its moments, as {"slot/name of the parameter": tensor}."""
    return {
        f"{slot}/{name}": value
        for name, parameter in parameters.items()
        for slot, value in optimizer.state.get(parameter, {}).items()
    }


def load_optimizer(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor]
) -> None:
    """Give an optimizer the state that `optimizer_tensors` wrote; counts of steps stay on the CPU."""
    for key, value in tensors.items():
        slot, name = key.split("/", 1)
        optimizer.state[parameters[name]][slot] = value.cpu() if slot == "step" else value


def _of_all_workers(mine: Tensor) -> Tensor:
    """The rows of every DDP worker, one after the other: the table has to stay the same on all of them."""
    if not (dist.is_available() and dist.is_initialized()):
        return mine
    parts = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, mine.contiguous())
    return torch.cat(parts)


def _parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters under all their names: a tied tensor has two, and both stand in a state dict."""
    return dict(model.named_parameters(remove_duplicate=False))


@dataclass(frozen=True)
class OptimizerSettings(PartSettings, ABC):
    """Settings of an optimizer, and those of the table of puzzle vectors, which sign-SGD trains beside any of them."""

    puzzle_lr: float = 1e-4
    puzzle_weight_decay: float = 1.0

    @abstractmethod
    def build(self, model: nn.Module, lr: float, weight_decay: float) -> torch.optim.Optimizer:
        """The optimizer of the parameters of a model. The trainer scales the `lr` of each group by its schedule."""


@dataclass(frozen=True)
class AdamATan2Settings(OptimizerSettings):
    """betas: as of Adam."""

    betas: tuple[float, float] = (0.9, 0.95)

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", checked_betas(self.betas))

    def build(self, model: nn.Module, lr: float, weight_decay: float) -> AdamATan2:
        return AdamATan2(decayed(model), lr=lr, betas=self.betas, weight_decay=weight_decay)


@dataclass(frozen=True)
class AdamWSettings(OptimizerSettings):
    """betas, eps: as of `torch.optim.AdamW` (Loshchilov and Hutter, arXiv 1711.05101)."""

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", checked_betas(self.betas))

    def build(self, model: nn.Module, lr: float, weight_decay: float) -> torch.optim.AdamW:
        return torch.optim.AdamW(decayed(model), lr=lr, betas=self.betas, eps=self.eps, weight_decay=weight_decay)


@dataclass(frozen=True)
class AdamSettings(AdamWSettings):
    """As of `torch.optim.Adam`: weight decay is part of the gradient, and divided by its size like the rest of it."""

    def build(self, model: nn.Module, lr: float, weight_decay: float) -> torch.optim.Adam:  # type: ignore[override]
        return torch.optim.Adam(decayed(model), lr=lr, betas=self.betas, eps=self.eps, weight_decay=weight_decay)


@dataclass(frozen=True)
class SGDSettings(OptimizerSettings):
    """momentum: as of `torch.optim.SGD`; 0 is plain gradient descent."""

    momentum: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.momentum < 1:
            raise InputError(f"momentum is {self.momentum:g}: use a number from 0 to below 1")

    def build(self, model: nn.Module, lr: float, weight_decay: float) -> torch.optim.SGD:
        return torch.optim.SGD(decayed(model), lr=lr, momentum=self.momentum, weight_decay=weight_decay)


def decayed(model: nn.Module) -> Any:
    """The parameters of a model in one group, or in two where weight decay leaves some of them alone."""
    spared = undecayed(model)
    if not spared:
        return model.parameters()
    named = list(model.named_parameters())
    return [
        {"params": [p for name, p in named if name not in spared]},
        {"params": [p for name, p in named if name in spared], "weight_decay": 0.0},
    ]


def undecayed(model: nn.Module) -> set[str]:
    """Names of the parameters that weight decay leaves alone: rates and gates, which it would pull to one half."""
    return getattr(model, "undecayed", set)()


def checked_betas(betas: Iterable[float]) -> tuple[float, ...]:
    """The betas as a tuple, which JSON makes a list."""
    pair = tuple(betas)
    if len(pair) != 2 or not all(0 <= beta < 1 for beta in pair):
        raise InputError(f"betas are {pair}: use two numbers from 0 to below 1")
    return pair

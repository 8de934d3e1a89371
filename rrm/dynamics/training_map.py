"""Training as a dynamical system: one step of an optimizer is a map of weights and moments, and has a tangent map.

    g = grad L(w);   m, v, w <- rule(t, g, w, m, v)

The loss is that of the full batch, so that the map is deterministic. A tangent (dw, dm, dv) needs one Hessian-vector
product, dg = H dw; everything else in a rule acts on each weight alone. Exponents are nats per optimizer step.

A weight whose gradient was exactly 0 in every step has v = 0, where the slope of Adam is 1 / eps and that of Adam-atan2
has no bound: a nearby training that wakes the weight jumps ahead by lr at once. No tangent sees such a jump
(`twin_beside_tangent` counts them), so measure networks of smooth activations.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp

from rrm.dynamics.lyapunov import factorizations
from rrm.dynamics.tangent_map import TangentMap, check_state, check_steps, tangents_by_jvp
from rrm.dynamics.twin import apart, companion
from rrm.errors import InputError
from rrm.models.precision import measurement

# (w, m, v), or (w,) of a rule without moments: states [B, n] each, tangents [B, k, n] each.
Parts = tuple[Tensor, ...]
# A twin that goes apart by this factor more or less than its tangent in one step jumped, in nats.
JUMP = 1.0


@dataclass(frozen=True, kw_only=True)
class Rule(ABC):
    """What an optimizer does with a gradient, float64 throughout.

    Attributes:
        lr: learning rate, above 0.
        weight_decay: decoupled; the weights are scaled by 1 - lr weight_decay in every step.
        warmup: steps in which the rate rises linearly; 0 for none.
        moments: tensors that the rule keeps a weight.

    Raises:
        InputError: a rate that is not above 0, a negative decay or warm-up.
    """

    lr: float
    weight_decay: float = 0.0
    warmup: int = 0
    moments: ClassVar[int] = 0

    def __post_init__(self) -> None:
        if not self.lr > 0:
            raise InputError(f"lr is {self.lr}: use a number above 0")
        for name in ("weight_decay", "warmup"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} is {getattr(self, name)}: use 0 or more")

    def lr_at(self, t: int) -> float:
        """The rate of step t, counted from 0."""
        return self.lr * min(1.0, (t + 1) / max(1, self.warmup))

    @abstractmethod
    def step(self, t: int, parts: Parts, g: Tensor) -> Parts:
        """The parts after step t, from gradients [B, n] at the weights before."""

    @abstractmethod
    def push(self, t: int, parts: Parts, g: Tensor, tangents: Parts, dg: Tensor) -> Parts:
        """The tangents of the parts after step t, from tangents of the parts and of the gradient before."""


@dataclass(frozen=True, kw_only=True)
class GradientDescentRule(Rule):
    """w <- w (1 - lr wd) - lr g."""

    def step(self, t: int, parts: Parts, g: Tensor) -> Parts:
        lr = self.lr_at(t)
        return ((1 - lr * self.weight_decay) * parts[0] - lr * g,)

    def push(self, t: int, parts: Parts, g: Tensor, tangents: Parts, dg: Tensor) -> Parts:
        return self.step(t, tangents, dg)


@dataclass(frozen=True, kw_only=True)
class AdamRule(Rule):
    """m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  w <- w (1 - lr wd) - lr u(m, v); subclasses give u."""

    betas: tuple[float, float] = (0.9, 0.999)
    moments: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(0 <= beta < 1 for beta in self.betas):
            raise InputError(f"betas are {self.betas}: use two numbers from 0 to below 1")

    def corrections(self, t: int) -> tuple[float, float]:
        """What m and v are divided by after step t because they started at 0."""
        return 1 - self.betas[0] ** (t + 1), 1 - self.betas[1] ** (t + 1)

    @abstractmethod
    def update(self, t: int, m: Tensor, v: Tensor) -> Tensor:
        """u [B, n] from the moments after step t."""

    @abstractmethod
    def slopes(self, t: int, m: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """du/dm and du/dv [B, n], 0 where v is 0 and u has no derivative."""

    def _moments(self, parts: Parts, g: Tensor) -> tuple[Tensor, Tensor]:
        (b1, b2), (_, m, v) = self.betas, parts
        return b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g.square()

    def step(self, t: int, parts: Parts, g: Tensor) -> Parts:
        lr = self.lr_at(t)
        m, v = self._moments(parts, g)
        return (1 - lr * self.weight_decay) * parts[0] - lr * self.update(t, m, v), m, v

    def push(self, t: int, parts: Parts, g: Tensor, tangents: Parts, dg: Tensor) -> Parts:
        lr, (b1, b2), (dw, dm, dv) = self.lr_at(t), self.betas, tangents
        of_m, of_v = (slope.unsqueeze(1) for slope in self.slopes(t, *self._moments(parts, g)))
        dm = b1 * dm + (1 - b1) * dg
        dv = b2 * dv + 2 * (1 - b2) * g.unsqueeze(1) * dg
        return (1 - lr * self.weight_decay) * dw - lr * (of_m * dm + of_v * dv), dm, dv


@dataclass(frozen=True, kw_only=True)
class AdamWRule(AdamRule):
    """u = m^ / (sqrt v^ + eps) with m^, v^ corrected for their start (Loshchilov and Hutter, arXiv 1711.05101)."""

    eps: float = 1e-8

    def update(self, t: int, m: Tensor, v: Tensor) -> Tensor:
        c1, c2 = self.corrections(t)
        return m / c1 / ((v / c2).sqrt() + self.eps)

    def slopes(self, t: int, m: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        c1, c2 = self.corrections(t)
        root = (v / c2).sqrt()
        below = root + self.eps
        return 1 / (c1 * below), torch.where(root > 0, -m / (2 * c1 * c2 * root * below.square()), 0.0)


@dataclass(frozen=True, kw_only=True)
class AdamATan2Rule(AdamRule):
    """u = atan2(m, sqrt v^) / (1 - b1^t), as `rrm.training.optim.AdamATan2`."""

    betas: tuple[float, float] = (0.9, 0.95)

    def update(self, t: int, m: Tensor, v: Tensor) -> Tensor:
        c1, c2 = self.corrections(t)
        return torch.atan2(m, (v / c2).sqrt()) / c1

    def slopes(self, t: int, m: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        c1, c2 = self.corrections(t)
        root = (v / c2).sqrt()
        size = m.square() + v / c2
        # The smallest normal number stands for a size that underflows.
        size = size.clamp_min(torch.finfo(v.dtype).tiny)
        return root / (c1 * size), torch.where(root > 0, -m / (2 * c1 * c2 * root * size), 0.0)


class TrainingMap(TangentMap):
    """The state z = (w, m, v) [B, N] of B trainings on one loss, N = n or 3 n, and one optimizer step.

    Attributes:
        loss: flat weights [n] -> scalar.
        rule: of the optimizer.
        first: optimizer steps that lie behind the state that the map starts from.
    """

    def __init__(self, loss: Callable[[Tensor], Tensor], rule: Rule, z0: Tensor, first: int = 0):
        """A training on `loss`, flat weights [n] -> scalar, from the state z0 [B, N] that `first` steps led to.

        `fresh_state` gives the state of a training that begins.

        Raises:
            ValueError: z0 is no batch of states of the rule; a negative `first`.
        """
        if check_state(z0).shape[1] % (1 + rule.moments):
            raise ValueError(f"z0 has {z0.shape[1]} entries a row: the rule keeps {rule.moments} moments a weight")
        if first < 0:
            raise ValueError(f"first is {first}: use 0 or more steps")
        self.loss, self.rule, self.first = loss, rule, first
        self._gradient, self._z0 = grad(loss), z0

    def start(self) -> Tensor:
        return self._z0

    def parts(self, z: Tensor) -> Parts:
        """(w, m, v) of states [B, N] or of tangents [B, k, N]."""
        return z.chunk(1 + self.rule.moments, -1)

    def step(self, t: int, z: Tensor) -> Tensor:
        parts = self.parts(z)
        g = torch.stack([self._gradient(w) for w in parts[0]])
        return torch.cat(self.rule.step(self.first + t, parts, g), -1)

    def push(self, t: int, z: Tensor, V: Tensor) -> tuple[Tensor, Tensor]:
        parts, tangents = self.parts(z), self.parts(V)
        # A row at a time, as a loss of flat weights need not allow batches of them.
        rows = [self._products(w, dw) for w, dw in zip(parts[0], tangents[0], strict=True)]
        g, dg = (torch.stack(values) for values in zip(*rows, strict=True))
        pushed = self.rule.push(self.first + t, parts, g, tangents, dg)
        return torch.cat(self.rule.step(self.first + t, parts, g), -1), torch.cat(pushed, -1)

    def _products(self, w: Tensor, dw: Tensor) -> tuple[Tensor, Tensor]:
        """g [n] at w [n], and H dw [k, n] of tangents dw [k, n]."""
        if len(dw) > 1:
            return tangents_by_jvp(self._gradient, w, dw)
        # A batch of one product costs an eighth more than the product.
        found = jvp(self._gradient, (w,), (dw[0],))
        return found[0], found[1].unsqueeze(0)

    def norms(self, t: int, z: Tensor, V: Tensor) -> dict[str, Tensor]:
        """Sizes [B, k] of tangents V [B, k, N] at the state z that t steps led to, in three norms.

        - `state`: Euclidean over (dw, dm, dv), each in its own unit.
        - `weights`: dw alone.
        - `update`: (dw, lr du/dm dm, lr du/dv dv), all in units of weights: what each moves in a step.

        The three differ by bounded factors where V is aligned, so that they agree on the growth over a long window.
        """
        tangents = self.parts(V)
        found = {"state": V.norm(dim=-1), "weights": tangents[0].norm(dim=-1)}
        if isinstance(self.rule, AdamRule):
            step, (_, m, v) = max(0, self.first + t - 1), self.parts(z)
            slopes = self.rule.slopes(step, m, v)
            moved = [
                self.rule.lr_at(step) * slope.unsqueeze(1) * d for slope, d in zip(slopes, tangents[1:], strict=True)
            ]
            found["update"] = torch.cat((tangents[0], *moved), -1).norm(dim=-1)
        return found


def fresh_state(weights: Tensor, rule: Rule) -> Tensor:
    """The state [B, N] of trainings that begin at weights [B, n], moments 0."""
    return torch.cat([weights, *(torch.zeros_like(weights) for _ in range(rule.moments))], -1)


def flat_weights(model: nn.Module) -> Tensor:
    """The parameters of a network as one row [1, n], float64."""
    return torch.cat([parameter.detach().double().flatten() for parameter in model.parameters()]).unsqueeze(0)


def with_weights(model: nn.Module, w: Tensor, *inputs: Tensor) -> Tensor:
    """What a network in float64 makes of its inputs with the flat weights w [n]; differentiable in w."""
    names, own = zip(*model.named_parameters(), strict=True)
    parts = w.split([parameter.numel() for parameter in own])
    weights = {name: part.view(parameter.shape) for name, part, parameter in zip(names, parts, own, strict=True)}
    return functional_call(model, weights, inputs)


@dataclass(frozen=True)
class TwinBesideTangent:
    """Growth of a small separation beside that of its tangent over n steps, both from the same start direction.

    Attributes:
        twin, tangent: [n, B] float64, log of the growth in each step in the norm `state`, nats.
    """

    twin: Tensor
    tangent: Tensor

    @property
    def jumps(self) -> Tensor:
        """[n, B] bool, steps in which the twin grew by a factor that differs from the tangent's by over e."""
        return (self.twin - self.tangent).abs() > JUMP


@measurement()
def twin_beside_tangent(
    system: TrainingMap, direction: Tensor, n_steps: int, *, distance: float = 1e-8
) -> TwinBesideTangent:
    """Follow two trainings and a tangent from the start of `system`, the separation scaled back in every step.

    Args:
        system: the map.
        direction: [B, N], unit vectors, such as the aligned tangent of an earlier window; a random direction would
            push second moments below 0.
        n_steps: steps to run.
        distance: Euclidean norm of the separation, in state units.

    Raises:
        ValueError: as `check_steps`.
    """
    check_steps(n_steps)
    z, along = system.start(), direction
    twins, tangents = [], []
    for t, following, factors in factorizations(system, direction.unsqueeze(1), n_steps):
        twin, size = companion(z, along, distance)
        along, grown, _ = apart(system.step(t - 1, twin), following, size, direction)
        twins.append(grown)
        tangents.append(factors.log_diagonal[:, 0])
        z = following
    return TwinBesideTangent(torch.stack(twins), torch.stack(tangents))

"""What a probe sees of a training: the weights that train, a few fixed rows, the optimizer, and the last step.

The weights are those that train, not their average, which evaluations and checkpoints are read from. Nothing here draws
from the global generator, writes a gradient or leaves a trace in the model: a training with probes ends with the same
bytes as one without.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from rrm.models.base import RecursiveModel
from rrm.models.precision import own_precision
from rrm.tasks.modular import ModularArithmetic

Vector = list[Tensor]  # one tensor for each trained parameter, in the order of `Subject.names`


class Pass(NamedTuple):
    """One forward pass of B rows, with its graph where gradients are recorded.

    embeddings: what the tokens became, [B, ...]; None for a network without an embedding.  representation: what the
    unembedding reads, [B, ..., D]; None where the network does not tell.  logits: [B, ..., V].  losses: [B], nats.
    layers: what leaves each layer, [B, ..., K] by its name; empty where the network does not tell.
    """

    embeddings: Tensor | None
    representation: Tensor | None
    logits: Tensor
    losses: Tensor
    layers: Mapping[str, Tensor] = MappingProxyType({})


class ProbeRows(nn.Module, ABC):
    """B fixed rows together with the network that trains; an objective makes them.

    rows: B.  answers: distributions that the network gives for a row, such as one a cell.  table: that the rows are of;
    None for other data.
    """

    rows: int
    answers: int = 1
    table: ModularArithmetic | None = None

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    @abstractmethod
    def forward(self) -> Pass:
        """A pass of all rows by the weights that the model holds."""

    @abstractmethod
    def first(self, rows: int) -> Self:
        """The first rows alone."""

    @abstractmethod
    def joined(self, others: Self) -> Self:
        """These rows and then others of the same network."""

    def at(self, weights: Mapping[str, Tensor]) -> Pass:
        """A pass by other weights, by the names of the model's parameters."""
        given = {f"model.{name}": value for name, value in weights.items()}
        return torch.func.functional_call(self, given, (), tie_weights=self.tied)

    def logits_at(self, weights: Mapping[str, Tensor]) -> Tensor:
        """The logits [B, ..., V] alone, by other weights."""
        return self.at(weights).logits

    @cached_property
    def tied(self) -> bool:
        """Whether a parameter has several names; to look for them takes as long as a pass of a small network."""
        return len(list(self.model.named_parameters(remove_duplicate=False))) > len(list(self.model.parameters()))

    @property
    def moving(self) -> bool:
        """Whether a training changes answers by more than the trained parameters."""
        return False


class Moments(NamedTuple):
    """What an adaptive optimizer does with the gradients of one parameter tensor; `rrm.probes.adam` has the formulas.

    direction: the last update divided by -lr, without weight decay.  preconditioner: P, by which a small change of the
    gradients is divided on its way into the update; nan where no gradient ever came.  rate: by which it is multiplied.
    sharpness_rate: that of a change of the uncorrected first moment.  lr, weight_decay, beta1: of the group; the decay
    is 0 where it is part of the gradient.
    """

    direction: Tensor
    preconditioner: Tensor
    rate: float
    sharpness_rate: float
    lr: float
    weight_decay: float
    beta1: float


# The moments of one parameter from its state and group; by the class of the optimizer.
Formula = Callable[[Mapping[str, Tensor], Mapping[str, Any]], Moments]


@dataclass
class Subject:
    """What stays the same over a training.

    train, held_out: rows that the training learns from, and rows that it does not (None where there are none).
    formula: reads the moments of the optimizer; None for an optimizer without them.
    seed: of all that probes draw.  before: the weights before the last step, one after the other, [N].
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    train: ProbeRows
    held_out: ProbeRows | None = None
    formula: Formula | None = None
    seed: int = 0
    before: Tensor | None = None

    @cached_property
    def parameters(self) -> dict[str, nn.Parameter]:
        """The trained parameters; a tied one has its first name."""
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    @cached_property
    def names(self) -> list[str]:
        return list(self.parameters)

    @cached_property
    def layers(self) -> dict[str, list[int]]:
        """The places in a `Vector` of the parameters of each layer: as the model says, or up to the first number."""
        own: Any = getattr(self.model, "layers_of", None)
        if own is not None:
            place = {id(p): number for number, p in enumerate(self.parameters.values())}
            return {name: [place[id(p)] for p in parts if id(p) in place] for name, parts in own().items()}
        found: dict[str, list[int]] = {}
        for number, name in enumerate(self.names):
            found.setdefault(_layer(name), []).append(number)
        return found

    def groups(self) -> list[Mapping[str, Any]]:
        """The group of the optimizer that each parameter is in."""
        of = {id(p): group for group in self.optimizer.param_groups for p in group["params"]}
        return [of[id(p)] for p in self.parameters.values()]

    def remember(self) -> None:
        """Keep the present weights as those before the next step, in a tensor of their own."""
        self.before = flat([p.detach() for p in self.parameters.values()])

    def parts(self, vector: Tensor) -> Vector:
        """The vector of [N] entries as one tensor for each parameter."""
        parts = vector.split([p.numel() for p in self.parameters.values()])
        return [part.view(p.shape) for part, p in zip(parts, self.parameters.values(), strict=True)]

    @property
    def previous(self) -> Vector:
        """The weights before the last step."""
        assert self.before is not None
        return self.parts(self.before)

    @cached_property
    def modules(self) -> list[nn.Module]:
        return list(self.model.modules())

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Passes in here are eager, in evaluation mode and in float32 or wider."""
        compiled = [(m, m._compiled_call_impl) for m in self.modules if m._compiled_call_impl is not None]
        training = [m for m in self.modules if m.training]
        precise = self.model.precision(torch.float32) if isinstance(self.model, RecursiveModel) else own_precision()
        with precise:
            try:
                for module, _ in compiled:
                    module._compiled_call_impl = None
                for module in training:
                    module.training = False
                yield
            finally:
                for module in training:
                    module.training = True
                for module, call in compiled:
                    module._compiled_call_impl = call

    @contextmanager
    def differentiating(self) -> Iterator[None]:
        """As `looking`, with kernels that have second derivatives."""
        with self.looking(), sdpa_kernel(SDPBackend.MATH):
            yield


class View:
    """A subject when `step` steps are done. Passes and gradients are computed once, however many probes ask.

    gradients: those that the last step was made of, on its own batch.  gradient_norms: their norms before they were
    clipped, [P]. Both are None before the first step.
    """

    def __init__(
        self, subject: Subject, step: int, gradients: Vector | None = None, gradient_norms: Tensor | None = None
    ):
        self.subject, self.step = subject, step
        self.gradients, self.gradient_norms = gradients, gradient_norms

    def generator(self, probe: str) -> torch.Generator:
        """Random numbers of a probe at this step: a function of the seed, the probe's name and the step."""
        entropy = [self.subject.seed, self.step, *probe.encode()]
        return torch.Generator().manual_seed(int(np.random.SeedSequence(entropy).generate_state(1, np.uint32)[0]))

    @cached_property
    def weights(self) -> Vector:
        return [p.detach() for p in self.subject.parameters.values()]

    @cached_property
    def update(self) -> Vector:
        """What the last step added to the weights, weight decay and all."""
        return list(torch._foreach_sub(self.weights, self.subject.previous))

    @cached_property
    def update_norms(self) -> Tensor:
        """The norm of the update of each parameter, float64 [P]."""
        return torch.stack(torch._foreach_norm(self.update)).double()

    @cached_property
    def weight_norms(self) -> Tensor:
        """The norm of each parameter, float64 [P]."""
        return torch.stack(torch._foreach_norm(self.weights)).double()

    @cached_property
    def train(self) -> Pass:
        """A pass of the training rows, with its graph."""
        with torch.enable_grad():
            return self.subject.train()

    @cached_property
    def held_out(self) -> Pass:
        """A pass of the rows that nothing is learnt from, with its graph; where there are none, of the others."""
        if self.subject.held_out is None:
            return self.train
        with torch.enable_grad():
            return self.subject.held_out()

    @cached_property
    def gradient(self) -> Vector:
        """The gradient of the mean loss of the training rows, with a graph for Hessian-vector products."""
        parameters = list(self.subject.parameters.values())
        with torch.enable_grad():
            loss = self.train.losses.mean()
            return list(torch.autograd.grad(loss, parameters, create_graph=True, materialize_grads=True))

    @cached_property
    def signed_gradient(self) -> Vector:
        """sum s_i g_i over an even number of training rows, all but at most one; half of the s_i are +1, half -1."""
        losses = self.train.losses
        order = torch.randperm(len(losses), generator=self.generator("signed gradient"))
        half = len(losses) // 2
        drawn = torch.zeros(len(losses), dtype=losses.dtype)
        drawn[order[:half]], drawn[order[half : 2 * half]] = 1.0, -1.0
        parameters, given = list(self.subject.parameters.values()), drawn.to(losses.device)
        return list(torch.autograd.grad(losses, parameters, given, retain_graph=True, materialize_grads=True))

    def hessian_times(self, vector: Sequence[Tensor]) -> Vector:
        """H v of the mean loss of the training rows: one product costs about as much as two backward passes."""
        pairs = [(g, v) for g, v in zip(self.gradient, vector, strict=True) if g.requires_grad]
        outputs, weights = zip(*pairs, strict=True)
        parameters = list(self.subject.parameters.values())
        return list(torch.autograd.grad(outputs, parameters, weights, retain_graph=True, materialize_grads=True))

    @cached_property
    def moments(self) -> list[Moments | None]:
        """The moments of each parameter; None for one that the optimizer has not moved yet."""
        formula, state = self.subject.formula, self.subject.optimizer.state
        assert formula is not None
        pairs = zip(self.subject.parameters.values(), self.subject.groups(), strict=True)
        return [formula(state[p], group) if "exp_avg_sq" in state.get(p, {}) else None for p, group in pairs]


def flat(parts: Sequence[Tensor]) -> Tensor:
    """All entries of the parts of a vector, [N]."""
    return torch.cat([part.flatten() for part in parts])


def dot(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """The inner product of two vectors."""
    return torch.stack([torch.dot(x.flatten(), y.flatten()) for x, y in zip(a, b, strict=True)]).sum()


def signs(like: Sequence[Tensor], generator: torch.Generator) -> Vector:
    """A vector of independent entries +1 and -1."""
    sizes = [x.numel() for x in like]
    # Eight to a byte: most of the time would go into the drawing.
    drawn = torch.randint(0, 256, (-(-sum(sizes) // 8), 1), generator=generator, dtype=torch.uint8)
    entries = ((drawn >> torch.arange(8, dtype=torch.uint8)) & 1).flatten()[: sum(sizes)].float().mul_(2).sub_(1)
    return [part.view(x.shape).to(x) for part, x in zip(entries.split(sizes), like, strict=True)]


def _layer(name: str) -> str:
    """The layer of a parameter: its module up to the first number in its path, or the module whole."""
    parts = name.split(".")[:-1] or [name]
    number = next((place for place, part in enumerate(parts) if part.isdigit()), len(parts) - 1)
    return ".".join(parts[: number + 1])

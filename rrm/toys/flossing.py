"""The experiment that gradient flossing was published with: a random network learns to carry bits over a delay.

Flossing (Engelken, arXiv 2312.17306) takes the exponents of the map that is executed, r -> tanh(J r + b + w s), by
automatic differentiation of that very step. The network and its tasks are in `rrm.toys.delayed_bits`.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rrm.dynamics import factorizations, singular_value_ftle, window_exponents
from rrm.dynamics.lyapunov import start_basis
from rrm.errors import InputError
from rrm.toys.delayed_bits import (
    TASKS,
    BitSourceSettings,
    DelayedBits,
    DelayedBitsSettings,
    RandomBits,
    TanhNetwork,
    binary_cross_entropy,
    random_bits,
)
from rrm.training.assemble import build_parts
from rrm.training.flossing import PENALTIES
from rrm.training.hook import Hook, HookSettings
from rrm.training.objective import Objective, ObjectiveSettings, Outcome
from rrm.training.optim import load_optimizer, optimizer_tensors
from rrm.training.part import Context, Loss
from rrm.training.recipe import Recipe
from rrm.training.source import SourceSettings
from rrm.training.trainer import Trainer

SCHEDULES = ("none", "pre", "inter", "pre_inter")


@dataclass(frozen=True)
class ToySettings:
    """Settings of one arm, those of the paper's code by default.

    task: name in `TASKS`.  units: N.  gain: g, of J = g N(0, 1) / sqrt(N).  delay, length (T) and batch of the task.
    budget: training steps of an arm without flossing; what flossing costs is taken off, so that arms are equal in
    network calls.  lr, clip: of AdamW and of the gradient norm of each parameter in training.
    schedule: flossing "none", "pre", "inter" or "pre_inter".  steps: of an episode (E_p, E_i).  every, episodes: one
    after every `every` training steps (E_f), at most `episodes` (N_i).  k: exponents.  window, transient: steps of the
    orbit that flossing sees, and how many of them only align the basis.  penalty, target: see `rrm.training.flossing`.
    """

    task: str = "xor"
    units: int = 80
    gain: float = 1.0
    delay: int = 10
    length: int = 300
    batch: int = 16
    budget: int = 3001
    lr: float = 1e-3
    clip: float = 0.03
    schedule: str = "none"
    steps: int = 500
    every: int = 100
    episodes: int = 2
    k: int = 75
    window: int = 55
    transient: int = 16
    penalty: str = "two_sided"
    target: float = 0.0

    def __post_init__(self) -> None:
        for name, allowed in {"task": TASKS, "schedule": SCHEDULES, "penalty": PENALTIES}.items():
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} {getattr(self, name)!r} is unknown: use one of {', '.join(allowed)}")
        if not 1 <= self.k <= self.units:
            raise InputError(f"k is {self.k}: a network of {self.units} units has 1 to {self.units} exponents")
        if self.length <= 2 * self.delay:
            raise InputError(f"length is {self.length}: a delay of {self.delay} needs more than {2 * self.delay}")
        if self.epochs <= self.every * self.episodes * ("inter" in self.schedule):
            raise InputError(f"budget {self.budget} leaves {self.epochs} training steps beside flossing: raise it")

    @property
    def episode_epochs(self) -> list[int]:
        """The training steps (done so far) after which an episode comes."""
        inter = [self.every * (n + 1) for n in range(self.episodes)] if "inter" in self.schedule else []
        return [0] * ("pre" in self.schedule) + inter

    @property
    def episode_cost(self) -> float:
        """An episode in training steps: each of its steps is (1 + k) forward-backward passes of one row."""
        return self.steps * (1 + self.k) * self.window / (self.batch * self.length)

    @property
    def epochs(self) -> int:
        """Training steps that are left of the budget."""
        return self.budget - math.ceil(len(self.episode_epochs) * self.episode_cost)

    def spent(self) -> list[float]:
        """What of the budget is used up before each training step."""
        return [e + self.episode_cost * sum(at <= e for at in self.episode_epochs) for e in range(self.epochs)]

    def recipe(self, seed: int) -> "ToyRecipe":
        """What the trainer is told of this arm."""
        floss = {name: getattr(self, name) for name in ("steps", "k", "window", "transient", "penalty", "target", "lr")}
        return ToyRecipe(
            model={"family": "tanh", "units": self.units, "gain": self.gain},
            budget=self.budget * self.batch * 3 * self.length,
            batch_size=self.batch,
            objective={"kind": "delayed_bits", "task": self.task, "delay": self.delay, "length": self.length},
            loss="binary_cross_entropy",
            optimizer={"kind": "adamw"},
            lr=self.lr,
            weight_decay=0.0,
            schedule="constant",
            warmup_steps=0,
            ema_decay=0.0,
            source={"kind": "bits", "length": self.length},
            hooks={"flossing": {"at": self.episode_epochs, **floss}, "clip_each": {"norm": self.clip}},
            evaluations=1,
            seed=seed,
        )


# The paper's setting takes several minutes a seed and arm on one thread, the small one about half a minute.
PRESETS = {
    "small": ToySettings(units=40, length=80, budget=1500, steps=150, k=30, window=40, transient=12),
    "paper": ToySettings(),
}


@dataclass(frozen=True)
class Flossing(HookSettings):
    """at: the training steps (done so far) before whose successor an episode comes.  Others: as in ToySettings."""

    at: list[int]
    steps: int
    k: int
    window: int
    transient: int
    penalty: str
    target: float
    lr: float

    def build(self, context: Context) -> "Flosser":
        assert isinstance(context.model, TanhNetwork)
        return Flosser(context.model, self, 3 * context.seed + 1)

    def units(
        self, model: nn.Module, description: Mapping[str, Any], objective: ObjectiveSettings, total_steps: int
    ) -> float:
        return self.episode * sum(at < total_steps for at in self.at)

    @property
    def episode(self) -> int:
        """Call units of an episode: a forward-backward pass of one row for the state and for each of k tangents."""
        return self.steps * 3 * (1 + self.k) * self.window


class Flosser(Hook):
    """Episodes of flossing: one orbit under fresh bits a step."""

    def __init__(self, network: TanhNetwork, settings: Flossing, seed: int):
        super().__init__()
        self.settings, self.network = settings, network
        # Of their own, so that all arms meet the same bits in training.
        self._bits = RandomBits(settings.window, 1, seed)
        self._optimizer = torch.optim.AdamW(network.recurrent.values(), lr=settings.lr, weight_decay=0.0)

    def before_step(self, step: int) -> None:
        s = self.settings
        if step not in s.at:
            return
        first = s.at.index(step) * s.steps
        for n in range(first, first + s.steps):
            exponents = window_exponents(self.network.orbit(self._bits(n)), s.k, s.window, transient=s.transient)
            PENALTIES[s.penalty](exponents - s.target).mean().backward()
            self._optimizer.step()
            self._optimizer.zero_grad()
        self.training.charge(s.episode)

    def tensors(self) -> dict[str, Tensor]:
        return optimizer_tensors(self._optimizer, self.network.recurrent)

    def load(self, tensors: Mapping[str, Tensor], records: list[dict[str, Any]]) -> None:
        super().load(tensors, records)
        load_optimizer(self._optimizer, self.network.recurrent, tensors)


@dataclass(frozen=True)
class ClipEach(HookSettings):
    """norm: bound on the gradient norm of each parameter."""

    norm: float

    def build(self, context: Context) -> "GradientClip":
        return GradientClip(self.norm)


class GradientClip(Hook):
    """Clips the gradient of each parameter by itself."""

    def __init__(self, norm: float):
        super().__init__()
        self.norm = norm

    def after_backward(self, step: int) -> None:
        for parameter in self.training.model.parameters():
            nn.utils.clip_grad_norm_([parameter], self.norm)


class ToyRecipe(Recipe):
    """A recipe of this experiment, with the parts that it brings."""

    OBJECTIVES: ClassVar[Mapping[str, type[ObjectiveSettings]]] = {"delayed_bits": DelayedBitsSettings}
    LOSSES: ClassVar[Mapping[str, Loss]] = {"binary_cross_entropy": binary_cross_entropy}
    SOURCES: ClassVar[Mapping[str, type[SourceSettings]]] = {"bits": BitSourceSettings}
    HOOKS: ClassVar[Mapping[str, type[HookSettings]]] = {"flossing": Flossing, "clip_each": ClipEach}


@dataclass(frozen=True)
class Conditioning:
    """How well a network carries gradients.

    exponents: the spectrum, N in nats per step, over a window of the orbit.
    log10_condition, log10_condition_k, log10_largest: of the singular values of the Jacobian over 2 `delay` steps,
    largest over smallest, largest over the k-th, as many as are flossed, and the largest itself.
    gradient_norm: of the task loss in J.
    """

    exponents: list[float]
    log10_condition: float
    log10_condition_k: float
    log10_largest: float
    gradient_norm: float


@dataclass(frozen=True)
class ToyRun:
    """One training run of one seed.

    accuracy: share of right bits in each training step, before its update.  final: on fresh bits after training.
    seconds: it took.
    conditioning: by moment, "initial", "flossed" (only where there was pre-flossing) and "trained".
    """

    accuracy: list[float]
    final: float
    seconds: float
    conditioning: dict[str, Conditioning]


class Watch(Hook):
    """Keeps the accuracy of each step, and how well the network carries gradients when pre-flossing is over."""

    def __init__(self, settings: ToySettings):
        super().__init__()
        self.settings = settings
        self.accuracy: list[float] = []
        self.flossed: Conditioning | None = None

    def before_step(self, step: int) -> None:
        if step == 0 and "pre" in self.settings.schedule:
            self.flossed = conditioning(self.training.objective, self.settings)

    def after_step(self, step: int, outcome: Outcome) -> dict[str, float]:
        self.accuracy.append(outcome.sums["accuracy"].item())
        return {"train/step_accuracy": self.accuracy[-1]}


def toy_trainer(settings: ToySettings, seed: int, **watching: Hook) -> Trainer:
    """The training of one network; `seed` decides its start and its bits, alike in all arms."""
    recipe, network = settings.recipe(seed), TanhNetwork(settings.units, settings.gain, seed)
    context = Context(network, binary_cross_entropy, recipe.perturbed, settings.batch, seed)
    return build_parts(recipe, context, watching=watching)


def train_toy(settings: ToySettings, seed: int) -> ToyRun:
    """Train one network; `seed` decides its start and its bits, alike in all arms."""
    started = time.perf_counter()
    watch = Watch(settings)
    trainer = toy_trainer(settings, seed, watch=watch)
    found = {"initial": conditioning(trainer.objective, settings)}
    *_, metrics = trainer.run()
    found |= {"flossed": watch.flossed} if watch.flossed else {}
    found["trained"] = conditioning(trainer.objective, settings)
    return ToyRun(watch.accuracy, metrics["validation/accuracy"], time.perf_counter() - started, found)


def conditioning(objective: Objective, s: ToySettings) -> Conditioning:
    """How well the network of an objective carries gradients, always on the same bits."""
    assert isinstance(objective, DelayedBits)
    network, generator = objective.model, torch.Generator().manual_seed(0)
    logits, target = objective.answer(network, random_bits(s.length, s.batch, generator))
    (gradient,) = torch.autograd.grad(F.binary_cross_entropy_with_logits(logits, target), [network.J])
    span = 2 * s.delay
    with torch.no_grad():
        orbit = network.orbit(random_bits(s.window + span, 1, generator))
        basis = start_basis(orbit.start(), s.units, seed=0)
        factors = [f for _, _, f in factorizations(orbit, basis, s.window + span) if f is not None]
        logs = torch.stack([f.log_diagonal[0] for f in factors])[s.transient : s.window].mean(0)
        # All N tangents are carried, so the last factors are those of the Jacobian itself, but for rotations.
        singular = singular_value_ftle(torch.stack([f.R for f in factors[-span:]]))[0] * span / math.log(10)
    return Conditioning(
        exponents=logs.tolist(),
        log10_condition=(singular[0] - singular[-1]).item(),
        log10_condition_k=(singular[0] - singular[s.k - 1]).item(),
        log10_largest=singular[0].item(),
        gradient_norm=gradient.norm().item(),
    )

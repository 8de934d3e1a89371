"""A recipe is everything that decides a training run besides the data."""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Any, ClassVar

from torch import nn

from rrm.errors import InputError
from rrm.models import FAMILIES, TokenModel
from rrm.tasks.modular import ModularArithmetic
from rrm.training import registry
from rrm.training.hook import HookSettings
from rrm.training.objective import ObjectiveSettings
from rrm.training.optim import OptimizerSettings
from rrm.training.part import Loss, PartSettings, chosen, describe_part, read_part
from rrm.training.perturbation import MODEL_SETTINGS, TrajectoryPerturbation, perturbation
from rrm.training.schedule import Schedule
from rrm.training.source import SourceSettings

# The objective of a model family that has another one than deep supervision.
_OBJECTIVES = {"srm": "last_step", "mlp": "supervised"}
_OBJECTIVES |= {
    family: "classification" for family, (_, model_class) in FAMILIES.items() if issubclass(model_class, TokenModel)
}


@dataclass(frozen=True)
class Recipe:
    """Settings of one training run. Plain values, so that a recipe is JSON.

    The budget is counted in *call units*, the currency in which arms of different cost are equal: one forward network
    call on one row is 1 unit, its backward 2. TRM at H 3, L 6 costs 21 + 2 x 7 = 35 units per row and step, and m
    perturbed rollouts multiply that by 1 + m, so a perturbed run takes fewer steps for the same budget. Four rollouts
    of which one learns cost 4 x 21 + 3 x 7 = 105. What hooks do is paid from the budget too.

    An experiment with parts of its own names them in the registries of a subclass.

    model: its description, as `rrm.models.build` takes it.
    table: the settings of `rrm.tasks.modular.ModularArithmetic` where the training is on such a table; empty where it
        is on puzzles, which a recipe does not name.
    objective, optimizer, source: {"kind": a name of the registry, and settings of that kind}; settings that are not
        given are filled in. Without a kind the objective is that of the model's family.
    loss: of a cell, a name of LOSSES.
    perturbation: {"kind": a name of `rrm.training.perturbation.PERTURBATIONS`, and its settings}. A kind that is a
        property of the model ("eqr") sets the settings of the model.
    hooks: {a name of HOOKS: its settings}.
    lr, weight_decay: of the optimizer.  schedule: of the learning rate, a name of SCHEDULES: `warmup_steps` steps of
        linear warm-up, and a fall to the share `lr_min_ratio` where the schedule falls.
    clip_norm: bound on the norm of all gradients together, None for no bound.
    ema_decay: of the averaged weights, which are evaluated; 0 evaluates the weights themselves.
    micro_batches: number of parts of a step's batch whose gradients add up: the same training in less memory. W workers
        with M parts each draw the noise of W x M workers.
    compiled: fuse the networks' pointwise work with torch.compile: seconds to minutes at the start, and other rounding.
    evaluations: evenly spaced over the budget.
    order: trainings of one seed in another order begin with the same weights, and draw other batches and other noise.
    """

    OBJECTIVES: ClassVar[Mapping[str, type[ObjectiveSettings]]] = registry.OBJECTIVES
    OPTIMIZERS: ClassVar[Mapping[str, type[OptimizerSettings]]] = registry.OPTIMIZERS
    LOSSES: ClassVar[Mapping[str, Loss]] = registry.LOSSES
    SCHEDULES: ClassVar[Mapping[str, Schedule]] = registry.SCHEDULES
    SOURCES: ClassVar[Mapping[str, type[SourceSettings]]] = registry.SOURCES
    HOOKS: ClassVar[Mapping[str, type[HookSettings]]] = registry.HOOKS

    model: dict[str, Any]
    budget: float
    batch_size: int = 768
    objective: dict[str, Any] = field(default_factory=dict)
    loss: str = "stablemax"
    optimizer: dict[str, Any] = field(default_factory=lambda: {"kind": "adam_atan2"})
    lr: float = 1e-4
    weight_decay: float = 1.0
    schedule: str = "cosine"
    warmup_steps: int = 2000
    lr_min_ratio: float = 1.0
    clip_norm: float | None = None
    ema_decay: float = 0.999
    perturbation: dict[str, Any] = field(default_factory=lambda: {"kind": "initial_state", "sigma": 0.0, "copies": 1})
    source: dict[str, Any] = field(default_factory=lambda: {"kind": "uniform"})
    hooks: dict[str, dict[str, Any]] = field(default_factory=dict)
    micro_batches: int = 1
    compiled: bool = False
    evaluations: int = 10
    seed: int = 0
    table: dict[str, Any] = field(default_factory=dict)
    order: int = 0

    def __post_init__(self) -> None:
        for name in ("budget", "batch_size", "lr", "evaluations", "micro_batches"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)}: it must be positive")
        self.share(1)
        self._set("model", self.model | MODEL_SETTINGS.get(self.perturbation["kind"], {}))
        self._set("objective", {"kind": _objective_of(self.model)} | self.objective)
        chosen(self.LOSSES, "loss", self.loss)
        chosen(self.SCHEDULES, "learning-rate schedule", self.schedule)
        self._set("objective", describe_part(self.objective["kind"], self.objective_settings))
        self._set("optimizer", describe_part(self.optimizer["kind"], self.optimizer_settings))
        self._set("source", describe_part(self.source["kind"], self.source_settings))
        self.hook_settings  # noqa: B018  a hook that does not exist is refused here
        if self.arithmetic:
            self._set("table", self.arithmetic.to_dict())

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @property
    def draws(self) -> int:
        """The seed of all draws but the first weights."""
        return self.seed + (self.order << 32)

    @cached_property
    def objective_settings(self) -> ObjectiveSettings:
        return read_part(self.OBJECTIVES, "objective", self.objective)

    @cached_property
    def optimizer_settings(self) -> OptimizerSettings:
        return read_part(self.OPTIMIZERS, "optimizer", self.optimizer)

    @cached_property
    def source_settings(self) -> SourceSettings:
        return read_part(self.SOURCES, "source", self.source)

    @cached_property
    def hook_settings(self) -> dict[str, HookSettings]:
        return {name: chosen(self.HOOKS, "hook", name).read(f"hook {name!r}", s) for name, s in self.hooks.items()}

    @cached_property
    def arithmetic(self) -> ModularArithmetic | None:
        """The table; None for a training on puzzles."""
        if not self.table:
            return None
        allowed = [f.name for f in fields(ModularArithmetic)]
        for name in self.table:
            if name not in allowed:
                raise InputError(f"a table has no setting {name!r}: it has {', '.join(allowed)}")
        return ModularArithmetic(**self.table)

    @cached_property
    def perturbed(self) -> TrajectoryPerturbation:
        """The perturbation of the training."""
        return perturbation(**self.perturbation)

    @property
    def trajectories(self) -> int:
        """Rollouts of each puzzle."""
        return self.perturbed.trajectories

    def share(self, workers: int) -> int:
        """How many puzzles of a batch each of so many workers has; InputError if they are no equal micro-batches."""
        if self.batch_size % (workers * self.micro_batches):
            raise InputError(
                f"batch size {self.batch_size} does not divide into {self.micro_batches} micro-batches on each of "
                f"{workers} workers: their product has to be a divisor of it"
            )
        return self.batch_size // workers

    def units(self, model: nn.Module, step: int, total_steps: int) -> float:
        """Call units of a puzzle, with all its rollouts, in a training step (from 1)."""
        return self.objective_settings.puzzle_units(self.perturbed, model, self.model, step, total_steps)

    def units_per_step(self, model: nn.Module) -> float:
        """Call units of an optimizer step, on average over training where the depth grows."""
        mean = sum(self.units(model, permille, 1000) for permille in range(1000)) / 1000
        return mean * self.batch_size

    def hook_units(self, model: nn.Module, total_steps: int) -> float:
        """Call units of the work of all hooks in a training of `total_steps`."""
        hooks = self.hook_settings.values()
        return sum(hook.units(model, self.model, self.objective_settings, total_steps) for hook in hooks)

    def steps(self, model: nn.Module) -> int:
        """Optimizer steps that the budget pays for, after what hooks take. `model`: as the recipe describes it."""
        hooks = self.hook_settings
        self.source_settings.check(hooks)
        for hook in hooks.values():
            hook.check(model, self.optimizer_settings, self.source_settings)
        per_step = self.units_per_step(model)
        steps = int(self.budget // per_step)
        if hooks:
            # More steps can bring more work of hooks, so the price of a training is a function of its length.
            def price(steps: int) -> float:
                return steps * per_step + self.hook_units(model, steps)

            steps = bisect_right(range(1, steps + 1), self.budget, key=price)
        asked = {f"{self.evaluations} evaluations": self.evaluations}
        asked |= {f"{h.least_steps} at which hook {name!r} has work": h.least_steps for name, h in hooks.items()}
        why = max(asked, key=lambda name: asked[name])
        if steps < (least := asked[why]):
            of_hooks = self.hook_units(model, least)
            beside = f" beside the {of_hooks:g} of hooks" if of_hooks else ""
            raise InputError(
                f"budget {self.budget:g} pays for {steps} steps of {per_step:g} call units{beside}, fewer than the "
                f"{why}: raise the budget to {least * per_step + of_hooks:g} or more"
            )
        return steps

    def to_dict(self) -> dict[str, Any]:
        """Plain values; `Recipe(**d)` restores it."""
        return asdict(self)


def from_flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a recipe from settings that do not say to which part they belong, such as halt_max_steps and betas.

    One set of settings serves all models: those that only other objectives and optimizers have are left out.
    "flossing" and "probes" are the hooks of these names: a preset, or {"preset": name, and the settings to change}.
    InputError for a name that nothing has.
    """
    own = {f.name for f in fields(Recipe)}
    made = {name: value for name, value in settings.items() if name in own}
    made["objective"] = {"kind": _objective_of(settings["model"]), **made.get("objective", {})}
    made["optimizer"] = {"kind": "adam_atan2", **made.get("optimizer", {})}
    parts: dict[str, Mapping[str, type[PartSettings]]] = {
        "objective": Recipe.OBJECTIVES,
        "optimizer": Recipe.OPTIMIZERS,
    }
    known = {name for kinds in parts.values() for part in kinds.values() for name in _names(part)}
    for name, value in settings.items():
        for field_name, kinds in parts.items():
            if name in _names(chosen(kinds, field_name, made[field_name]["kind"])):
                made[field_name] = {**made[field_name], name: value}
        if name in ("flossing", "probes"):
            hook = {"preset": value} if isinstance(value, str) else value
            if hook != {"preset": "none"}:
                made["hooks"] = {**made.get("hooks", {}), name: hook}
        elif name not in own | known:
            raise InputError(f"a recipe has no setting {name!r}: it has {', '.join(sorted(own | known))}")
    return made


def upgrade(old: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a recipe from the dictionary of one of any version; version 1 was flat."""
    return dict(old) if "objective" in old else from_flat(old)


def _objective_of(model: Mapping[str, Any]) -> str:
    """The objective that a model is trained with where a recipe names none."""
    return _OBJECTIVES.get(model.get("family", ""), "deep_supervision")


def _names(part: type[PartSettings]) -> set[str]:
    return {f.name for f in fields(part)}

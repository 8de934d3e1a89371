"""The contract of a hook: work at fixed places of a training step, such as a change of the weights or a measurement."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from rrm.training.objective import Objective, ObjectiveSettings, Outcome
from rrm.training.optim import EMA, OptimizerSettings
from rrm.training.part import Context, PartSettings
from rrm.training.source import Source, SourceSettings
from rrm.training.spread import Spread, here


class Training(Protocol):
    """What a hook sees of the training that it is part of.

    ema: the averaged weights.  step: training steps done.  total_steps: those of the whole training.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    objective: Objective
    source: Source
    ema: EMA
    step: int
    total_steps: int

    def charge(self, units: float) -> None:
        """Take call units for work of the hook from the budget."""

    def end_at(self, step: int) -> None:
        """End the training after `step` steps, at the latest after those that it has."""


class Hook:
    """Work at fixed places of every step. With several workers, all of them call each method at the same time.

    training: set before the first step.  records: plain values that go into the JSON of a checkpoint.
    spread: does independent pieces of work; who runs the training may set another one before the first step.
    own_file: whether a checkpoint keeps its tensors in a file NAME.safetensors, for others to read.
    """

    training: Training
    own_file: ClassVar[bool] = False

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.spread: Spread = here

    def join(self, training: Training) -> None:
        """Become part of a training that was built; InputError where its other parts do not suit the hook."""
        self.training = training

    def before_step(self, step: int) -> None:
        """Before the batch of the next step is used, when `step` steps are done. May change the weights."""

    def after_backward(self, step: int) -> None:
        """When all gradients of the next step are in `parameter.grad`, before they are clipped. May change them."""

    def after_step(self, step: int, outcome: Outcome) -> dict[str, float] | None:
        """When `step` steps are done, the last one with `outcome`: a row of numbers for the curve file, or None.

        `outcome.sums` are those of this worker's rows, whose numbers are `outcome.rows["row"]`.
        """

    def metrics(self) -> dict[str, float]:
        """Numbers that go with the metrics of every evaluation."""
        return {}

    def tensors(self) -> dict[str, Tensor]:
        """The state that a checkpoint keeps beside `records`, the same on every worker."""
        return {}

    def load(self, tensors: Mapping[str, Tensor], records: list[dict[str, Any]]) -> None:
        """Carry on from the `tensors` and `records` of another hook with these settings."""
        self.records = records


@dataclass(frozen=True)
class HookSettings(PartSettings, ABC):
    """Settings of a hook, which know its price.

    least_steps: a training whose budget pays for fewer steps is refused, as the hook would have no work in it.
    """

    @property
    def least_steps(self) -> int:
        return 0

    @abstractmethod
    def build(self, context: Context) -> Hook:
        """The hook; InputError for a model that it cannot work on."""

    def check(self, model: nn.Module, optimizer: OptimizerSettings, source: SourceSettings) -> None:
        """InputError where the model, which may be without storage, the optimizer or the source does not suit it."""

    def units(
        self, model: nn.Module, description: Mapping[str, Any], objective: ObjectiveSettings, total_steps: int
    ) -> float:
        """Call units of all its work in a training of `total_steps` steps: the sum of what it will charge.

        Arguments as `ObjectiveSettings.units` has them.
        """
        return 0.0

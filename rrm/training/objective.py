"""The contract of an objective: what a training step does with a batch, and how well the weights do."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from rrm.errors import InputError
from rrm.models import Model, describe
from rrm.probes import ProbeRows
from rrm.training.evaluate import evaluate
from rrm.training.part import Context, Data, Loss, PartSettings
from rrm.training.perturbation import TrajectoryPerturbation
from rrm.training.puzzle_rows import puzzle_rows


class Diverged(ArithmeticError):
    """A number of the training stopped being finite."""


@dataclass
class Outcome:
    """What a training step found, without gradient.

    sums: scalars that are added up over steps, parts of a batch and workers, until `Objective.metrics` reads them. The
        trainer adds "loss", "steps" and "finished" (puzzles whose last step it was), and reads "halted_steps" of
        objectives with segments: those that the finished puzzles took, in all.
    rows: of each of the B puzzles of the batch, "row" int64 (its number in the training set, -1 where an old checkpoint
        does not say), "loss" (nats, mean over cells), "solved" bool, and "halted" bool (whether the step was its last).
    """

    sums: dict[str, Tensor]
    rows: dict[str, Tensor]


class Carry(ABC):
    """What a batch keeps from step to step. The trainer cuts, joins and stores it, and does not look inside."""

    @abstractmethod
    def part(self, rows: slice) -> Self:
        """The carry of some of the puzzles."""

    @classmethod
    @abstractmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """The carry that `part` cut into these parts."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """All that it holds."""

    @abstractmethod
    def replaced(self, tensors: Mapping[str, Tensor]) -> Self:
        """A carry that holds these `tensors`, of any number of puzzles."""


class NoCarry(Carry):
    """Nothing is kept: every step begins anew."""

    def part(self, rows: slice) -> Self:
        return self

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        return parts[0]

    def tensors(self) -> dict[str, Tensor]:
        return {}

    def replaced(self, tensors: Mapping[str, Tensor]) -> Self:
        return self


class Objective(nn.Module, ABC):
    """A training step as a module, so that DistributedDataParallel can wrap it: (carry, batch) -> loss and next carry.

    model: the network that trains.
    trajectories: rollouts of each puzzle, all of them rows of the model's batch.
    ranking: the scores that decide which weights are better, the first one first; larger is better.
    task_name: what a checkpoint says of the task.
    """

    ranking: ClassVar[tuple[str, ...]] = ("exact", "cells")
    model: nn.Module
    trajectories: int = 1
    task_name: str | None = None

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    @abstractmethod
    def forward(
        self, carry: Carry, batch: Mapping[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, Carry, Outcome]:
        """-> (loss averaged over the batch, next carry, outcome). `generator` draws everything that is random.

        batch: as `Source.batch` gives it.
        """

    def initial_carry(self, batch: Mapping[str, Tensor]) -> Carry:
        """The carry before the first step, for batches of the shape of `batch`."""
        return NoCarry()

    def before_step(self, step: int, total_steps: int, optimizer: torch.optim.Optimizer) -> None:
        """Change what is scheduled, when `step` of `total_steps` steps are done."""

    def lr_factor(self, step: int, total_steps: int) -> float:
        """A factor on the learning rate of a step (from 1), beside that of the schedule."""
        return 1.0

    @abstractmethod
    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Scores of a copy of the model with other weights, on validation data; those of `ranking` are among them."""

    def rank(self, scores: Mapping[str, float]) -> tuple[float, ...]:
        """What compares two evaluations: the larger is better."""
        return tuple(scores[name] for name in self.ranking)

    def metrics(self, sums: Mapping[str, float]) -> dict[str, float]:
        """Metrics of an interval from its sums over `Outcome.sums`, "loss" and "steps" (one a part of a step)."""
        return {}

    def probe_rows(self, rows: int, seed: int, *, held_out: bool) -> ProbeRows | None:
        """At most so many rows for probes, fixed by the seed: of the training data, or of data held out from it.

        None where there are no such data. InputError for an objective that does not say how probes see its network.
        """
        raise InputError(f"probes cannot look at a training with {type(self).__name__}: leave the probes out")

    @abstractmethod
    def how_to_run(self) -> dict[str, Any]:
        """What weights of this step need to be run as they are evaluated, plain values.

        model: its description.  segments: of a rollout; absent for a model without segments.
        """


class PuzzleObjective(Objective):
    """An objective that learns puzzles, and is evaluated on the validation puzzles of `data` (None: not at all).

    model: the network that trains.  loss: of a cell.
    """

    model: Model

    def __init__(self, model: Model, loss: Loss, data: Data | None):
        super().__init__(model)
        self.loss, self.data = loss, data
        self.task_name = data.task.name if data else None

    @property
    def segments(self) -> int | None:
        """Segments of a rollout in evaluation at this step, None for a model without segments."""
        return None

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        assert self.data is not None and isinstance(model, Model)
        return evaluate(model, self.data.validation, self.data.task, self.segments)

    def probe_rows(self, rows: int, seed: int, *, held_out: bool) -> ProbeRows | None:
        if self.data is None:
            return None
        return puzzle_rows(self.model, self.data, self.loss, rows, seed, held_out)

    def how_to_run(self) -> dict[str, Any]:
        return {"model": describe(self.model)} | ({} if self.segments is None else {"segments": self.segments})


@dataclass(frozen=True)
class ObjectiveSettings(PartSettings, ABC):
    """Settings of an objective, which know its price."""

    @abstractmethod
    def build(self, context: Context) -> Objective:
        """The objective; InputError for a model that it does not train."""

    @abstractmethod
    def units(self, model: nn.Module, description: Mapping[str, Any], step: int, total_steps: int) -> float:
        """Call units of one rollout in a step (from 1): 1 for a forward call of a row, 2 for its backward.

        model: as `description` says, or grown from there.
        """

    def puzzle_units(
        self,
        perturbation: TrajectoryPerturbation,
        model: nn.Module,
        description: Mapping[str, Any],
        step: int,
        total_steps: int,
    ) -> float:
        """Call units of all rollouts of a puzzle in a step (from 1)."""
        return perturbation.trajectories * self.units(model, description, step, total_steps)

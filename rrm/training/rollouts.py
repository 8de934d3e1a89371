"""What objectives on rollouts share: the carry of states, noisy trajectories, segments, and their metrics."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rrm.models.base import RecursiveModel, State
from rrm.training import losses
from rrm.training.losses import Score, stablemax_cross_entropy
from rrm.training.noise import Noise
from rrm.training.objective import Carry, ObjectiveSettings, PuzzleObjective
from rrm.training.part import Data, Loss
from rrm.training.perturbation import TrajectoryPerturbation


@dataclass
class RolloutCarry(Carry):
    """Where a batch of rows stands between steps. B puzzles, R trajectories each, the clean ones first.

    state: [R*B, L, D] per half.  steps: [B] int32, segments since the refill.  halted: [B] bool, to be refilled.
    data: inputs [B, S], labels [B, S], puzzle_identifiers [B], rows [B]; `noise_factors` [B, R'] where perturbed
    trajectories have scales of their own.  trajectories: R.
    """

    state: State
    steps: Tensor
    halted: Tensor
    data: dict[str, Tensor]
    trajectories: int

    def part(self, rows: slice) -> "RolloutCarry":
        """Some of the puzzles, with all their trajectories."""
        state = State(*(half.unflatten(0, (self.trajectories, -1))[:, rows].flatten(0, 1) for half in self.state))
        data = {key: value[rows] for key, value in self.data.items()}
        return RolloutCarry(state, self.steps[rows], self.halted[rows], data, self.trajectories)

    @classmethod
    def join(cls, parts: Sequence["RolloutCarry"]) -> "RolloutCarry":
        if len(parts) == 1:
            return parts[0]
        R = parts[0].trajectories
        by_trajectory = [[half.unflatten(0, (R, -1)) for half in carry.state] for carry in parts]
        state = State(*(torch.cat(halves, dim=1).flatten(0, 1) for halves in zip(*by_trajectory, strict=True)))
        steps, halted = (torch.cat([getattr(carry, name) for carry in parts]) for name in ("steps", "halted"))
        data = {key: torch.cat([carry.data[key] for carry in parts]) for key in parts[0].data}
        return RolloutCarry(state, steps, halted, data, R)

    def tensors(self) -> dict[str, Tensor]:
        data = {f"data.{name}": value for name, value in self.data.items()}
        return {**self.state._asdict(), "steps": self.steps, "halted": self.halted, **data}

    def replaced(self, tensors: Mapping[str, Tensor]) -> "RolloutCarry":
        steps = tensors["steps"]
        # Checkpoints of version 1 do not say which row of the training set a puzzle is.
        known = {"data.rows": torch.full_like(steps, -1, dtype=torch.int64), **tensors}
        data = {name: known[f"data.{name}"] for name in self.data}
        state = State(*(tensors[name] for name in State._fields))
        return RolloutCarry(state, steps, tensors["halted"], data, self.trajectories)


class RolloutObjective(PuzzleObjective):
    """An objective that runs R trajectories of each puzzle through segments of a recursive model, under a noise."""

    model: RecursiveModel

    def __init__(
        self,
        model: RecursiveModel,
        perturbation: TrajectoryPerturbation,
        loss: Loss = stablemax_cross_entropy,
        data: Data | None = None,
    ):
        super().__init__(model, loss, data)
        self.perturbation = perturbation
        self.trajectories = perturbation.trajectories
        self.progress = 0.0  # share of training that is done, for a scheduled noise

    @property
    @abstractmethod
    def segments(self) -> int:
        """Segments of a rollout in evaluation at this step."""

    def before_step(self, step: int, total_steps: int, optimizer: torch.optim.Optimizer) -> None:
        self.progress = step / total_steps

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the networks of the calls, which hold all the work."""
        for network in {self.model.network(half) for half in ("H", "L")}:
            network.compile(*args, **kwargs)

    def noise(self, rows: int, generator: torch.Generator) -> Noise:
        """The noise of this step."""
        return self.perturbation.noise(rows, generator, self.progress)

    def start(self, rows: int, noise: Noise, generator: torch.Generator) -> State:
        """Initial states of all trajectories of `rows` puzzles, with their noise."""
        return noise.start(self.model.initial_state(self.trajectories * rows, generator))

    def segment(
        self, state: State, x: Tensor, noise: Noise, generator: torch.Generator, grad_calls: int | None = None
    ) -> State:
        """The state after one segment under the noise; see `RecursiveModel.segment`."""
        return self.model.segment(noise.segment(state), x, generator, noise.call, grad_calls)

    def embed(self, data: Mapping[str, Tensor]) -> Tensor:
        """x [R*B, L, D], the same for every trajectory of a puzzle."""
        x = self.model.embed(data["inputs"], data["puzzle_identifiers"])
        return x.repeat(self.trajectories, 1, 1)

    def score(self, logits: Tensor, labels: Tensor) -> Score:
        """Loss and correctness of logits [R*B, S, V] against labels [B, S]."""
        return losses.score(logits, labels.repeat(self.trajectories, 1), self.loss)

    def metrics(self, sums: Mapping[str, float]) -> dict[str, float]:
        halted = max(sums["halted"], 1.0)
        realised = {name: sums[name] / sums["steps"] for name in sums if name.startswith("realised_sigma")}
        return {
            "train/lm_loss": sums["lm_loss"] / sums["rows"],
            "train/q_loss": sums["q_loss"] / sums["rows"],
            "train/exact": sums["halted_exact"] / halted,
            "train/cells": sums["halted_cells"] / halted,
            "train/halting_step": sums["halted_steps"] / halted,
            **{f"perturbation/{name}": value for name, value in realised.items()},
        }


@dataclass(frozen=True)
class RolloutSettings(ObjectiveSettings):
    """Settings of an objective on rollouts."""

    @abstractmethod
    def rollout(
        self, model: RecursiveModel, description: Mapping[str, Any], step: int, total_steps: int
    ) -> tuple[int, int]:
        """(segments, calls of a segment) of a rollout in evaluation at a step (from 1)."""

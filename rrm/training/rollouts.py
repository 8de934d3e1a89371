"""What objectives on rollouts share: the carry of states, several trajectories of a puzzle, metrics and price."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from rrm.errors import InputError
from rrm.models.base import Readout, RecursiveModel, State
from rrm.models.layers import truncated_normal_
from rrm.models.noise import gaussian, generator_on
from rrm.training import losses
from rrm.training.losses import Score, stablemax_cross_entropy
from rrm.training.noise import Noise
from rrm.training.objective import Carry, ObjectiveSettings, PuzzleObjective
from rrm.training.part import Data, Loss
from rrm.training.perturbation import TrajectoryPerturbation

# The begin of a segment in a course of network calls, where noise may come.
SEGMENT = "segment"


def start_vectors(seed: int, count: int, width: int) -> Tensor:
    """The z_L vectors [count, width] from which the far rollouts of a training with this seed start, float32."""
    own = np.random.SeedSequence(seed, spawn_key=(1,)).generate_state(1, np.uint64)[0]
    return truncated_normal_(torch.empty(count, width), 1.0, torch.Generator().manual_seed(int(own >> 1)))


class Run(NamedTuple):
    """What a step ran of B puzzles with R trajectories, of which R' learn: all, or one of each puzzle.

    state: where all stand, [R*B, L, D] per half, detached.  learning: where those that learn stand, [R'*B, L, D] per
    half, with the graph of the recorded calls.  x: their puzzles, [R'*B, L, D].  noise: their noise from here on.
    first: the readout of the first trajectory of each puzzle where it decides who halts, else None.
    """

    state: State
    learning: State
    x: Tensor
    noise: Noise
    first: Readout | None = None


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
    """An objective that runs R trajectories of each puzzle through segments of a recursive model.

    perturbation: how the trajectories differ, and which of them learn.  seed: of the vectors that they start from.
    """

    model: RecursiveModel

    def __init__(
        self,
        model: RecursiveModel,
        perturbation: TrajectoryPerturbation,
        loss: Loss = stablemax_cross_entropy,
        data: Data | None = None,
        seed: int = 0,
    ):
        super().__init__(model, loss, data)
        if perturbation.selects and model.call_noise:
            raise InputError(
                f"learns {perturbation.learns!r} runs calls again, and a model with call_noise has other noise then: "
                "set call_noise of the model to 0 and use noise at every_call"
            )
        self.perturbation = perturbation
        self.trajectories = perturbation.trajectories
        self.starts = start_vectors(seed, perturbation.far, model.half_shape[1])
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
        state = self.model.initial_state(self.trajectories * rows, generator)
        if self.perturbation.far:
            near, far = state.z_L.tensor_split([rows * (self.trajectories - self.perturbation.far)])
            if self.perturbation.start == "vectors":
                far = self.starts.to(far).repeat_interleave(rows, 0)[:, None].expand_as(far)
            else:
                far = gaussian(far.shape, generator_on(far.device, generator)).to(far)
            state = state._replace(z_L=torch.cat((near, far)))
        return noise.start(state)

    def run(
        self,
        state: State,
        data: Mapping[str, Tensor],
        noise: Noise,
        generator: torch.Generator,
        *,
        recorded: int,
        segments: int = 1,
    ) -> Run:
        """Run all trajectories from `state`; the last `recorded` places of the course leave a graph where they learn.

        data: inputs, puzzle_identifiers and labels of the B puzzles.
        """
        course = self.course(segments)
        before, last = course[:-recorded], course[-recorded:]
        x = self.model.embed(data["inputs"], data["puzzle_identifiers"])
        everyones = x.repeat(self.trajectories, 1, 1)
        with torch.no_grad():
            entering = self.follow(before, state, everyones, noise, generator)
        if not self.perturbation.selects:
            state = self.follow(last, entering, everyones, noise, generator)
            return Run(state.detach(), state, everyones, noise)

        rows = len(x)
        with torch.no_grad():
            noise.remember()
            state = self.follow(last, entering, everyones, noise, generator)
            found = self.score(self.model.readout(state).logits, data["labels"]).loss.view(-1, rows)
            mine = self.perturbation.learner(found, generator) * rows + torch.arange(rows, device=x.device)
            decides = self.perturbation.halts == "first"
            first = self.model.readout(State(*(half[:rows] for half in state))) if decides else None
        own = noise.of(mine)
        learning = self.follow(last, State(*(half[mine] for half in entering)), x, own, generator)
        if self.perturbation.share_H:
            state = state._replace(z_H=state.z_H[mine].repeat(self.trajectories, 1, 1))
        return Run(state, learning, x, own, first)

    def course(self, segments: int) -> tuple[str, ...]:
        """The halves that the calls of so many segments replace, with SEGMENT before the first call of each."""
        return (SEGMENT, *self.model.segment_calls) * segments

    def follow(self, course: Sequence[str], state: State, x: Tensor, noise: Noise, generator: torch.Generator) -> State:
        """The state after the calls of a course under the noise."""
        for place in course:
            if place == SEGMENT:
                state = noise.segment(state)
            else:
                state = noise.call(place, self.model.step(place, state, x, generator))
        return state

    def score(self, logits: Tensor, labels: Tensor) -> Score:
        """Loss and correctness of logits [R'*B, S, V] against labels [B, S]."""
        return losses.score(logits, labels.repeat(len(logits) // len(labels), 1), self.loss)

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


class Calls(NamedTuple):
    """Network calls of a rollout in a training step.

    forward: all of them.  recorded: those of which the backward pass is run.  ahead: calls more, without gradient, for
    the target of a rollout that learns. Of a random number the expectation.
    """

    forward: float
    recorded: float
    ahead: float = 0


@dataclass(frozen=True)
class RolloutSettings(ObjectiveSettings):
    """Settings of an objective on rollouts."""

    @abstractmethod
    def calls(self, model: nn.Module, description: Mapping[str, Any], step: int, total_steps: int) -> Calls:
        """The calls of a rollout in a step (from 1)."""

    def units(self, model: nn.Module, description: Mapping[str, Any], step: int, total_steps: int) -> float:
        calls = self.calls(model, description, step, total_steps)
        return calls.forward + 2 * calls.recorded + calls.ahead

    def puzzle_units(
        self,
        perturbation: TrajectoryPerturbation,
        model: nn.Module,
        description: Mapping[str, Any],
        step: int,
        total_steps: int,
    ) -> float:
        if not perturbation.selects:
            return super().puzzle_units(perturbation, model, description, step, total_steps)
        # Only one rollout learns, and its recorded calls are run again.
        calls = self.calls(model, description, step, total_steps)
        return perturbation.trajectories * calls.forward + 3 * calls.recorded + calls.ahead

    @abstractmethod
    def rollout(
        self, model: RecursiveModel, description: Mapping[str, Any], step: int, total_steps: int
    ) -> tuple[int, int]:
        """(segments, calls of a segment) of a rollout in evaluation at a step (from 1)."""

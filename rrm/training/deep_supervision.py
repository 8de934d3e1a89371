"""Deep supervision with learned halting (ACT): the training step of TRM and HRM.

One step is one *segment*: refill the rows that halted, run the segment, score it against the label, decide who halts.
There is no inner loop; a puzzle stays in the carry for up to `halt_max_steps` optimizer steps.
Jolicoeur-Martineau, arXiv 2510.04871; Wang et al., arXiv 2506.21734; halting after Graves, arXiv 1603.08983.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rrm.errors import InputError
from rrm.models import recursive
from rrm.models.base import Readout, RecursiveModel, State
from rrm.training.losses import Score, stablemax_cross_entropy
from rrm.training.noise import Noise
from rrm.training.objective import Carry, Outcome
from rrm.training.part import Context, Data, Loss
from rrm.training.perturbation import TrajectoryPerturbation
from rrm.training.rollouts import Calls, RolloutCarry, RolloutObjective, RolloutSettings, Run

Q_LOSS_WEIGHT = 0.5


class DeepSupervision(RolloutObjective):
    """One segment a step, and one loss.

    The trajectories of one puzzle share its carry row: they start together and are refilled together, so that all learn
    the same target: when the first (the clean one, where there is one) halts, or the one that learns, where one does.
    The loss is averaged over those that learn.
    """

    def __init__(
        self,
        model: RecursiveModel,
        perturbation: TrajectoryPerturbation,
        settings: "DeepSupervisionSettings | None" = None,
        loss: Loss = stablemax_cross_entropy,
        data: Data | None = None,
        seed: int = 0,
    ):
        super().__init__(model, perturbation, loss, data, seed)
        self.settings = settings or DeepSupervisionSettings()

    @property
    def segments(self) -> int:
        return self.settings.halt_max_steps

    def initial_carry(self, batch: Mapping[str, Tensor]) -> RolloutCarry:
        """Every row halted, so that the first step takes the whole batch."""
        rows = len(batch["inputs"])
        device = batch["inputs"].device
        kept = {**batch, **self.noise(rows, torch.Generator()).drawn}
        return RolloutCarry(
            state=self.model.initial_state(self.trajectories * rows),
            steps=torch.zeros(rows, dtype=torch.int32, device=device),
            halted=torch.ones(rows, dtype=torch.bool, device=device),
            data={key: torch.zeros_like(value, device=device) for key, value in kept.items()},
            trajectories=self.trajectories,
        )

    def forward(
        self, carry: Carry, batch: Mapping[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, RolloutCarry, Outcome]:
        assert isinstance(carry, RolloutCarry)
        noise = self.noise(len(carry.steps), generator)
        carry = self._refill(carry, batch, noise, generator)
        noise.follow(carry.data)
        ran = self.run(carry.state, carry.data, noise, generator, recorded=self.model.grad_calls)
        readout = self.model.readout(ran.learning)
        score = self.score(readout.logits, carry.data["labels"])
        q_halt, q_continue = _q_scores(readout)
        q_loss = F.binary_cross_entropy_with_logits(q_halt, score.solved.to(q_halt), reduction="none")
        steps = carry.steps + 1
        if self._looks_ahead:
            target = self._continue_target(ran, steps, generator)
            q_loss = q_loss + F.binary_cross_entropy_with_logits(q_continue, target, reduction="none")
        loss = score.loss.mean() + Q_LOSS_WEIGHT * q_loss.mean()

        rows = len(steps)
        halted = self._halting(steps, self._wants(ran.first or readout)[:rows], generator)
        # Of all that learn the first one, or the only one that learns.
        first = Score(*(value[:rows].detach() for value in score))
        sums = {
            "rows": torch.tensor(float(rows)),
            "lm_loss": first.loss.sum(),
            "q_loss": q_loss[:rows].detach().sum(),
            **noise.realised(),
            # The field counts these on rows that halt now.
            "halted": halted.sum(),
            "halted_exact": (first.solved & halted).sum(),
            "halted_cells": (first.cells * halted).sum(),
            "halted_steps": (steps * halted).sum(),
        }
        by_row = {"row": carry.data["rows"], "loss": first.loss, "solved": first.solved, "halted": halted}
        return loss, RolloutCarry(ran.state, steps, halted, carry.data, self.trajectories), Outcome(sums, by_row)

    def _refill(
        self, carry: RolloutCarry, batch: Mapping[str, Tensor], noise: Noise, generator: torch.Generator
    ) -> RolloutCarry:
        start = self.start(len(carry.steps), noise, generator)
        fresh = carry.halted.repeat(self.trajectories).view(-1, 1, 1)
        state = State(*(torch.where(fresh, new, old) for new, old in zip(start, carry.state, strict=True)))
        arriving = {**batch, **noise.drawn}
        data = {
            key: torch.where(carry.halted.view(-1, *[1] * (old.dim() - 1)), arriving[key].to(old.device), old)
            for key, old in carry.data.items()
        }
        steps = carry.steps.masked_fill(carry.halted, 0)
        return RolloutCarry(state, steps, carry.halted, data, self.trajectories)

    @property
    def _looks_ahead(self) -> bool:
        """Whether q_continue is trained: where every row halts after one segment there is nothing to continue."""
        return self.model.q_learning and self.settings.halt_max_steps > 1

    @torch.no_grad()
    def _continue_target(self, ran: Run, steps: Tensor, generator: torch.Generator) -> Tensor:
        """HRM's Q-learning target: the better score after one more segment, of halting only at the last step.

        The segment is noisy like any other: the target is what the next step would see.
        """
        ahead = self.follow(self.course(1), ran.learning, ran.x, ran.noise, generator)
        q_halt, q_continue = _q_scores(self.model.readout(ahead))
        last = (steps >= self.settings.halt_max_steps).repeat(len(q_halt) // len(steps))
        return torch.where(last, q_halt, torch.maximum(q_halt, q_continue)).sigmoid()

    def _wants(self, readout: Readout) -> Tensor:
        """Which rows the Q head would halt."""
        wants = self.model.wants_to_halt(readout)
        assert wants is not None
        return wants

    def _halting(self, steps: Tensor, wants: Tensor, generator: torch.Generator) -> Tensor:
        """A row halts at the last step or when its Q head says so, but explores now and then a drawn minimum."""
        if self.settings.halt_max_steps == 1:
            return torch.ones_like(wants)
        explore = torch.rand(steps.shape, generator=generator) < self.settings.halt_exploration_prob
        minimum = torch.randint(2, self.settings.halt_max_steps + 1, steps.shape, generator=generator) * explore
        return ((steps >= self.settings.halt_max_steps) | wants) & (steps >= minimum.to(steps.device))


def _q_scores(readout: Readout) -> tuple[Tensor, Tensor]:
    """(q_halt [R*B], q_continue [R*B]) of a model that has them."""
    assert readout.q_halt is not None and readout.q_continue is not None
    return readout.q_halt, readout.q_continue


@dataclass(frozen=True)
class DeepSupervisionSettings(RolloutSettings):
    """halt_max_steps: segments after which a row halts, in training and evaluation.  halt_exploration_prob: of a row
    in a step, the probability with which it has to go on for a drawn number of segments.
    """

    halt_max_steps: int = 16
    halt_exploration_prob: float = 0.1

    def __post_init__(self) -> None:
        if not self.halt_max_steps > 0:
            raise InputError(f"halt_max_steps is {self.halt_max_steps}: it must be positive")

    def build(self, context: Context) -> DeepSupervision:
        model = recursive(context.model, "objective 'deep_supervision'")
        if not model.carries_state:
            raise InputError(
                f"objective 'deep_supervision' trains models that carry their state from step to step, and "
                f"{type(model).__name__} starts every rollout anew: use 'last_step'"
            )
        return DeepSupervision(model, context.perturbation, self, context.loss, context.puzzles, context.seed)

    def calls(self, model: nn.Module, description: Mapping[str, Any], step: int, total_steps: int) -> Calls:
        reasoner = recursive(model, "objective 'deep_supervision'")
        forward = len(reasoner.segment_calls)
        # Q-learning looks one segment ahead for its target, if there may be one.
        ahead = forward if reasoner.q_learning and self.halt_max_steps > 1 else 0
        return Calls(forward, reasoner.grad_calls, ahead)

    def rollout(
        self, model: RecursiveModel, description: Mapping[str, Any], step: int, total_steps: int
    ) -> tuple[int, int]:
        return self.halt_max_steps, len(model.segment_calls)

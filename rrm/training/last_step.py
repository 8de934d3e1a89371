"""Supervision of the last step of a rollout: the training step of the Recursive Stem Model (arXiv 2603.15641)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from rrm.errors import InputError
from rrm.models.base import RecursiveModel
from rrm.models.srm import SRM
from rrm.training.losses import Score, stablemax_cross_entropy
from rrm.training.objective import Carry, Outcome
from rrm.training.part import Context, Data, Loss
from rrm.training.perturbation import TrajectoryPerturbation
from rrm.training.rollouts import SEGMENT, Calls, RolloutObjective, RolloutSettings
from rrm.training.schedule import Growth

# Cycles of a rollout in training, as in the public code: an evaluation may have one, which training would then have
# without the transition that all deeper rollouts go through.
LEAST_DEPTH = 2


class LastStepSupervision(RolloutObjective):
    """A whole rollout a step, and a loss on its last readout only.

    Nothing is carried from step to step. Of `depth` outer cycles, but at least LEAST_DEPTH, only the last carries
    gradient; with probability 1 - prob_detach_prev_H, drawn once for the batch, so does the single z_H call before it.
    `depth` and the z_L calls of a cycle grow over training by `growth`, from the cycles of the model.
    """

    model: SRM

    def __init__(
        self,
        model: SRM,
        perturbation: TrajectoryPerturbation,
        settings: "LastStepSettings | None" = None,
        loss: Loss = stablemax_cross_entropy,
        data: Data | None = None,
        seed: int = 0,
    ):
        super().__init__(model, perturbation, loss, data, seed)
        if perturbation.share_H:
            raise InputError(
                "share_H is for the next step, and objective 'last_step' starts every rollout anew: set share_H to "
                "false, as perturbation 'winner_own_H' does"
            )
        self.settings = settings or LastStepSettings()
        self.growth = self.settings.growing(model.config.H_cycles, model.config.L_cycles)
        self.depth = self.growth.base_H

    @property
    def segments(self) -> int:
        return self.depth

    def before_step(self, step: int, total_steps: int, optimizer: torch.optim.Optimizer) -> None:
        """Set the depth of the coming step, and shrink the moments of the optimizer where the depth changes."""
        super().before_step(step, total_steps, optimizer)
        coming, scale = step + 1, self.settings.moment_reset_scale
        self.depth, L_cycles = self.growth.depth(coming, total_steps)
        self.model.set_L_cycles(L_cycles)
        if coming == self.growth.last_transition(coming, total_steps) and scale != 1:
            for moments in optimizer.state.values():
                for name in {"exp_avg", "exp_avg_sq", "momentum_buffer"} & moments.keys():
                    moments[name].mul_(scale)

    def lr_factor(self, step: int, total_steps: int) -> float:
        """Warm-up after a growth of the depth: 0 at the step where the depth grows itself."""
        transition = self.growth.last_transition(step, total_steps)
        if transition and self.settings.transition_warmup_steps:
            return min(1.0, (step - transition) / self.settings.transition_warmup_steps)
        return 1.0

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        assert isinstance(model, SRM)
        model.set_L_cycles(self.model.config.L_cycles)
        return super().evaluate(model)

    def forward(
        self, carry: Carry, batch: Mapping[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, Carry, Outcome]:
        rows = len(batch["inputs"])
        keep = bool(torch.rand((), generator=generator) >= self.settings.prob_detach_prev_H)
        noise = self.noise(rows, generator)
        state = self.start(rows, noise, generator)
        depth = max(LEAST_DEPTH, self.depth)
        recorded = len(self.model.segment_calls)
        if keep:
            # The last call before the last cycle is an "H"; the z_L calls before it stay without gradient.
            recorded += len(("H", SEGMENT))
        ran = self.run(state, batch, noise, generator, recorded=recorded, segments=depth)
        score = self.score(self.model.readout(ran.learning).logits, batch["labels"])
        first = Score(*(value[:rows].detach() for value in score))
        sums = {
            "rows": torch.tensor(float(rows)),
            "lm_loss": first.loss.sum(),
            "q_loss": torch.zeros(()),
            **noise.realised(),
            "halted": torch.tensor(float(rows)),
            "halted_exact": first.solved.sum(),
            "halted_cells": first.cells.sum(),
            "halted_steps": torch.tensor(float(rows * depth)),
        }
        halted = torch.ones_like(first.solved)
        by_row = {"row": batch["rows"], "loss": first.loss, "solved": first.solved, "halted": halted}
        return score.loss.mean(), carry, Outcome(sums, by_row)


@dataclass(frozen=True)
class LastStepSettings(RolloutSettings):
    """prob_detach_prev_H: how often the z_H call before the last cycle carries no gradient.

    growth: {"H": [[percent, increment], ...], "L": [...]}, more cycles from so many percent of the training on.
    moment_reset_scale: factor on the moments of the optimizer where the depth grows.  transition_warmup_steps: steps
    over which the learning rate comes back after that.
    """

    prob_detach_prev_H: float = 0.5
    growth: dict[str, Any] = field(default_factory=dict)
    moment_reset_scale: float = 1.0
    transition_warmup_steps: int = 0

    def build(self, context: Context) -> LastStepSupervision:
        return LastStepSupervision(
            _srm(context.model), context.perturbation, self, context.loss, context.puzzles, context.seed
        )

    def growing(self, H_cycles: int, L_cycles: int) -> Growth:
        """Depth over training, from so many cycles on."""
        H, L = (tuple((at, by) for at, by in self.growth.get(name, ())) for name in ("H", "L"))
        return Growth(H_cycles, L_cycles, H=H, L=L)

    def calls(self, model: nn.Module, description: Mapping[str, Any], step: int, total_steps: int) -> Calls:
        H, L = self._depth(model, description, step, total_steps)
        return Calls(max(LEAST_DEPTH, H) * (L + 1), (L + 1) + (1 - self.prob_detach_prev_H))

    def rollout(
        self, model: RecursiveModel, description: Mapping[str, Any], step: int, total_steps: int
    ) -> tuple[int, int]:
        H, L = self._depth(model, description, step, total_steps)
        return H, L + 1

    def _depth(self, model: nn.Module, description: Mapping[str, Any], step: int, total_steps: int) -> tuple[int, int]:
        _srm(model)
        return self.growing(description["H_cycles"], description["L_cycles"]).depth(step, total_steps)


def _srm(model: nn.Module) -> SRM:
    """The model as one that starts every rollout anew; InputError for another."""
    if not isinstance(model, SRM):
        raise InputError(
            f"objective 'last_step' trains models that start every rollout anew (srm), not {type(model).__name__}: use "
            "the objective of the model's family"
        )
    return model

"""Supervision of the last step of a rollout: the training step of the Recursive Stem Model (arXiv 2603.15641)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from rrm.models.base import RecursiveModel
from rrm.training.objective import Carry, Objective, Score
from rrm.training.perturbation import TrajectoryPerturbation

# Cycles of a rollout in training, as in the public code: an evaluation may have one, which training would then have
# without the transition that all deeper rollouts go through.
LEAST_DEPTH = 2


class LastStepSupervision(Objective):
    """A whole rollout a step, and a loss on its last readout only.

    Nothing is carried from step to step. Of `depth` outer cycles, but at least LEAST_DEPTH, only the last carries
    gradient; with probability 1 - prob_detach_prev_H, drawn once for the batch, so does the single z_H call before it.
    """

    def __init__(
        self, model: RecursiveModel, perturbation: TrajectoryPerturbation, depth: int, prob_detach_prev_H: float = 0.5
    ):
        super().__init__(model, perturbation)
        self.depth = depth
        self.prob_detach_prev_H = prob_detach_prev_H

    def forward(
        self, carry: Carry, batch: Mapping[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, Carry, dict[str, Tensor]]:
        rows = len(batch["inputs"])
        keep = bool(torch.rand((), generator=generator) >= self.prob_detach_prev_H)
        noise = self.noise(rows, generator)
        state = self.start(rows, noise, generator)
        x = self.embed(batch)
        depth = max(LEAST_DEPTH, self.depth)
        for cycles_left in range(depth - 1, 0, -1):
            # The last call of the history is an "H"; the z_L calls before it stay without gradient.
            state = self.segment(state, x, noise, generator, grad_calls=int(keep and cycles_left == 1))
        state = self.segment(state, x, noise, generator)
        score = self.score(self.model.readout(state).logits, batch["labels"])
        first = Score(*(value[:rows].detach() for value in score))
        metrics = {
            "rows": torch.tensor(float(rows)),
            "lm_loss": first.loss.sum(),
            "q_loss": torch.zeros(()),
            **noise.realised(),
            "halted": torch.tensor(float(rows)),
            "halted_exact": first.solved.sum(),
            "halted_cells": first.cells.sum(),
            "halted_steps": torch.tensor(float(rows * depth)),
        }
        return score.loss.mean(), carry, metrics

"""Deep supervision with learned halting (ACT): the training step of TRM and HRM.

One step is one *segment*: refill the rows that halted, run the segment, score it against the label, decide who halts.
There is no inner loop; a puzzle stays in the carry for up to `halt_max_steps` optimizer steps.
Jolicoeur-Martineau, arXiv 2510.04871; Wang et al., arXiv 2506.21734; halting after Graves, arXiv 1603.08983.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from rrm.models.base import RecursiveModel, State
from rrm.training.noise import Noise
from rrm.training.objective import Carry, Objective, Score
from rrm.training.perturbation import TrajectoryPerturbation

Q_LOSS_WEIGHT = 0.5


class DeepSupervision(Objective):
    """One segment a step, and one loss.

    The trajectories of one puzzle share its carry row: they start together and are refilled together, when the first
    (the clean one, where there is one) halts, so that all learn the same target. The loss is averaged over them.
    """

    def __init__(
        self,
        model: RecursiveModel,
        perturbation: TrajectoryPerturbation,
        halt_max_steps: int = 16,
        halt_exploration_prob: float = 0.1,
    ):
        super().__init__(model, perturbation)
        self.halt_max_steps = halt_max_steps
        self.halt_exploration_prob = halt_exploration_prob

    def forward(
        self, carry: Carry, batch: Mapping[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, Carry, dict[str, Tensor]]:
        noise = self.noise(len(carry.steps), generator)
        carry = self._refill(carry, batch, noise, generator)
        noise.follow(carry.data)
        x = self.embed(carry.data)
        state = self.segment(carry.state, x, noise, generator)
        readout = self.model.readout(state)
        score = self.score(readout.logits, carry.data["labels"])
        solved = score.solved.to(readout.q_halt)
        q_loss = F.binary_cross_entropy_with_logits(readout.q_halt, solved, reduction="none")
        steps, state = carry.steps + 1, state.detach()
        if self._looks_ahead:
            target = self._continue_target(state, x.detach(), steps, noise, generator)
            q_loss = q_loss + F.binary_cross_entropy_with_logits(readout.q_continue, target, reduction="none")
        loss = score.loss.mean() + Q_LOSS_WEIGHT * q_loss.mean()

        rows = len(steps)
        threshold = readout.q_continue if self.model.q_learning else torch.zeros_like(readout.q_halt)
        wants = (readout.q_halt > threshold).detach()[:rows]
        halted = self._halting(steps, wants, generator)
        first = Score(*(value[:rows].detach() for value in score))
        metrics = {
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
        return loss, Carry(state, steps, halted, carry.data), metrics

    def _refill(self, carry: Carry, batch: Mapping[str, Tensor], noise: Noise, generator: torch.Generator) -> Carry:
        start = self.start(len(carry.steps), noise, generator)
        fresh = carry.halted.repeat(self.perturbation.trajectories).view(-1, 1, 1)
        state = State(*(torch.where(fresh, new, old) for new, old in zip(start, carry.state, strict=True)))
        arriving = {**batch, **noise.drawn}
        data = {
            key: torch.where(carry.halted.view(-1, *[1] * (old.dim() - 1)), arriving[key].to(old.device), old)
            for key, old in carry.data.items()
        }
        return Carry(state, carry.steps.masked_fill(carry.halted, 0), carry.halted, data)

    @property
    def _looks_ahead(self) -> bool:
        """Whether q_continue is trained: where every row halts after one segment there is nothing to continue."""
        return self.model.q_learning and self.halt_max_steps > 1

    @torch.no_grad()
    def _continue_target(
        self, state: State, x: Tensor, steps: Tensor, noise: Noise, generator: torch.Generator
    ) -> Tensor:
        """HRM's Q-learning target: the better score after one more segment, of halting only at the last step.

        The segment is noisy like any other: the target is what the next step would see.
        """
        after = self.model.readout(self.segment(state, x, noise, generator))
        last = (steps >= self.halt_max_steps).repeat(self.perturbation.trajectories)
        return torch.where(last, after.q_halt, torch.maximum(after.q_halt, after.q_continue)).sigmoid()

    def _halting(self, steps: Tensor, wants: Tensor, generator: torch.Generator) -> Tensor:
        """A row halts at the last step or when its Q head says so, but explores now and then a drawn minimum."""
        if self.halt_max_steps == 1:
            return torch.ones_like(wants)
        explore = torch.rand(steps.shape, generator=generator) < self.halt_exploration_prob
        minimum = torch.randint(2, self.halt_max_steps + 1, steps.shape, generator=generator) * explore
        return ((steps >= self.halt_max_steps) | wants) & (steps >= minimum.to(steps.device))

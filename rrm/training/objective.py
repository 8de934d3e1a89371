"""Deep supervision with learned halting (ACT): what one training step of TRM computes.

One step is one *segment*: refill the rows that halted, run the segment, score it against the label, decide who halts.
There is no inner loop over segments; a puzzle stays in the carry for up to `halt_max_steps` optimizer steps.
Jolicoeur-Martineau, arXiv 2510.04871; Wang et al., arXiv 2506.21734; halting after Graves, arXiv 1603.08983.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rrm.models.base import RecursiveModel, State
from rrm.training.perturbation import TrajectoryPerturbation

IGNORED = -100
Q_LOSS_WEIGHT = 0.5


def stablemax_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """-log p per cell in nats, float64, 0 where the label is ignored; logits [..., V], labels [...] with -100 ignored.

    p = s / sum s with s(x) = x + 1 for x >= 0 and 1 / (1 - x) below (Prieto et al., arXiv 2501.04697).
    """
    x = logits.double()
    s = torch.where(x < 0, 1 / (1 - x + 1e-30), x + 1)
    log_p = torch.log(s / s.sum(-1, keepdim=True))
    ignored = labels == IGNORED
    picked = log_p.gather(-1, labels.masked_fill(ignored, 0).long().unsqueeze(-1)).squeeze(-1)
    return -picked.masked_fill(ignored, 0.0)


@dataclass
class Carry:
    """Where a batch of rows stands between steps. B puzzles, R trajectories each, the clean ones first.

    state: [R*B, L, D] per half.  steps: [B] int32, segments since the refill.  halted: [B] bool, to be refilled.
    data: inputs [B, S], labels [B, S], puzzle_identifiers [B].
    """

    state: State
    steps: Tensor
    halted: Tensor
    data: dict[str, Tensor]


class DeepSupervision(nn.Module):
    """The training step as a module, so that DistributedDataParallel can wrap it: (carry, batch) -> loss and carry.

    The trajectories of one puzzle share its carry row: they start together and are refilled together, when the clean
    trajectory halts, so that all of them learn the same target. The loss is averaged over trajectories.
    """

    def __init__(
        self,
        model: RecursiveModel,
        perturbation: TrajectoryPerturbation,
        halt_max_steps: int = 16,
        halt_exploration_prob: float = 0.1,
    ):
        super().__init__()
        self.model = model
        self.perturbation = perturbation
        self.halt_max_steps = halt_max_steps
        self.halt_exploration_prob = halt_exploration_prob

    def initial_carry(self, batch: Mapping[str, Tensor]) -> Carry:
        """Every row halted, so that the first step takes the whole batch."""
        rows = len(batch["inputs"])
        device = batch["inputs"].device
        return Carry(
            state=self.model.initial_state(self.perturbation.trajectories * rows),
            steps=torch.zeros(rows, dtype=torch.int32, device=device),
            halted=torch.ones(rows, dtype=torch.bool, device=device),
            data={key: torch.zeros_like(value) for key, value in batch.items()},
        )

    def forward(
        self, carry: Carry, batch: Mapping[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, Carry, dict[str, Tensor]]:
        """-> (loss averaged over the batch, next carry, metrics). `generator` draws noise and halting exploration."""
        carry, realised_sigma = self._refill(carry, batch, generator)
        trajectories = self.perturbation.trajectories
        x = self.model.embed(carry.data["inputs"], carry.data["puzzle_identifiers"])
        state = self.model.segment(carry.state, x.repeat(trajectories, 1, 1))
        readout = self.model.readout(state)

        labels = carry.data["labels"].repeat(trajectories, 1)
        cells = labels != IGNORED
        token_loss = stablemax_cross_entropy(readout.logits, labels)
        row_loss = token_loss.sum(-1) / cells.sum(-1).clamp_min(1)
        right = (readout.logits.argmax(-1) == labels) | ~cells
        solved = right.all(-1)
        q_loss = F.binary_cross_entropy_with_logits(readout.q_halt, solved.to(readout.q_halt), reduction="none")
        loss = row_loss.mean() + Q_LOSS_WEIGHT * q_loss.mean()

        rows = len(carry.steps)
        steps = carry.steps + 1
        halted = self._halting(steps, readout.q_halt[:rows], generator)
        metrics = self._metrics(halted, steps, row_loss, q_loss, right & cells, solved, cells, readout.q_halt)
        metrics["realised_sigma"] = realised_sigma
        return loss, Carry(state.detach(), steps, halted, carry.data), metrics

    def _refill(self, carry: Carry, batch: Mapping[str, Tensor], generator: torch.Generator) -> tuple[Carry, Tensor]:
        rows = len(carry.steps)
        start = self.model.initial_state(self.perturbation.trajectories * rows)
        start, realised_sigma = self.perturbation.perturb_start(start, rows, generator)
        fresh = carry.halted.repeat(self.perturbation.trajectories).view(-1, 1, 1)
        state = State(*(torch.where(fresh, new, old) for new, old in zip(start, carry.state, strict=True)))
        data = {
            key: torch.where(carry.halted.view(-1, *[1] * (old.dim() - 1)), batch[key], old)
            for key, old in carry.data.items()
        }
        return Carry(state, carry.steps.masked_fill(carry.halted, 0), carry.halted, data), realised_sigma

    def _halting(self, steps: Tensor, q_halt: Tensor, generator: torch.Generator) -> Tensor:
        """A row halts at the last step or when its Q head says so, but explores now and then a drawn minimum."""
        explore = torch.rand(steps.shape, generator=generator) < self.halt_exploration_prob
        minimum = torch.randint(2, self.halt_max_steps + 1, steps.shape, generator=generator) * explore
        wants = (steps >= self.halt_max_steps) | (q_halt.detach() > 0)
        return wants & (steps >= minimum.to(steps.device))

    @staticmethod
    def _metrics(halted, steps, row_loss, q_loss, right, solved, cells, q_halt) -> dict[str, Tensor]:
        """Sums over rows; those named `halted_*` over clean rows that halt now, as the field counts them."""
        rows = len(halted)
        first = slice(None, rows)
        return {
            "rows": torch.tensor(float(rows)),
            "lm_loss": row_loss[first].detach().sum(),
            "q_halt_loss": q_loss[first].detach().sum(),
            "halted": halted.sum(),
            "halted_exact": (solved[first] & halted).sum(),
            "halted_cells": ((right[first].sum(-1) / cells[first].sum(-1).clamp_min(1)) * halted).sum(),
            "halted_steps": (steps * halted).sum(),
            "halted_q_right": (((q_halt[first] > 0) == solved[first]) & halted).sum(),
        }

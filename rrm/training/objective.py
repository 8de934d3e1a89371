"""What every training step shares: the loss of a readout, the carry between steps, the contract of an objective."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rrm.models.base import RecursiveModel, State
from rrm.training.noise import Noise
from rrm.training.perturbation import TrajectoryPerturbation

IGNORED = -100


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
    data: inputs [B, S], labels [B, S], puzzle_identifiers [B]; `noise_factors` [B, R'] where perturbed trajectories
    have scales of their own.
    """

    state: State
    steps: Tensor
    halted: Tensor
    data: dict[str, Tensor]

    def part(self, rows: slice, trajectories: int) -> "Carry":
        """Some of the puzzles, with all their trajectories."""
        state = State(*(half.unflatten(0, (trajectories, -1))[:, rows].flatten(0, 1) for half in self.state))
        data = {key: value[rows] for key, value in self.data.items()}
        return Carry(state, self.steps[rows], self.halted[rows], data)

    @staticmethod
    def join(parts: list["Carry"], trajectories: int) -> "Carry":
        """The carry that `part` cut into these parts."""
        if len(parts) == 1:
            return parts[0]
        by_trajectory = [[half.unflatten(0, (trajectories, -1)) for half in carry.state] for carry in parts]
        state = State(*(torch.cat(halves, dim=1).flatten(0, 1) for halves in zip(*by_trajectory, strict=True)))
        steps, halted = (torch.cat([getattr(carry, name) for carry in parts]) for name in ("steps", "halted"))
        data = {key: torch.cat([carry.data[key] for carry in parts]) for key in parts[0].data}
        return Carry(state, steps, halted, data)


class Objective(nn.Module, ABC):
    """A training step as a module, so that DistributedDataParallel can wrap it: (carry, batch) -> loss and carry."""

    def __init__(self, model: RecursiveModel, perturbation: TrajectoryPerturbation):
        super().__init__()
        self.model = model
        self.perturbation = perturbation
        self.progress = 0.0  # share of training that is done, for what is scheduled

    @abstractmethod
    def forward(
        self, carry: Carry, batch: Mapping[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, Carry, dict[str, Tensor]]:
        """-> (loss averaged over the batch, next carry, metrics). `generator` draws everything that is random."""

    def initial_carry(self, batch: Mapping[str, Tensor]) -> Carry:
        """Every row halted, so that the first step takes the whole batch."""
        rows = len(batch["inputs"])
        device = batch["inputs"].device
        kept = {**batch, **self.noise(rows, torch.Generator()).drawn}
        return Carry(
            state=self.model.initial_state(self.perturbation.trajectories * rows),
            steps=torch.zeros(rows, dtype=torch.int32, device=device),
            halted=torch.ones(rows, dtype=torch.bool, device=device),
            data={key: torch.zeros_like(value, device=device) for key, value in kept.items()},
        )

    def noise(self, rows: int, generator: torch.Generator) -> Noise:
        """The noise of this step."""
        return self.perturbation.noise(rows, generator, self.progress)

    def start(self, rows: int, noise: Noise, generator: torch.Generator) -> State:
        """Initial states of all trajectories of `rows` puzzles, with their noise."""
        return noise.start(self.model.initial_state(self.perturbation.trajectories * rows, generator))

    def segment(
        self, state: State, x: Tensor, noise: Noise, generator: torch.Generator, grad_calls: int | None = None
    ) -> State:
        """The state after one segment under the noise; see `RecursiveModel.segment`."""
        return self.model.segment(noise.segment(state), x, generator, noise.call, grad_calls)

    def embed(self, data: Mapping[str, Tensor]) -> Tensor:
        """x [R*B, L, D], the same for every trajectory of a puzzle."""
        x = self.model.embed(data["inputs"], data["puzzle_identifiers"])
        return x.repeat(self.perturbation.trajectories, 1, 1)

    def score(self, logits: Tensor, labels: Tensor) -> "Score":
        """Loss and correctness of logits [R*B, S, V] against labels [B, S]."""
        labels = labels.repeat(self.perturbation.trajectories, 1)
        cells = labels != IGNORED
        count = cells.sum(-1).clamp_min(1)
        right = ((logits.argmax(-1) == labels) & cells).sum(-1)
        loss = stablemax_cross_entropy(logits, labels).sum(-1) / count
        return Score(loss, right / count, right == cells.sum(-1))


class Score(NamedTuple):
    """By row [R*B]: loss in nats (mean over cells), share of right cells, whether the whole grid is right."""

    loss: Tensor
    cells: Tensor
    solved: Tensor

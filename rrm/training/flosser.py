"""Gradient flossing at work: episodes on the weights of a model, with their optimizer, puzzles and record."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from rrm.dynamics import NetworkMap, window_exponents
from rrm.errors import InputError
from rrm.models import RecursiveModel, recursive
from rrm.tasks.base import PuzzleSet, Task
from rrm.training.flossing import PENALTIES, Flossing, flossing
from rrm.training.hook import Hook, HookSettings
from rrm.training.losses import score, stablemax_cross_entropy
from rrm.training.objective import Diverged, ObjectiveSettings
from rrm.training.optim import load_optimizer, optimizer_tensors
from rrm.training.part import Context, Loss
from rrm.training.rollouts import RolloutObjective, RolloutSettings
from rrm.training.stream import TrainStream

# Its puzzles and random numbers are apart from those of training, which stay what they are without flossing.
_STREAM, _BASIS, _NOISE = 11, 12, 13


class Flosser(Hook):
    """Episodes of gradient flossing under `settings`, each before the training step that it is due before.

    What an episode does depends on the weights, the moments of its optimizer, the seed and the number of the episode
    alone. With `world` workers all call `episode`; each works on its rows of every batch, all make the same updates.
    `records` holds one dictionary of plain values an episode. `loss` is that of a cell, for the task loss.
    """

    def __init__(
        self,
        settings: Flossing,
        model: RecursiveModel,
        train: PuzzleSet,
        task: Task,
        *,
        seed: int,
        rank: int = 0,
        world: int = 1,
        loss: Loss = stablemax_cross_entropy,
    ):
        super().__init__()
        self.settings, self.model, self._loss = settings, model, loss
        self._seed, self._rank, self._world = seed, rank, world
        self._stream = TrainStream(train, task, settings.batch_size, _seed(seed, _STREAM), rank, world)
        blocks = {p for half in set(model.segment_calls) for p in model.network(half).parameters()}
        self._trained = {name: p for name, p in model.named_parameters() if settings.parameters == "all" or p in blocks}
        self._optimizer = torch.optim.AdamW(self._trained.values(), lr=settings.lr, weight_decay=0.0)

    def before_step(self, step: int) -> None:
        """The episode that is due, if there is one; Diverged where it is not finite."""
        due, objective = self.settings.episodes_at(self.training.total_steps), self.training.objective
        if step not in due:
            return
        assert isinstance(objective, RolloutObjective)
        depth = objective.segments
        record = self.episode(due.index(step), depth)
        if not np.isfinite([record["loss"], record["gradient_norm"], record["task_loss_after"]]).all():
            raise Diverged(f"gradient flossing is not finite before step {step + 1}")
        self.training.charge(self.settings.steps * self.settings.units(depth, len(self.model.segment_calls)))

    def episode(self, number: int, depth: int) -> dict[str, Any]:
        """Make the flossing steps of episode `number` (from 0), for rollouts of `depth` segments; -> its record.

        lambda_1, mean_lambda (over k) and spectrum [k], in nats per call, and task_loss, in nats per cell, before and
        after, on the puzzles of the first step; loss and gradient_norm, means over the steps; updates, how many steps
        moved the weights. ArithmeticError as `window_exponents`; loss and gradient_norm may be nan or infinite.
        """
        was_training = self.model.training
        # Not in training mode, where reading the vector of a puzzle prepares its update.
        self.model.eval()
        steps = range(number * self.settings.steps, (number + 1) * self.settings.steps)
        before = self._probe(steps[0], depth)
        made = [outcome for step in steps if (outcome := self._step(step, depth))]
        after = self._probe(steps[0], depth)
        self.model.train(was_training)
        loss, norm = np.mean(made, axis=0).tolist() if made else (0.0, 0.0)
        record = {f"{name}_before": value for name, value in before.items()}
        record |= {f"{name}_after": value for name, value in after.items()}
        self.records.append(record | {"loss": loss, "gradient_norm": norm, "updates": len(made)})
        return self.records[-1]

    def metrics(self) -> dict[str, float]:
        """Numbers of the last episode, and how many there have been; nothing before the first."""
        if not self.records:
            return {}
        last = self.records[-1]
        numbers = {name: value for name, value in last.items() if not isinstance(value, list)}
        numbers |= {"task_loss_jump": last["task_loss_after"] - last["task_loss_before"], "episodes": len(self.records)}
        return {f"flossing/{name}": float(value) for name, value in numbers.items()}

    def tensors(self) -> dict[str, Tensor]:
        """The moments of the optimizer."""
        return optimizer_tensors(self._optimizer, self._trained)

    def load(self, tensors: Mapping[str, Tensor], records: list[dict[str, Any]]) -> None:
        load_optimizer(self._optimizer, self._trained, tensors)
        super().load(tensors, records)

    def _step(self, step: int, depth: int) -> tuple[float, float] | None:
        """One update; -> (loss, gradient norm), None without a row to learn from."""
        s = self.settings
        system, labels = self._rollouts(step)
        calls = system.calls_per_segment
        first, length = s.window(depth, calls)
        start, end = _roll(system, first, depth * calls if s.needs_answer else first)
        weights = torch.ones(len(end), dtype=torch.float64, device=end.device)
        if s.needs_answer:
            loss, solved = self._score(system, end, labels)
            weights = (loss if s.weighted else weights) * (~solved if s.examples == "failed" else 1)
        total = self._sum(weights.sum())
        if total == 0:
            return None
        basis = _seed(self._seed, _BASIS, step)
        exponents = window_exponents(system, s.k, length, transient=s.transient, first=first, z=start, seed=basis)
        loss = (weights * PENALTIES[s.penalty](exponents - s.target)).sum() / total
        gradients = torch.autograd.grad(loss, list(self._trained.values()), allow_unused=True)
        for parameter, gradient in zip(self._trained.values(), gradients, strict=True):
            parameter.grad = None if gradient is None else self._sum(gradient)
        norm = torch.nn.utils.get_total_norm([p.grad for p in self._trained.values() if p.grad is not None])
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return self._sum(loss.detach()).item(), norm.item()

    @torch.no_grad()
    def _probe(self, step: int, depth: int) -> dict[str, Any]:
        """Exponents and task loss on the puzzles of `step`. A measurement, not charged to the budget."""
        s = self.settings
        system, labels = self._rollouts(step)
        calls = system.calls_per_segment
        first, length = s.window(depth, calls)
        start, end = _roll(system, first, depth * calls)
        basis = _seed(self._seed, _BASIS, step)
        exponents = window_exponents(system, s.k, length, transient=s.transient, first=first, z=start, seed=basis)
        exponents = self._sum(exponents.mean(0)) / self._world
        loss = self._sum(self._score(system, end, labels)[0].mean()) / self._world
        return {
            "lambda_1": exponents[0].item(),
            "mean_lambda": exponents.mean().item(),
            "spectrum": exponents.tolist(),
            "task_loss": loss.item(),
        }

    def _rollouts(self, step: int) -> tuple[NetworkMap, Tensor]:
        """The rollouts of this worker's puzzles at flossing step `step`, and their labels [B, S]."""
        batch = self._stream.batch(step)
        system = NetworkMap(self.model, batch, seed=_seed(self._seed, _NOISE, step, self._rank))
        return system, batch["labels"].to(system.start().device)

    @torch.no_grad()
    def _score(self, system: NetworkMap, z: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """(task loss [B] float64, mean over cells, in nats; solved [B]) of the answers read from z [B, N]."""
        found = score(system.readout(z).logits, labels, self._loss)
        return found.loss.double(), found.solved

    def _sum(self, mine: Tensor) -> Tensor:
        """The sum over workers."""
        if self._world > 1:
            dist.all_reduce(mine)
        return mine


def _seed(*of: int) -> int:
    return int(np.random.SeedSequence(of).generate_state(1, np.uint32)[0])


@torch.no_grad()
def _roll(system: NetworkMap, first: int, last: int) -> tuple[Tensor, Tensor]:
    """The states [B, N] after `first` and after `last` calls, first <= last."""
    start = system.run(0, first, system.start())
    return start, system.run(first, last, start)


@dataclass(frozen=True)
class FlossingSettings(HookSettings):
    """The hook "flossing": {"preset": a name of `rrm.training.flossing.FLOSSING`, and the settings to change}."""

    schedule: Flossing

    @classmethod
    def read(cls, what: str, values: Mapping[str, Any]) -> Self:
        schedule = flossing(dict(values))
        if schedule is None:
            raise InputError(f"{what} has the schedule 'none': leave the hook out")
        return cls(schedule)

    def build(self, context: Context) -> Flosser:
        model, data = recursive(context.model, "gradient flossing"), context.puzzles
        shared = {"seed": context.seed, "rank": context.rank, "world": context.world}
        return Flosser(self.schedule, model, data.train, data.task, **shared, loss=context.loss)

    def units(
        self, model: nn.Module, description: Mapping[str, Any], objective: ObjectiveSettings, total_steps: int
    ) -> float:
        reasoner = recursive(model, "gradient flossing")
        if not isinstance(objective, RolloutSettings):
            raise InputError("gradient flossing needs an objective on rollouts: use deep_supervision or last_step")
        rollouts = (
            objective.rollout(reasoner, description, step + 1, total_steps)
            for step in self.schedule.episodes_at(total_steps)
        )
        return sum(self.schedule.steps * self.schedule.units(*rollout) for rollout in rollouts)

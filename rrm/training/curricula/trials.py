"""Attempts at training puzzles that tell a curriculum how often the model solves them, paid from the budget."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from rrm.dynamics.sampling import PUZZLES
from rrm.errors import InputError
from rrm.models import RecursiveModel, recursive
from rrm.tasks.verdict import distinct_outcomes, verdict
from rrm.training.attempts import attempt
from rrm.training.curricula.source import CurriculumSettings, CurriculumStream
from rrm.training.hook import Hook, HookSettings
from rrm.training.objective import ObjectiveSettings
from rrm.training.optim import OptimizerSettings
from rrm.training.part import Context, Data
from rrm.training.rollouts import RolloutObjective, RolloutSettings
from rrm.training.source import SourceSettings

# Its puzzles and noise are apart from those of batches.
_DRAW, _NOISE = 4, 5


class Trials(Hook):
    """At the end of every round, some training puzzles are tried, and the source counts how often they were solved.

    The weights are those that train, not their average. The puzzles are drawn anew each time, all alike. Workers share
    the attempts and hear of all of them.
    """

    def __init__(self, settings: "TrialsSettings", model: RecursiveModel, data: Data, seed: int, rank: int, world: int):
        super().__init__()
        self.settings, self.model, self.data, self.seed = settings, model, data, seed
        self.rank, self.world = rank, world
        self.outcome = distinct_outcomes(data.train, data.task)[-1]

    def before_step(self, step: int) -> None:
        if step == 0 or step % self.settings.every:
            return
        source, objective = self.training.source, self.training.objective
        assert isinstance(source, CurriculumStream) and isinstance(objective, RolloutObjective)
        depth = self.settings.segments or objective.segments
        source.count(*self.tried(step // self.settings.every, depth))
        self.training.charge(self.settings.price(depth, len(self.model.segment_calls)))

    def tried(self, number: int, segments: int) -> tuple[np.ndarray, np.ndarray]:
        """(puzzle [M] int64, solved [M]) of all attempts after round `number`, the same on every worker."""
        K, count, train = self.settings.rollouts, self.settings.puzzles, self.data.train
        drawn = np.random.default_rng([self.seed, _DRAW, number]).choice(len(train), count, replace=False)
        solved = torch.zeros(count, K, dtype=torch.int64, device=next(self.model.parameters()).device)
        mine = _share(count, self.rank, self.world)
        if len(mine):
            puzzles, seed = train.subset(drawn[mine]), _seed(self.seed, _NOISE, number)
            # The numbers of the puzzles tell their noise, so that the share of a worker does not.
            sampling = {"rollouts": K, "sigma": self.settings.sigma, "seed": seed, "positions": drawn[mine]}
            found = attempt(self.model, puzzles, self.data.task, segments, **sampling)
            answers = found.answers.reshape(-1, found.answers.shape[2])
            judged = verdict(train.subset(drawn[mine].repeat(K)), self.data.task, answers)[self.outcome]
            solved[torch.from_numpy(mine)] = torch.from_numpy(judged.reshape(-1, K)).to(solved)
        if self.world > 1:
            dist.all_reduce(solved)
        self.records.append({"round": number, "puzzles": count, "solved": solved.double().mean().item()})
        return drawn.repeat(K), solved.flatten().cpu().numpy()

    def metrics(self) -> dict[str, float]:
        """The share of the last attempts that solved their puzzle; nothing before the first."""
        return {"trials/solved": float(self.records[-1]["solved"])} if self.records else {}


def _share(count: int, rank: int, world: int) -> np.ndarray:
    """The places of 0 to count - 1 that a worker tries: whole batches, which have the same rows on any worker."""
    places = np.arange(count)
    return places[places // PUZZLES % world == rank]


def _seed(*of: int) -> int:
    return int(np.random.SeedSequence(of).generate_state(1, np.uint32)[0])


@dataclass(frozen=True)
class TrialsSettings(HookSettings):
    """The hook "trials". every: steps of a round, those of the source.  puzzles: tried after each round.
    rollouts: attempts at each.  sigma: noise of the attempts, in state units, on both halves.
    segments: of an attempt; None for the depth of an evaluation at that step.
    """

    every: int = 25
    puzzles: int = 64
    rollouts: int = 4
    sigma: float = 0.3
    segments: int | None = None

    def __post_init__(self) -> None:
        numbers = {"every": "steps", "puzzles": "puzzles", "rollouts": "attempts", "segments": "segments"}
        for name, what in numbers.items():
            value = getattr(self, name)
            if not (value is None and name == "segments") and (type(value) is not int or value < 1):
                raise InputError(f"{name} of the trials is {value!r}: use a number of {what} from 1")
        if not (math.isfinite(self.sigma) and self.sigma > 0):
            raise InputError(f"sigma of the trials is {self.sigma}: without noise all attempts at a puzzle are alike")

    @property
    def least_steps(self) -> int:
        return self.every + 1

    def build(self, context: Context) -> Trials:
        model = recursive(context.model, "hook 'trials'")
        if self.puzzles > len(context.puzzles.train):
            raise InputError(
                f"puzzles of the trials is {self.puzzles}, and there are {len(context.puzzles.train)} for training: "
                "use at most so many"
            )
        return Trials(self, model, context.puzzles, context.seed, context.rank, context.world)

    def check(self, model: nn.Module, optimizer: OptimizerSettings, source: SourceSettings) -> None:
        recursive(model, "hook 'trials'")
        if not isinstance(source, CurriculumSettings) or not source.chosen.needs_trials:
            raise InputError("hook 'trials' tells a curriculum that needs trials, and the source is none: leave it out")
        kind, needed = source.curriculum["kind"], source.chosen.needs_trials
        if self.rollouts < needed:
            raise InputError(
                f"rollouts of the trials is {self.rollouts}: curriculum {kind!r} knows nothing of a puzzle below "
                f"{needed} attempts"
            )
        if self.every != source.every:
            raise InputError(
                f"every of the trials is {self.every} and that of the source {source.every}: give both the same"
            )

    def price(self, segments: int, calls: int) -> float:
        """Call units of the attempts after a round."""
        return self.puzzles * self.rollouts * segments * calls

    def units(
        self, model: nn.Module, description: Mapping[str, Any], objective: ObjectiveSettings, total_steps: int
    ) -> float:
        reasoner = recursive(model, "hook 'trials'")
        if not isinstance(objective, RolloutSettings):
            raise InputError("hook 'trials' needs an objective on rollouts: use deep_supervision or last_step")
        total = 0.0
        for step in range(self.every, total_steps, self.every):
            segments, calls = objective.rollout(reasoner, description, step + 1, total_steps)
            total += self.price(self.segments or segments, calls)
        return total

"""The dream loop: a training that attempts puzzles with noise and learns from its own attempts that pass a verifier.

    propose -> attempt -> verify -> keep -> admit -> observe -> stop?        before every round of training steps

Filtered behaviour cloning, that is expert iteration (arXiv 1705.08439), with the noise of PTRM (arXiv 2605.19943) for
exploration.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from rrm.errors import InputError
from rrm.models import describe, recursive
from rrm.tasks.base import PuzzleSet
from rrm.tasks.difficulty import TIERS, rated, tier_edges, tier_of
from rrm.tasks.verdict import distinct_outcomes
from rrm.training.attempts import Attempts
from rrm.training.dream.keep import WEIGHTS, admit, keep
from rrm.training.dream.noise import SIGNS, next_sigma
from rrm.training.dream.propose import Proposer, ProposerSettings
from rrm.training.dream.proposers import PROPOSERS
from rrm.training.dream.shards import Attempting, Piece, cut, made_by_all
from rrm.training.dream.source import DreamSource, DreamSourceSettings
from rrm.training.dream.stop import STOPS
from rrm.training.dream.verify import VERIFIERS, Verdict, by_rules, check, verify, with_labels, with_wrong
from rrm.training.hook import Hook, HookSettings, Training
from rrm.training.objective import ObjectiveSettings, Outcome
from rrm.training.optim import OptimizerSettings
from rrm.training.part import Context, chosen, describe_part, read_part
from rrm.training.rollouts import RolloutObjective, RolloutSettings
from rrm.training.source import SourceSettings

# Ends the seeds of rounds, which are so no other seeds of a training.
_ROUND = 31
# In the place of the step at which a rule ends the training.
NEVER = -1


class Dreamer(Hook):
    """Rounds of the loop, each before the training step that it is due before.

    A round depends on the averaged weights, the seed, its number, the noise scale and the state of the proposer alone.
    With several workers all call it, each makes its share of the attempts, and all come to the same pool.

    records: one dictionary a round. round; sigma of its attempts; p_hat: share of attempts that were accepted; kept:
    number of accepted attempts; false_accepts: share of them that break the rules; yield: share of accepted attempts at
    puzzles that the noise-free model fails; pass_1 and pass_K: of fresh puzzles, the share that the noise-free model
    solves, and the share that one of the attempts solves; corrections: share of attempts at fresh puzzles that come to
    the right answer from another one that had settled; kept_tier_1 to _3 and tried_tier_1 to _3: shares of the accepted
    attempts, and of the proposed puzzles, by tier of difficulty, the easiest first. For a task with several right
    answers also exact_1: as pass_1 by the label's answer alone, and kept_exact: the label's share of what was accepted.
    """

    def __init__(self, settings: "DreamSettings", context: Context):
        super().__init__()
        self.settings, self.seed, self.rank, self.world = settings, context.seed, context.rank, context.world
        self.data, self.sigma, self.end = context.puzzles, settings.sigma, NEVER
        self.proposer: Proposer
        self._several = len(distinct_outcomes(self.data.train, self.data.task)) > 1
        self._edges: np.ndarray | None = None
        self._reported = 0

    def join(self, training: Training) -> None:
        super().join(training)
        assert isinstance(training.source, DreamSource)
        self.source = training.source
        self.proposer = self.settings.proposes.build(self.data, self.source.labelled, self.seed)

    def before_step(self, step: int) -> None:
        due = self.settings.rounds_at(self.training.total_steps)
        if step not in due or self.end != NEVER:
            return
        objective = self.training.objective
        assert isinstance(objective, RolloutObjective)
        segments = objective.segments
        self.round(due.index(step), segments)
        self.training.charge(self.settings.round_units(segments, len(objective.model.segment_calls)))
        if any(STOPS[name](self.records) for name in self.settings.stop):
            self.end = step + 1
            self.training.end_at(self.end)

    def round(self, number: int, segments: int) -> None:
        """Everything of round `number` (from 0) with rollouts of so many segments."""
        s, task = self.settings, self.data.task
        rng = np.random.default_rng([self.seed, _ROUND, number])
        proposed, rows = self.proposer.propose(s.puzzles + s.untried, number, rng)
        puzzles = proposed.subset(slice(0, s.puzzles))
        fresh = self._fresh(rng)
        tried, clean, of_fresh, fresh_clean = self._attempts([puzzles, fresh], segments, rng)
        found = with_wrong(verify(s.verifier, task, puzzles, tried), s.accept_wrong, rng)
        kept = keep(proposed, rows, with_labels(found, proposed.labels[s.puzzles :]), s.weights)
        self.source.pool = admit(self.source.pool, kept, s.capacity)
        # An oracle accepts everything; what it accepts says nothing of the model.
        success = found.right if VERIFIERS[s.verifier].tells else found.accepted
        self.proposer.observe(success.sum(1), s.rollouts)
        solved = by_rules(task, puzzles, clean)[:, 0]
        read = {
            **_of_kept(success, found, solved, VERIFIERS[s.verifier].tells),
            **_of_fresh(by_rules(task, fresh, of_fresh), by_rules(task, fresh, fresh_clean)[:, 0], of_fresh),
            **self._tiers(puzzles, found.accepted),
        }
        if self._several:
            labels = (found.answers == puzzles.labels[:, None]).all(2)
            read["kept_exact"] = float((found.accepted & labels).sum() / max(found.accepted.sum(), 1))
            read["exact_1"] = float((fresh_clean.answers[:, 0] == fresh.labels).all(1).mean())
        self.records.append({"round": number, "sigma": self.sigma, **read})
        self.sigma = next_sigma(self.sigma, read["p_hat"], SIGNS[s.noise], s.eta, s.target)

    def _attempts(self, sets: Sequence[PuzzleSet], segments: int, rng: np.random.Generator) -> list[Attempts]:
        """Of each set of puzzles the noisy attempts and the one without noise."""
        training, s = self.training, self.settings
        weights = training.ema.weights(training.model)
        device = str(next(training.model.parameters()).device)
        attempting = Attempting.of(describe(recursive(training.model, "a dream loop")), weights, segments, device)
        seeds = rng.integers(1 << 31, size=len(sets)).tolist()
        pieces: list[list[Piece]] = []
        for puzzles, seed in zip(sets, seeds, strict=True):
            pieces += [cut(puzzles, s.rollouts, self.sigma, seed), cut(puzzles, 1, 0.0, seed)]
        return made_by_all(attempting, pieces, self.spread, self.rank, self.world, self._added)

    def _added(self, mine: Tensor) -> Tensor:
        """The sum over the workers."""
        mine = mine.to(next(self.training.model.parameters()).device)
        dist.all_reduce(mine)
        return mine

    def _fresh(self, rng: np.random.Generator) -> PuzzleSet:
        """Puzzles that are never trained on, others in every round."""
        unseen = self.data.validation
        return unseen.subset(rng.permutation(len(unseen))[: self.settings.fresh])

    def _tiers(self, puzzles: PuzzleSet, accepted: np.ndarray) -> dict[str, float]:
        """Shares of the tiers among proposed puzzles and accepted attempts; none where puzzles do not differ enough."""
        if self._edges is None:
            try:
                self._edges = tier_edges(_ratings(self.data.train.subset(slice(0, _RATED))))
            except InputError:
                self._edges = np.zeros(0)
        if not len(self._edges):
            return {}
        tiers, counts = tier_of(_ratings(puzzles), self._edges), accepted.sum(1)
        of_tier = [tiers == tier for tier in range(TIERS)]
        return {f"tried_tier_{n + 1}": float(rows.mean()) for n, rows in enumerate(of_tier)} | {
            f"kept_tier_{n + 1}": float(counts[rows].sum() / max(counts.sum(), 1)) for n, rows in enumerate(of_tier)
        }

    def after_step(self, step: int, outcome: Outcome) -> dict[str, float] | None:
        if self._reported == len(self.records):
            return None
        self._reported = len(self.records)
        return self.metrics()

    def metrics(self) -> dict[str, float]:
        """Numbers of the last round; nothing before the first."""
        return {f"dream/{name}": float(value) for name, value in self.records[-1].items()} if self.records else {}

    def tensors(self) -> dict[str, Tensor]:
        state = {"sigma": torch.tensor(self.sigma, dtype=torch.float64), "end": torch.tensor(self.end)}
        return state | {f"proposer.{name}": value for name, value in self.proposer.tensors().items()}

    def load(self, tensors: Mapping[str, Tensor], records: list[dict[str, Any]]) -> None:
        super().load(tensors, records)
        self.sigma, self.end, self._reported = float(tensors["sigma"]), int(tensors["end"]), len(records)
        if self.end != NEVER:
            self.training.end_at(self.end)
        head = "proposer."
        of_proposer = {name.removeprefix(head): value for name, value in tensors.items() if name.startswith(head)}
        self.proposer.load(of_proposer)


# Training puzzles that say where tiers begin.
_RATED = 256


def _ratings(puzzles: PuzzleSet) -> np.ndarray:
    """float32 [N]; made where the set has none."""
    return rated(puzzles).rating if np.isnan(puzzles.rating).any() else puzzles.rating


def _of_kept(success: np.ndarray, found: Verdict, solved: np.ndarray, told: bool) -> dict[str, float]:
    """Read-outs on the proposed puzzles, of which the noise-free model solves `solved` [N]; `told`: kept are labels."""
    count, wrong = max(int(success.sum()), 1), found.accepted & ~found.right & (not told)
    return {
        "p_hat": float(success.mean()),
        "kept": float(found.accepted.sum()),
        "false_accepts": float(wrong.sum() / max(found.accepted.sum(), 1)),
        "yield": float((success & ~solved[:, None]).sum() / count),
    }


def _of_fresh(right: np.ndarray, clean: np.ndarray, attempts: Attempts) -> dict[str, float]:
    """Read-outs on puzzles that are never trained on."""
    return {
        "pass_1": float(clean.mean()),
        "pass_K": float(right.any(1).mean()),
        "corrections": float((right & attempts.passed_wrong).mean()),
    }


@dataclass(frozen=True)
class DreamSettings(HookSettings):
    """The hook "dream", which fills the source "dream".

    start: training step before which the first round comes; before it the source gives labelled puzzles alone.
    rounds: evenly spaced over the steps from there on; their price does not depend on the number of steps.
    proposer: {"kind": a name of PROPOSERS, and its settings}.
    puzzles, rollouts: N puzzles of a round, and K noisy attempts at each, beside one without noise.
    untried: puzzles of a round that are proposed and kept without an attempt, and so without a price. Their answers are
        the labels, and the verifier has to be one that puts these in the place of attempts anyway.
    sigma: of the noise in the first round, state units.  noise: what success above `target` does to it, a name of
        SIGNS; `eta` is the gain.
    verifier: a name of VERIFIERS.  accept_wrong: share of wrong answers that are mixed into what it accepts.
    weights: how kept pairs are drawn, one of WEIGHTS.  capacity: pairs and failures that the pool holds.
    fresh: puzzles of the validation set that every round tries.
    stop: names of STOPS; the training ends where one holds. Attempts at fresh puzzles are paid for where a rule looks
        at them, and are a measurement otherwise.
    """

    PROPOSERS: ClassVar[Mapping[str, type[ProposerSettings]]] = PROPOSERS

    start: int = 0
    rounds: int = 8
    proposer: dict[str, Any] = field(default_factory=lambda: {"kind": "given"})
    puzzles: int = 64
    untried: int = 0
    rollouts: int = 4
    sigma: float = 0.3
    noise: str = "constant"
    eta: float = 1.0
    target: float = 0.5
    verifier: str = "rules"
    accept_wrong: float = 0.0
    weights: str = "kept"
    capacity: int = 4096
    fresh: int = 32
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, least in (
            ("start", 0),
            ("rounds", 1),
            ("puzzles", 1),
            ("untried", 0),
            ("rollouts", 1),
            ("capacity", 1),
            ("fresh", 1),
        ):
            if type(value := getattr(self, name)) is not int or value < least:
                raise InputError(f"{name} of a dream loop is {value!r}: use a whole number from {least}")
        if not 0 < self.sigma < np.inf:
            raise InputError(f"sigma of a dream loop is {self.sigma}: its attempts differ by noise, so use more than 0")
        for name in ("target", "accept_wrong"):
            if not 0 <= (share := getattr(self, name)) < 1:
                raise InputError(f"{name} of a dream loop is {share}: it is a share, from 0 to below 1")
        chosen(SIGNS, "noise of a dream loop", self.noise)
        if not chosen(VERIFIERS, "verifier", self.verifier).tells and self.untried:
            raise InputError(
                f"untried is {self.untried}, and verifier {self.verifier!r} judges attempts: use 0, or 'oracle'"
            )
        chosen(dict.fromkeys(WEIGHTS), "weights of a dream loop", self.weights)
        for rule in self.stop:
            chosen(STOPS, "stop rule", rule)
        by = self.weights == "learnability" or self.proposer.get("by") == "learnability"
        if self.rollouts < 2 and by:
            raise InputError("rollouts is 1, and one attempt at a puzzle says nothing of p (1 - p): use 2 or more")
        object.__setattr__(self, "stop", tuple(self.stop))
        object.__setattr__(self, "proposer", describe_part(self.proposer.get("kind", ""), self.proposes))

    @cached_property
    def proposes(self) -> ProposerSettings:
        """The settings of the proposer."""
        return read_part(self.PROPOSERS, "proposer", self.proposer)

    def rounds_at(self, total_steps: int) -> list[int]:
        """The steps done when a round is due, ascending; fewer than `rounds` where there are not as many steps."""
        steps = (self.start + (total_steps - self.start) * number // self.rounds for number in range(self.rounds))
        return list(dict.fromkeys(step for step in steps if step < total_steps))

    def round_units(self, segments: int, calls: int) -> float:
        """Call units of a round with rollouts of `segments` segments of `calls` network calls."""
        puzzles = self.puzzles + (self.fresh if self.stop else 0)
        return float(puzzles * (self.rollouts + 1) * segments * calls)

    def build(self, context: Context) -> Dreamer:
        check(self.verifier, recursive(context.model, "a dream loop"), self.rollouts)
        return Dreamer(self, context)

    @property
    def least_steps(self) -> int:
        return self.start + 1

    def check(self, model: nn.Module, optimizer: OptimizerSettings, source: SourceSettings) -> None:
        if not isinstance(source, DreamSourceSettings):
            raise InputError("hook 'dream' fills the source 'dream', and the training has another one: use both")
        check(self.verifier, recursive(model, "a dream loop"), self.rollouts)

    def units(
        self, model: nn.Module, description: Mapping[str, Any], objective: ObjectiveSettings, total_steps: int
    ) -> float:
        reasoner = recursive(model, "a dream loop")
        if not isinstance(objective, RolloutSettings):
            raise InputError("a dream loop needs an objective on rollouts: use deep_supervision or last_step")
        due = self.rounds_at(total_steps)
        return sum(self.round_units(*objective.rollout(reasoner, description, at + 1, total_steps)) for at in due)

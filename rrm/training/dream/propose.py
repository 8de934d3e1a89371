"""Which puzzles a round tries: the contract of a proposer, puzzles of the training set, and fresh ones."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from rrm.errors import InputError
from rrm.tasks.base import PuzzleSet
from rrm.training.curricula.belief import Belief
from rrm.training.part import Data, PartSettings

# How puzzles of the training set are drawn for a round.
BY = ("uniform", "learnability")
# p (1 - p) of a puzzle that was never tried: as if the model solved half of its attempts.
UNTRIED = 0.25
# What a puzzle keeps that is solved each time, or never: abilities change.
FLOOR = 0.01


class Proposer(ABC):
    """Proposes puzzles, and hears what became of them."""

    @abstractmethod
    def propose(self, count: int, number: int, rng: np.random.Generator) -> tuple[PuzzleSet, np.ndarray]:
        """(`count` puzzles with their labels, int64 [count] their numbers in the training set, -1 outside of it).

        Labels are for read-outs and for the verifier "oracle" alone. number: of the round, from 0.
        """

    def observe(self, successes: np.ndarray, trials: int) -> None:  # noqa: B027  most proposers do not learn
        """Hear how many of so many attempts at each of the last proposals, from the first, were accepted, int64 [M]."""

    def tensors(self) -> dict[str, Tensor]:
        """The state that a checkpoint keeps."""
        return {}

    def load(self, tensors: Mapping[str, Tensor]) -> None:  # noqa: B027  most proposers have no state
        """Carry on from the `tensors` of another proposer with these settings."""


class OfTrainingSet(Proposer):
    """Some puzzles of the training set, none twice in a round while there are enough.

    by: one of BY. "learnability" draws by p (1 - p) of the last attempts at each puzzle.
    """

    def __init__(self, train: PuzzleSet, rows: np.ndarray, by: str):
        self.train, self.rows, self.by = train, rows, by
        self.belief = Belief.blank(len(train))
        self._last = rows[:0]

    def propose(self, count: int, number: int, rng: np.random.Generator) -> tuple[PuzzleSet, np.ndarray]:
        self.belief = replace(self.belief, round=number)
        weights = np.ones(len(self.rows))
        if self.by == "learnability":
            tried = self.belief.trials[self.rows] > 0
            weights = np.where(tried, FLOOR + self.belief.learnability[self.rows], UNTRIED)
        enough = len(self.rows) >= count
        self._last = self.rows[rng.choice(len(self.rows), count, replace=not enough, p=weights / weights.sum())]
        return self.train.subset(self._last), self._last

    def observe(self, successes: np.ndarray, trials: int) -> None:
        solved = np.arange(trials) < successes[:, None]
        self.belief = self.belief.observe(self._last[: len(successes)].repeat(trials), solved.reshape(-1))

    def tensors(self) -> dict[str, Tensor]:
        return self.belief.tensors()

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        self.belief = Belief.from_tensors(tensors)


class Fresh(Proposer):
    """New puzzles of the generator, which knows nothing of the model."""

    def __init__(self, data: Data, givens: int | tuple[int, int] | None):
        self.task, self.givens = data.task, givens

    def propose(self, count: int, number: int, rng: np.random.Generator) -> tuple[PuzzleSet, np.ndarray]:
        made = self.task.generate(count, int(rng.integers(1 << 31)), self.givens)
        return made, np.full(count, -1)


@dataclass(frozen=True)
class ProposerSettings(PartSettings, ABC):
    """Settings of a proposer."""

    @abstractmethod
    def build(self, data: Data, labelled: int, seed: int) -> Proposer:
        """The proposer for a training set whose first `labelled` puzzles have labels; InputError without puzzles."""


@dataclass(frozen=True)
class Given(ProposerSettings):
    """The puzzles with labels, without a look at them.  by: one of BY."""

    by: str = "uniform"

    def __post_init__(self) -> None:
        if self.by not in BY:
            raise InputError(f"proposals by {self.by!r} are unknown: use one of {', '.join(BY)}")

    def build(self, data: Data, labelled: int, seed: int) -> Proposer:
        return OfTrainingSet(data.train, np.arange(labelled), self.by)


@dataclass(frozen=True)
class Unlabelled(Given):
    """The puzzles without labels.  by: one of BY."""

    def build(self, data: Data, labelled: int, seed: int) -> Proposer:
        if labelled == len(data.train):
            raise InputError(
                f"all {labelled} training puzzles are labelled, and none is left to propose: lower labelled of the "
                "source, or use the proposer 'given'"
            )
        return OfTrainingSet(data.train, np.arange(labelled, len(data.train)), self.by)


@dataclass(frozen=True)
class FreshSettings(ProposerSettings):
    """givens: as for `Task.generate`."""

    givens: int | tuple[int, int] | None = None

    def build(self, data: Data, labelled: int, seed: int) -> Proposer:
        return Fresh(data, _pair(self.givens))


def _pair(givens: int | tuple[int, int] | None) -> int | tuple[int, int] | None:
    return tuple(givens) if isinstance(givens, list) else givens

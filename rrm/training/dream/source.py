"""The puzzles of a training that also learns from what it found itself: labelled ones, kept pairs, failures."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from rrm.errors import InputError
from rrm.training.dream.keep import Pool
from rrm.training.part import Context
from rrm.training.source import Source, SourceSettings
from rrm.training.stream import TrainStream, as_tensors


class DreamSource(Source):
    """Batches of three parts: replay of labelled puzzles, kept pairs, and failures, whose labels are all ignored.

    The first `labelled` puzzles of the training set come epoch after epoch, as `TrainStream` deals them. Labels of the
    other puzzles are never read here. Before the first round every row is labelled: trainings that differ in their
    loops alone begin as one. `pool` changes between rounds alone, and within a round `batch(step)` is a pure function
    of seed, step and pool. A row of a batch stays labelled, kept or failed all the time, so the shares are those of the
    network calls.
    """

    def __init__(self, settings: "DreamSourceSettings", context: Context):
        data, size = context.puzzles, context.batch_size
        self.settings, self.data, self.seed, self.batch_size = settings, data, context.seed, size
        self.labelled = settings.labelled or len(data.train)
        if self.labelled > len(data.train):
            raise InputError(
                f"labelled is {self.labelled}, and the training set has {len(data.train)} puzzles: use at most these"
            )
        mine = slice(context.rank * size // context.world, (context.rank + 1) * size // context.world)
        first = data.train.subset(slice(0, self.labelled))
        self._mine = mine
        self._stream = TrainStream(first, data.task, size, context.seed, copies=settings.copies)
        self.pool = Pool.empty(data.task.seq_len)

    def batch(self, step: int) -> dict[str, Tensor]:
        dealt = self._stream.batch(step)
        kept, failed = (np.flatnonzero(self.pool.failed == which) for which in (False, True))
        own = round((1 - self.settings.replay) * self.batch_size)
        failures = round(self.settings.failures * own) if len(failed) else 0
        rng = np.random.default_rng([self.seed, 2, step])
        rows = np.concatenate([self._draw(kept, own - failures, rng), self._draw(failed, failures, rng)])
        if len(rows):
            drawn = self._as_batch(rows, rng)
            dealt = {name: _behind(value, drawn[name]) for name, value in dealt.items()}
        return {name: value[self._mine] for name, value in dealt.items()}

    def _draw(self, entries: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        """Entries of the pool by their weights, with replacement; none where there are none."""
        if not len(entries):
            return np.zeros(0, np.int64)
        weights = self.pool.weights[entries]
        # Where every puzzle is solved each time, no p (1 - p) is above 0.
        weights = weights / weights.sum() if weights.sum() else None
        return entries[rng.choice(len(entries), count, p=weights)]

    def _as_batch(self, rows: np.ndarray, rng: np.random.Generator) -> dict[str, Tensor]:
        task, pool = self.data.task, self.pool.subset(rows)
        inputs, answers = pool.inputs, pool.answers
        if self.settings.copies:
            inputs, answers = task.augment(inputs, answers, rng)
        labels = np.where(pool.failed[:, None], task.ignore_label_id, answers)
        return as_tensors(inputs, labels, pool.identifiers, pool.rows, task.ignore_label_id)

    def tensors(self) -> dict[str, Tensor]:
        return self.pool.tensors()

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        self.pool = Pool.from_tensors(tensors)


def _behind(dealt: Tensor, drawn: Tensor) -> Tensor:
    """A batch whose last rows are the drawn ones."""
    made = dealt.clone()
    made[len(dealt) - len(drawn) :] = drawn
    return made


@dataclass(frozen=True)
class DreamSourceSettings(SourceSettings):
    """The source of the hook "dream".

    labelled: puzzles of the training set, from the first, whose labels are known; 0 for all.
    replay: share of labelled puzzles in a batch once there are kept pairs.
    failures: share of the rest that goes to puzzles at which every attempt failed, for the Q loss alone.
    copies: every row is a random symmetric copy of its puzzle, drawn anew each time.
    """

    labelled: int = 0
    replay: float = 0.2
    failures: float = 0.0
    copies: bool = True

    def __post_init__(self) -> None:
        if type(self.labelled) is not int or self.labelled < 0:
            raise InputError(f"labelled is {self.labelled!r}: use a number of puzzles, or 0 for all of them")
        for name, part in (("replay", "labelled puzzles"), ("failures", "failures")):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise InputError(f"{name} is {value}: it is the share of {part} in a batch, from 0 to 1")

    def build(self, context: Context) -> DreamSource:
        return DreamSource(self, context)

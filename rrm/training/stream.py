"""The order in which training sees puzzles: a pure function of (seed, step), so that resuming needs only the step."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from rrm.errors import InputError
from rrm.tasks.base import PuzzleSet, Task
from rrm.training.losses import IGNORED
from rrm.training.part import Context
from rrm.training.source import Source, SourceSettings


def to_batch(puzzles: PuzzleSet, task: Task) -> dict[str, Tensor]:
    """inputs [N, S], labels [N, S] (ignored cells -100), puzzle_identifiers [N] and rows [N] (0 to N - 1), int64."""
    rows = np.arange(len(puzzles))
    return as_tensors(puzzles.inputs, puzzles.labels, puzzles.puzzle_identifiers, rows, task.ignore_label_id)


def as_tensors(
    inputs: np.ndarray, labels: np.ndarray, identifiers: np.ndarray, rows: np.ndarray, ignore: int
) -> dict[str, Tensor]:
    """Arrays of tokens to a batch; labels equal to `ignore` become -100."""
    targets = torch.from_numpy(labels.astype(np.int64))
    return {
        "inputs": torch.from_numpy(inputs.astype(np.int64)),
        "labels": targets.masked_fill(targets == ignore, IGNORED),
        "puzzle_identifiers": torch.from_numpy(identifiers.astype(np.int64)),
        "rows": torch.from_numpy(rows.astype(np.int64)),
    }


def check_batch(puzzles: PuzzleSet, batch_size: int, world: int) -> None:
    """InputError where the workers cannot share a batch, or there are fewer puzzles than a batch has rows."""
    if batch_size % world:
        raise InputError(
            f"batch size {batch_size} does not divide among {world} workers: use a number of workers that divides "
            "it, or another batch size"
        )
    if len(puzzles) < batch_size:
        raise InputError(f"{len(puzzles)} training puzzles are fewer than the batch size {batch_size}: lower it")


class TrainStream(Source):
    """Batches of the training puzzles, epoch after epoch, each in a new order.

    With `copies` every row is a random symmetric copy of its puzzle, drawn anew each time.

    `batch(step)` depends on nothing but the seed and the step. With `world` workers every worker gets its own
    `batch_size / world` rows of the same global batch: no overlap, no loss.
    """

    def __init__(
        self,
        puzzles: PuzzleSet,
        task: Task,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        copies: bool = True,
    ):
        check_batch(puzzles, batch_size, world)
        self.puzzles, self.task, self.batch_size, self.seed, self.copies = puzzles, task, batch_size, seed, copies
        self.mine = slice(rank * batch_size // world, (rank + 1) * batch_size // world)
        self._order: tuple[int, np.ndarray] | None = None

    def batch(self, step: int) -> dict[str, Tensor]:
        epoch, position = divmod(step, len(self.puzzles) // self.batch_size)
        if self._order is None or self._order[0] != epoch:
            order = np.random.default_rng([self.seed, 0, epoch]).permutation(len(self.puzzles))
            self._order = (epoch, order)
        rows = self._order[1][position * self.batch_size :][: self.batch_size]
        inputs, labels = self.puzzles.inputs[rows], self.puzzles.labels[rows]
        if self.copies:
            inputs, labels = self.task.augment(inputs, labels, np.random.default_rng([self.seed, 1, step]))
        identifiers, mine = self.puzzles.puzzle_identifiers[rows], self.mine
        return as_tensors(inputs[mine], labels[mine], identifiers[mine], rows[mine], self.task.ignore_label_id)


@dataclass(frozen=True)
class UniformSettings(SourceSettings):
    """A symmetric copy of every puzzle once an epoch. Nothing to set."""

    copies: ClassVar[bool] = True

    def build(self, context: Context) -> TrainStream:
        data, size = context.puzzles, context.batch_size
        return TrainStream(data.train, data.task, size, context.seed, context.rank, context.world, self.copies)


@dataclass(frozen=True)
class OriginalsSettings(UniformSettings):
    """Every puzzle itself once an epoch, without symmetric copies: few puzzles are learned by heart. Nothing to set."""

    copies: ClassVar[bool] = False


@dataclass(frozen=True)
class RandomLabelsSettings(SourceSettings):
    """A symmetric copy of every puzzle once an epoch, with the answer of another puzzle. Nothing to set.

    The control of a training where there is nothing to learn but the puzzles by heart.
    """

    def build(self, context: Context) -> TrainStream:
        data, size = context.puzzles, context.batch_size
        answers = data.train.labels[np.random.default_rng([context.seed, 2]).permutation(len(data.train))]
        wrong = replace(data.train, labels=answers)
        return TrainStream(wrong, data.task, size, context.seed, context.rank, context.world)

"""What a round keeps: accepted pairs with their weights, failures without an answer, and the pool of all rounds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from rrm.tasks.base import PuzzleSet
from rrm.training.dream.verify import Verdict

# How often a pair is trained on: as often as it was found, or by p (1 - p) of its puzzle.
WEIGHTS = ("kept", "learnability")


@dataclass(frozen=True)
class Pool:
    """M pairs of puzzle and answer, and failures, which have no answer. Plain arrays alone.

    Attributes:
        inputs, answers: uint8 [M, S].
        identifiers: int32 [M], of the puzzles.
        rows: int64 [M], numbers in the training set; -1 for a puzzle that is not in it.
        weights: float64 [M], how often to draw.
        failed: bool [M], no attempt was accepted: the answer says nothing.
    """

    inputs: np.ndarray
    answers: np.ndarray
    identifiers: np.ndarray
    rows: np.ndarray
    weights: np.ndarray
    failed: np.ndarray

    @classmethod
    def empty(cls, cells: int) -> Self:
        """A pool of puzzles with so many cells, before the first round."""
        none = np.zeros((0, cells), np.uint8)
        return cls(none, none, np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0), np.zeros(0, bool))

    @classmethod
    def join(cls, pools: Sequence[Self]) -> Self:
        """The entries of several pools, one after the other."""
        return cls(*(np.concatenate([getattr(pool, f.name) for pool in pools]) for f in fields(cls)))

    def __len__(self) -> int:
        return len(self.inputs)

    def subset(self, index: np.ndarray) -> Self:
        """Some of the entries."""
        return type(self)(*(getattr(self, f.name)[index] for f in fields(self)))

    def tensors(self) -> dict[str, Tensor]:
        """The pool as tensors, for a checkpoint."""
        return {f.name: torch.from_numpy(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """The pool that `tensors` gave."""
        held: dict[str, Any] = {f.name: tensors[f.name].cpu().numpy() for f in fields(cls)}
        return cls(**held)


def keep(puzzles: PuzzleSet, rows: np.ndarray, found: Verdict, weights: str) -> Pool:
    """The distinct accepted pairs of a round, and the puzzles that it failed at.

    Args:
        puzzles, rows: N that were tried, and their numbers in the training set, -1 outside of it.
        found: on K attempts at each.
        weights: one of WEIGHTS. "kept": the number of attempts that gave the pair, which is what a plain filter trains
            on. "learnability": s (K - s) / (K (K - 1)) of the s accepted attempts at the puzzle, shared by its answers;
            0 for a puzzle that every attempt solves.
    """
    K, S = found.accepted.shape[1], puzzles.inputs.shape[1]
    puzzle, attempt = np.nonzero(found.accepted)
    pairs = np.concatenate([puzzle[:, None], found.answers[puzzle, attempt]], 1)
    distinct, counts = np.unique(pairs, axis=0, return_counts=True)
    puzzle, s = distinct[:, 0].astype(np.int64), found.accepted.sum(1)
    by = counts.astype(np.float64)
    if weights == "learnability":
        by *= (K - s[puzzle]) / (K * (K - 1))
    failures = np.flatnonzero(s == 0)
    chosen = np.concatenate([puzzle, failures])
    return Pool(
        inputs=puzzles.inputs[chosen],
        answers=np.concatenate([distinct[:, 1:], np.zeros((len(failures), S))]).astype(np.uint8),
        identifiers=puzzles.puzzle_identifiers[chosen],
        rows=rows[chosen],
        weights=np.concatenate([by, np.ones(len(failures))]),
        failed=np.arange(len(chosen)) >= len(puzzle),
    )


def admit(pool: Pool, new: Pool, capacity: int) -> Pool:
    """The pool with what a round kept, in the place of what was known of the same puzzles; the newest stay."""
    known = {tokens.tobytes() for tokens in new.inputs}
    stay = np.array([tokens.tobytes() not in known for tokens in pool.inputs], bool)
    joined = Pool.join([pool.subset(stay), new])
    return joined.subset(np.arange(max(0, len(joined) - capacity), len(joined)))

"""Attempts of a training model at puzzles: several noisy rollouts of each, with the answers kept."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import torch
from torch import Tensor

from rrm.dynamics.rollout import answers_of
from rrm.dynamics.sampling import BATCH, PUZZLES, NoisyRollouts, SamplingNoise, groups
from rrm.models.base import RecursiveModel
from rrm.models.precision import measurement
from rrm.tasks.base import PuzzleSet, Task


@dataclass(frozen=True)
class Attempts:
    """The ends of K rollouts of each of N puzzles; those of a puzzle are exchangeable.

    Attributes:
        answers: uint8 [N, K, S], decoded tokens after the last segment.
        q: float32 [N, K], halting logit after the last segment; nan without a Q head.
        passed_wrong: bool [N, K], the rollout had settled on another answer before, one that two segments in a row
            gave: where the last answer is right, the rollout has corrected itself.
    """

    answers: np.ndarray
    q: np.ndarray
    passed_wrong: np.ndarray

    @classmethod
    def join(cls, parts: Sequence[Self], axis: int = 0) -> Self:
        """The attempts of several parts, one after the other: of puzzles, with axis 1 of rollouts."""
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts], axis) for f in fields(cls)))


def attempt(
    model: RecursiveModel,
    puzzles: PuzzleSet,
    task: Task,
    segments: int,
    *,
    rollouts: int,
    sigma: float,
    seed: int,
    positions: np.ndarray | None = None,
    where: str = "both",
) -> Attempts:
    """Run every puzzle `rollouts` times, with noise at the start of every segment, the first one included.

    State, noise and calls are in float32. The noise of a rollout comes from (seed, rollout, position) alone, and
    puzzles run in batches of PUZZLES, so shards that begin at a multiple of PUZZLES have the answers of the whole, bit
    for bit. A forward call of a row is one call unit: N x rollouts x segments x calls of a segment.

    Args:
        model: the network; left in the mode, training or evaluation, in which it came.
        puzzles: N of `task`.
        segments: of a rollout.
        rollouts: K, 1 or more.
        sigma: standard deviation of the noise, in state units (the state has unit RMS); with 0 all rollouts are alike.
        seed: of the noise.
        positions: int [N], numbers by which the puzzles are known to the noise; default: 0 to N - 1.
        where: "z_H", "z_L" or "both", the halves that the noise is added to.

    Raises:
        ValueError: as `SamplingNoise`.
    """
    noise = SamplingNoise(sigma, where, seed)
    positions = np.arange(len(puzzles)) if positions is None else positions
    was_training = model.training
    # Not in training mode, where reading the vector of a puzzle prepares its update.
    model.eval()
    parts = []
    for first in range(0, len(puzzles), PUZZLES):
        rows = np.arange(first, min(first + PUZZLES, len(puzzles)))
        batch, known = puzzles.subset(rows), positions[rows]
        of_groups = [
            _attempts(NoisyRollouts(model, task, batch, known, group, noise), segments)
            for group in groups(rollouts, len(rows), BATCH)
        ]
        parts.append(Attempts.join(of_groups, axis=1))
    model.train(was_training)
    return Attempts.join(parts)


@measurement()
def _attempts(batch: NoisyRollouts, segments: int) -> Attempts:
    """The attempts [B, rollouts] of one batch of rollouts."""
    seen: list[np.ndarray] = []
    for _, _, z in batch.segments(segments):
        readout = batch.readout(z)
        seen.append(answers_of(readout))
    last = seen[-1]
    passed = np.zeros(len(last), bool)
    for before, after in zip(seen, seen[1:], strict=False):
        passed |= (before == after).all(1) & (after != last).any(1)
    q = torch.full((len(last),), torch.nan) if readout.q_halt is None else readout.q_halt
    return Attempts(*(_by_puzzle(batch, values) for values in (last, _on_cpu(q), passed)))


def _by_puzzle(batch: NoisyRollouts, values: np.ndarray) -> np.ndarray:
    return batch.by_puzzle([values])[:, :, 0]


def _on_cpu(values: Tensor) -> np.ndarray:
    return values.float().cpu().numpy()

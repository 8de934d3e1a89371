"""Rollouts far past the training depth: when the answer of a puzzle becomes right, and whether it stays so.

The segment at which a rollout arrives at the answer is its escape time from the chaotic search before it, known only
up to the depth of the rollout (right censoring).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from rrm.dynamics.rollout import answers_of, drift, embed_batch, segments_of
from rrm.dynamics.shards import BATCH, RowResult, join, row_batches
from rrm.models.base import Readout, RecursiveModel, State
from rrm.models.precision import measurement
from rrm.tasks.base import PuzzleSet, Task
from rrm.tasks.verdict import OUTCOMES, verdict


@dataclass(frozen=True)
class EscapeResult(RowResult):
    """Verdicts on the answers of N puzzles after each of T segments: column t is after segment t + 1.

    Attributes:
        segments: T.
        seed: of the draws of a model with randomness of its own (EqR).
        index: [N] int64, position in the data set, ascending.
        solved, valid, shortest: [N, T] bool, as in `rrm.tasks.verdict.verdict`.
        drift_H: [N, T] float32, Euclidean norm of the change of z_H over the segment, in state units per segment.
        finite: [N] bool, state and logits stayed free of nan and inf. Where they did not, the answers from that segment
            on count as neither solved nor valid, and drift_H is nan or inf.
    """

    segments: int
    seed: int
    index: np.ndarray
    solved: np.ndarray
    valid: np.ndarray
    shortest: np.ndarray
    drift_H: np.ndarray
    finite: np.ndarray

    row_axes: ClassVar[dict[str, int]] = dict.fromkeys(("index", *OUTCOMES, "drift_H", "finite"), 0)


def escape(
    model: RecursiveModel,
    puzzles: PuzzleSet,
    task: Task,
    segments: int,
    *,
    index: np.ndarray | None = None,
    batch_size: int = BATCH,
    seed: int = 0,
    progress: Callable[[int], None] = lambda rows: None,
) -> EscapeResult:
    """Run every puzzle for `segments` segments from the initial state, halting ignored.

    State and calls are in float32, in float64 for a model turned by `.double()`: over many segments bfloat16 would
    decide the outcome by its rounding. Only the arrays of the result are kept, so that memory does not grow with depth
    beyond them. A model with randomness of its own (EqR) draws anew from `seed` for every batch, as in `measure`, so
    that its outcomes depend on the cut into batches; the outcomes of any chaotic rollout do so through the rounding of
    float32.

    Args:
        model: the network.
        puzzles: the data set.
        task: its verifier.
        segments: T, at least 1.
        index: positions of the puzzles to run; default: all.
        batch_size: puzzles that are run together.
        seed: of the draws of a model with randomness of its own.
        progress: is called with the number of puzzles of each finished batch.

    Raises:
        ValueError: fewer than one segment; as `row_batches`.
    """
    if segments < 1:
        raise ValueError(f"segments is {segments}: a rollout needs at least one")
    parts = []
    for rows in row_batches(puzzles, index, batch_size):
        parts.append(_escape_batch(model, puzzles.subset(rows), task, segments, seed, rows))
        progress(len(rows))
    return join(parts)


@measurement()
def _escape_batch(
    model: RecursiveModel, puzzles: PuzzleSet, task: Task, segments: int, seed: int, rows: np.ndarray
) -> EscapeResult:
    right = {name: np.zeros((len(rows), segments), bool) for name in OUTCOMES}
    drift_H = np.zeros((len(rows), segments), np.float32)
    finite = np.ones(len(rows), bool)
    with model.precision(torch.float32):
        x = embed_batch(model, puzzles.arrays)
        generator = torch.Generator().manual_seed(seed)
        before = model.initial_state(len(x), generator)
        for t, (state, readout) in enumerate(segments_of(model, x, segments, before, generator)):
            finite &= finite_rows(state, readout)
            for name, of_rows in judge(puzzles, task, readout, finite).items():
                right[name][:, t] = of_rows
            drift_H[:, t] = drift(before, state)[0].cpu().numpy()
            before = state
    return EscapeResult(segments, seed, rows, **right, drift_H=drift_H, finite=finite)


def finite_rows(state: State, readout: Readout) -> np.ndarray:
    """bool [B]: no nan and no inf in either half of the state or in the logits."""
    parts: tuple[Tensor, ...] = (*state, readout.logits)
    return torch.stack([part.isfinite().flatten(1).all(1) for part in parts]).all(0).cpu().numpy()


def judge(puzzles: PuzzleSet, task: Task, readout: Readout, finite: np.ndarray) -> dict[str, np.ndarray]:
    """Verdicts on the answers in a readout of B puzzles: OUTCOMES, bool [B] each; False for rows that are not finite.

    `finite` [B] bool: a state or logits with nan or inf give no answer.
    """
    return {name: right & finite for name, right in verdict(puzzles, task, answers_of(readout)).items()}


def escape_time(solved: ArrayLike, hold: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """When the answers become right for at least `hold` consecutive segments.

    Args:
        solved: [N, T] bool, right after each segment.
        hold: segments for which the answer has to stay right, 1 to T.

    Returns:
        time [N] int64, the first segment of that run, counted from 1, and escaped [N] bool. A row that never escaped
        is censored at T - hold + 1, the last segment at which an escape can be seen: T for `hold` 1.

    Raises:
        ValueError: `solved` is not [N, T], or `hold` is not in 1 to T.
    """
    right = np.asarray(solved, bool)
    if right.ndim != 2:
        raise ValueError(f"solved has shape {right.shape}: escape times need [N, T]")
    if not 1 <= hold <= right.shape[1]:
        raise ValueError(f"hold is {hold}: it must be 1 to the {right.shape[1]} segments of the rollout")
    held: np.ndarray = np.all(np.lib.stride_tricks.sliding_window_view(right, hold, axis=1), axis=2)
    escaped = np.asarray(held.any(1))
    return np.where(escaped, held.argmax(1) + 1, held.shape[1]), escaped


def relapsed(solved: ArrayLike, hold: int = 1) -> np.ndarray:
    """bool [N]: rows of `solved` [N, T] that escaped (see `escape_time`) and are wrong again at any later segment."""
    time, escaped = escape_time(solved, hold)
    right = np.asarray(solved, bool)
    later = np.arange(1, right.shape[1] + 1) > time[:, None]
    return escaped & (later & ~right).any(1)

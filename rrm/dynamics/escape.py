"""Rollouts far past the training depth: when the answer of a puzzle becomes right, and whether it stays so.

The segment at which a rollout arrives at the answer is its escape time from the chaotic search before it, known only
up to the depth of the rollout (right censoring).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from rrm.dynamics.rollout import drift, embed_batch, segments_of
from rrm.dynamics.shards import BATCH, join, row_batches
from rrm.models.base import Readout, RecursiveModel, State
from rrm.models.precision import measurement
from rrm.tasks.base import PuzzleSet, Task

# What an answer may be counted as; see `EscapeResult`.
OUTCOMES = ("solved", "valid", "shortest")


@dataclass(frozen=True)
class EscapeResult:
    """What N puzzles answer after each of T segments: column t is after segment t + 1. Rows ascend in `index`.

    index [N] int64, position in the data set.  solved [N, T] bool, the answer equals the label.  valid [N, T] bool, the
    answer breaks no constraint and changes no given, by the task's own verifier, which needs no label.  shortest [N, T]
    bool, valid and, of a maze, along a shortest path.  drift_H [N, T] float32, Euclidean norm of the change of z_H over
    the segment, in state units per segment.
    finite [N] bool: state and logits stayed free of nan and inf. Of a row that did not, the answer counts as neither
    solved nor valid from that segment on, and drift_H is nan or inf.
    segments: T.  seed: of what a model with randomness of its own (EqR) draws.
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
    """Run every puzzle (or those at `index`) for `segments` segments from the initial state, halting ignored.

    State and calls are in float32, in float64 for a model turned by `.double()`: over many segments bfloat16 would
    decide the outcome by its rounding. Only what the result holds is kept, so depth costs no memory beside it.
    `progress` hears of each finished batch's rows. A model with randomness of its own (EqR) draws it anew from `seed`
    for every batch, as in `measure`, so that its outcomes depend on the cut into batches; those of a chaotic rollout do
    so through the rounding of float32. ValueError for fewer than one segment, and as `row_batches`.
    """
    if segments < 1:
        raise ValueError(f"segments is {segments}: a rollout needs at least one")
    parts = []
    for rows in row_batches(puzzles, index, batch_size):
        parts.append(_escape_batch(model, puzzles.subset(rows), task, segments, seed, rows))
        progress(len(rows))
    return join(parts)


@measurement()
def _escape_batch(model, puzzles: PuzzleSet, task: Task, segments: int, seed: int, rows: np.ndarray) -> EscapeResult:
    right = {name: np.zeros((len(rows), segments), bool) for name in OUTCOMES}
    drift_H = np.zeros((len(rows), segments), np.float32)
    finite = np.ones(len(rows), bool)
    with model.precision(torch.float32):
        x = embed_batch(model, puzzles.arrays)
        generator = torch.Generator().manual_seed(seed)
        before = model.initial_state(len(x), generator)
        for t, (state, readout) in enumerate(segments_of(model, x, segments, before, generator)):
            finite &= finite_rows(state, readout)
            for name, of_rows in verdict(puzzles, task, readout, finite).items():
                right[name][:, t] = of_rows
            drift_H[:, t] = drift(before, state)[0].cpu().numpy()
            before = state
    return EscapeResult(segments, seed, rows, **right, drift_H=drift_H, finite=finite)


def finite_rows(state: State, readout: Readout) -> np.ndarray:
    """bool [B]: no nan and no inf in either half of the state or in the logits."""
    parts: tuple[Tensor, ...] = (*state, readout.logits)
    return torch.stack([part.isfinite().flatten(1).all(1) for part in parts]).all(0).cpu().numpy()


def verdict(puzzles: PuzzleSet, task: Task, readout: Readout, finite: np.ndarray) -> dict[str, np.ndarray]:
    """OUTCOMES, bool [B] each, of the answers of `puzzles`; a row that is not `finite` has no answer."""
    answers = readout.logits.argmax(-1).to(torch.uint8).cpu().numpy()
    score = task.score(puzzles.inputs, puzzles.labels, answers)
    valid = (score["violations"] == 0) & (score["changed_givens"] == 0)
    outcomes = {"solved": score["exact"], "valid": valid, "shortest": score.get("shortest", valid)}
    return {name: right & finite for name, right in outcomes.items()}


def distinct_outcomes(puzzles: PuzzleSet, task: Task) -> tuple[str, ...]:
    """Those of OUTCOMES that differ for the task: only "solved" where the label is the one right answer.

    The last is the one to judge by. A maze has millions of shortest paths, of which "solved" asks for the one that a
    rule of neighbour order picks; "valid" is met by marking every cell that is open.
    """
    first = puzzles.subset(slice(0, 1))
    several = "valid" in task.score(first.inputs, first.labels, first.labels)
    return OUTCOMES if several else OUTCOMES[:1]


def escape_time(solved: np.ndarray, hold: int = 1) -> tuple[np.ndarray, np.ndarray]:
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
    solved = np.asarray(solved, bool)
    if solved.ndim != 2:
        raise ValueError(f"solved has shape {solved.shape}: escape times need [N, T]")
    if not 1 <= hold <= solved.shape[1]:
        raise ValueError(f"hold is {hold}: it must be 1 to the {solved.shape[1]} segments of the rollout")
    held = np.lib.stride_tricks.sliding_window_view(solved, hold, axis=1).all(2)
    escaped = held.any(1)
    return np.where(escaped, held.argmax(1) + 1, held.shape[1]), escaped


def relapsed(solved: np.ndarray, hold: int = 1) -> np.ndarray:
    """bool [N]: rows that escaped (see `escape_time`) and are wrong again at any later segment."""
    time, escaped = escape_time(solved, hold)
    later = np.arange(1, np.shape(solved)[1] + 1) > time[:, None]
    return escaped & (later & ~np.asarray(solved, bool)).any(1)

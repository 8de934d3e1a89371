"""Restarts from kicked initial states: is a failure decided by where the rollout starts, or by the puzzle?"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from rrm.dynamics.escape import OUTCOMES, finite_rows, verdict
from rrm.dynamics.rollout import embed_batch, segments_of
from rrm.dynamics.shards import BATCH, join, row_batches
from rrm.models.base import RecursiveModel, State
from rrm.models.precision import measurement
from rrm.tasks.base import PuzzleSet, Task


@dataclass(frozen=True)
class RestartResult:
    """What N puzzles answer after the last segment, from `copies` starts at each of K kick sizes.

    index [N] int64, position in the data set, ascending.  kicks [K] float64, the sigmas asked for, in state units.
    solved, valid, shortest, finite [K, N, copies] bool, as in `EscapeResult`, at the last segment (finite: throughout).
    realised [K, N, copies] float32, size of the kick that arrived in the state, RMS per entry of the joint (z_H, z_L),
    in state units.  relative [K, N, copies] float32, Euclidean norm of that kick over that of the joint start state.
    segments: depth of the rollouts.  seed: of the kicks, and of what a model with randomness of its own (EqR) draws.
    """

    segments: int
    seed: int
    kicks: np.ndarray
    index: np.ndarray
    solved: np.ndarray
    valid: np.ndarray
    shortest: np.ndarray
    finite: np.ndarray
    realised: np.ndarray
    relative: np.ndarray

    row_axes: ClassVar[dict[str, int]] = {
        "index": 0, **dict.fromkeys((*OUTCOMES, "finite", "realised", "relative"), 1),
    }  # fmt: skip


def restarts(
    model: RecursiveModel,
    puzzles: PuzzleSet,
    task: Task,
    segments: int,
    kicks: Sequence[float],
    copies: int,
    *,
    index: np.ndarray | None = None,
    batch_size: int = BATCH,
    seed: int = 0,
    progress: Callable[[int], None] = lambda rows: None,
) -> RestartResult:
    """Run every puzzle (or those at `index`) from z(0) + sigma n, n ~ N(0, I), for each sigma of `kicks` and each copy.

    n is drawn in float32 for all positions and channels of both halves, from (seed, place of sigma in `kicks`, copy,
    position of the puzzle in the data set) alone. State and calls are in float32 as in `escape`. A kick of 0 is the
    plain rollout, bit for bit that of `escape` with the same batches; its copies are equal and computed once. Other
    randomness of a model (EqR) is that of the plain rollout, so that the kick is all that differs. `progress` hears of
    each batch's rows when all their restarts are done.

    ValueError for fewer than one segment, copy or kick, a kick that is negative or not finite, a negative seed, and as
    `row_batches`.
    """
    kicks = np.asarray(kicks, np.float64)
    if segments < 1:
        raise ValueError(f"segments is {segments}: a rollout needs at least one")
    if copies < 1:
        raise ValueError(f"copies is {copies}: every kick needs at least one")
    if kicks.ndim != 1 or not kicks.size or not (np.isfinite(kicks) & (kicks >= 0)).all():
        raise ValueError(f"kicks are {kicks.tolist()}: give at least one size, each 0 or a positive number")
    if seed < 0:
        raise ValueError(f"seed is {seed}: it must be 0 or more")
    parts = []
    for rows in row_batches(puzzles, index, batch_size):
        parts.append(_restart_batch(model, puzzles.subset(rows), task, segments, kicks, copies, seed, rows))
        progress(len(rows))
    return join(parts)


@measurement()
def _restart_batch(model, puzzles: PuzzleSet, task: Task, segments, kicks, copies, seed, rows) -> RestartResult:
    shape = (len(kicks), len(rows), copies)
    right, finite = {name: np.zeros(shape, bool) for name in OUTCOMES}, np.ones(shape, bool)
    realised, relative = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    with model.precision(torch.float32):
        x = embed_batch(model, puzzles.arrays)
        for k, sigma in enumerate(kicks.tolist()):
            for copy in range(copies if sigma else 1):
                at = k, slice(None), copy
                generator = torch.Generator().manual_seed(seed)
                start = model.initial_state(len(x), generator)
                if sigma:
                    noise = start_noise(rows, start.z_H.shape[1:], seed, k, copy)
                    start, realised[at], relative[at] = kicked(start, sigma, noise)
                for state, readout in segments_of(model, x, segments, start, generator):
                    finite[at] &= finite_rows(state, readout)
                for name, of_rows in verdict(puzzles, task, readout, finite[at]).items():
                    right[name][at] = of_rows
            if not sigma:
                for outcome in (*right.values(), finite):
                    outcome[k] = outcome[k, :, :1]
    return RestartResult(segments, seed, kicks, rows, **right, finite=finite, realised=realised, relative=relative)


def start_noise(positions: np.ndarray, shape: Sequence[int], seed: int, kick: int, copy: int) -> State:
    """N(0, I) for the puzzles at `positions` [B], float32 [B, L, D] per half; `shape` is (L, D).

    A row depends on (seed, kick, copy, position) and on nothing else, so that shards and batches see the same kicks.
    """
    draws = [np.random.default_rng([seed, kick, copy, p]).standard_normal((2, *shape), np.float32) for p in positions]
    return State(*torch.from_numpy(np.stack(draws, 1)))


def kicked(start: State, sigma: float, noise: State) -> tuple[State, np.ndarray, np.ndarray]:
    """(start + sigma noise, realised [B], relative [B]); see `RestartResult`.

    The size is that of the difference of the two states: a kick below the spacing of their numbers does not arrive.
    """
    moved = State(*(half + sigma * n.to(half.device) for half, n in zip(start, noise, strict=True)))
    entries = 2 * start.z_H[0].numel()
    size = _joint_norm(new.double() - old.double() for new, old in zip(moved, start, strict=True))
    return moved, (size / math.sqrt(entries)).cpu().numpy(), (size / _joint_norm(start)).cpu().numpy()


def _joint_norm(halves: Iterable[Tensor]) -> Tensor:
    """Euclidean norm [B] of the joint state, float64."""
    return torch.linalg.vector_norm(torch.cat([half.flatten(1) for half in halves], 1), dim=1, dtype=torch.float64)


@dataclass(frozen=True)
class Freed:
    """What kicks do to the outcome of N puzzles of which the plain rollout fails some; K kick sizes.

    failed, succeeded: puzzles that the plain rollout fails and solves.
    freed_puzzles, freed_pairs [K] float64: shares of the failed puzzles that at least one copy solves, and of the pairs
    (failed puzzle, copy) that are solved.  lost_puzzles, lost_pairs [K] float64: shares of the solved puzzles that at
    least one copy fails, and of the pairs (solved puzzle, copy) that fail.  nan where there is no such puzzle.
    """

    failed: int
    succeeded: int
    freed_puzzles: np.ndarray
    freed_pairs: np.ndarray
    lost_puzzles: np.ndarray
    lost_pairs: np.ndarray


def freed(solved: np.ndarray, solved_plain: np.ndarray) -> Freed:
    """Compare restarts with the plain rollout of the same depth.

    Args:
        solved: [K, N, copies] bool, one of OUTCOMES of a RestartResult.
        solved_plain: [N] bool of the same puzzles and outcome, such as the last column of `escape(...).solved`.

    Raises:
        ValueError: the shapes do not fit.
    """
    solved, plain = np.asarray(solved, bool), np.asarray(solved_plain, bool)
    if solved.ndim != 3 or plain.shape != solved.shape[1:2]:
        raise ValueError(f"solved {solved.shape} does not fit solved_plain {plain.shape}: give [K, N, copies], [N]")
    gained, missed = solved[:, ~plain], ~solved[:, plain]
    return Freed(
        failed=gained.shape[1],
        succeeded=missed.shape[1],
        freed_puzzles=_share(gained.any(2)),
        freed_pairs=_share(gained),
        lost_puzzles=_share(missed.any(2)),
        lost_pairs=_share(missed),
    )


def _share(hits: np.ndarray) -> np.ndarray:
    """[K]: share of True in each of K tables."""
    return hits.reshape(len(hits), -1).mean(1) if hits.size else np.full(len(hits), np.nan)

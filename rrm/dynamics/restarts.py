"""Restarts from kicked initial states: is a failure decided by where the rollout starts, or by the puzzle?"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from rrm.dynamics.escape import finite_rows, judge
from rrm.dynamics.rollout import embed_batch, segments_of
from rrm.dynamics.shards import BATCH, RowResult, join, row_batches
from rrm.models.base import RecursiveModel, State
from rrm.models.noise import add_noise, gaussian_rows
from rrm.models.precision import measurement
from rrm.tasks.base import PuzzleSet, Task
from rrm.tasks.verdict import OUTCOMES


@dataclass(frozen=True)
class RestartResult(RowResult):
    """Verdicts on the answers of N puzzles after the last segment, from `copies` starts at each of K kick sizes.

    Attributes:
        segments: depth of the rollouts.
        seed: of the kicks, and of the draws of a model with randomness of its own (EqR).
        kicks: [K] float64, the standard deviations asked for, in state units.
        index: [N] int64, position in the data set, ascending.
        solved, valid, shortest: [K, N, copies] bool, as in `rrm.tasks.verdict.verdict`.
        finite: [K, N, copies] bool, state and logits stayed free of nan and inf throughout.
        realised: [K, N, copies] float32, size of the kick that arrived in the state, RMS per entry of the joint state
            (z_H, z_L), in state units.
        relative: [K, N, copies] float32, Euclidean norm of that kick divided by the norm of the joint start state.
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
    """Run every puzzle from z(0) + sigma n, n ~ N(0, I), for each sigma of `kicks` and each copy.

    n is drawn in float32 for all positions and channels of both halves, from (seed, place of sigma in `kicks`, copy,
    position of the puzzle in the data set) alone. State and calls are in float32 as in `escape`. A kick of 0 is the
    plain rollout, bit for bit that of `escape` with the same batches; its copies are equal and computed once. Other
    randomness of a model (EqR) is that of the plain rollout, so that the kick is all that differs.

    Args:
        model: the network.
        puzzles: the data set.
        task: its verifier.
        segments: depth of the rollouts, at least 1.
        kicks: standard deviations, in state units; each 0 or positive.
        copies: restarts of every puzzle with every kick, at least 1.
        index: positions of the puzzles to run; default: all.
        batch_size: puzzles that are run together.
        seed: of the kicks, 0 or more.
        progress: is called with the number of puzzles of each batch when all their restarts are done.

    Raises:
        ValueError: fewer than one segment, copy or kick; a kick that is negative or not finite; a negative seed; as
            `row_batches`.
    """
    sizes = np.asarray(kicks, np.float64)
    if segments < 1:
        raise ValueError(f"segments is {segments}: a rollout needs at least one")
    if copies < 1:
        raise ValueError(f"copies is {copies}: every kick needs at least one")
    if sizes.ndim != 1 or not sizes.size or not (np.isfinite(sizes) & (sizes >= 0)).all():
        raise ValueError(f"kicks are {sizes.tolist()}: give at least one size, each 0 or a positive number")
    if seed < 0:
        raise ValueError(f"seed is {seed}: it must be 0 or more")
    parts = []
    for rows in row_batches(puzzles, index, batch_size):
        parts.append(_restart_batch(model, puzzles.subset(rows), task, segments, sizes, copies, seed, rows))
        progress(len(rows))
    return join(parts)


@measurement()
def _restart_batch(
    model: RecursiveModel,
    puzzles: PuzzleSet,
    task: Task,
    segments: int,
    kicks: np.ndarray,
    copies: int,
    seed: int,
    rows: np.ndarray,
) -> RestartResult:
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
                    positions, channels = start.z_H.shape[1:]
                    noise = start_noise(rows, (positions, channels), seed, k, copy)
                    start, realised[at], relative[at] = kicked(start, sigma, noise)
                for state, readout in segments_of(model, x, segments, start, generator):
                    finite[at] &= finite_rows(state, readout)
                for name, of_rows in judge(puzzles, task, readout, finite[at]).items():
                    right[name][at] = of_rows
            if not sigma:
                for outcome in (*right.values(), finite):
                    outcome[k] = outcome[k, :, :1]
    return RestartResult(segments, seed, kicks, rows, **right, finite=finite, realised=realised, relative=relative)


def start_noise(positions: np.ndarray, half_shape: tuple[int, int], seed: int, kick: int, copy: int) -> State:
    """N(0, I) for the puzzles at `positions` [B], float32 [B, L, D] per half; `half_shape` is (L, D).

    A row depends on (seed, kick, copy, position) and on nothing else, so that shards and batches see the same kicks.
    """
    generators = [np.random.default_rng([seed, kick, copy, position]) for position in positions]
    return State(*gaussian_rows((2, *half_shape), generators).unbind(1))


def kicked(start: State, sigma: float, noise: State) -> tuple[State, np.ndarray, np.ndarray]:
    """(start + sigma noise, realised [B], relative [B]); see `RestartResult`.

    The size is that of the difference of the two states: a kick below the spacing of their numbers does not arrive.
    """
    moved = State(*(add_noise(half, sigma, n) for half, n in zip(start, noise, strict=True)))
    entries = 2 * start.z_H[0].numel()
    size = _joint_norm(new.double() - old.double() for new, old in zip(moved, start, strict=True))
    return moved, (size / math.sqrt(entries)).cpu().numpy(), (size / _joint_norm(start)).cpu().numpy()


def _joint_norm(halves: Iterable[Tensor]) -> Tensor:
    """Euclidean norm [B] of the joint state, float64."""
    return torch.linalg.vector_norm(torch.cat([half.flatten(1) for half in halves], 1), dim=1, dtype=torch.float64)


@dataclass(frozen=True)
class Freed:
    """The effect of K kick sizes on the outcome of N puzzles. Shares are nan where there is no such puzzle.

    Attributes:
        failed, succeeded: puzzles that the plain rollout fails and solves.
        freed_puzzles: [K] float64, share of the failed puzzles that at least one copy solves.
        freed_pairs: [K] float64, share of the pairs (failed puzzle, copy) that are solved.
        lost_puzzles: [K] float64, share of the solved puzzles that at least one copy fails.
        lost_pairs: [K] float64, share of the pairs (solved puzzle, copy) that fail.
    """

    failed: int
    succeeded: int
    freed_puzzles: np.ndarray
    freed_pairs: np.ndarray
    lost_puzzles: np.ndarray
    lost_pairs: np.ndarray


def freed(solved: ArrayLike, solved_plain: ArrayLike) -> Freed:
    """Compare restarts with the plain rollout of the same depth.

    Args:
        solved: [K, N, copies] bool, one of OUTCOMES of a RestartResult.
        solved_plain: [N] bool of the same puzzles and outcome, such as the last column of `escape(...).solved`.

    Raises:
        ValueError: the shapes do not fit.
    """
    kicked, plain = np.asarray(solved, bool), np.asarray(solved_plain, bool)
    if kicked.ndim != 3 or plain.shape != kicked.shape[1:2]:
        raise ValueError(f"solved {kicked.shape} does not fit solved_plain {plain.shape}: give [K, N, copies], [N]")
    gained, missed = kicked[:, ~plain], ~kicked[:, plain]
    return Freed(
        failed=gained.shape[1],
        succeeded=missed.shape[1],
        freed_puzzles=_share(np.asarray(gained.any(2))),
        freed_pairs=_share(gained),
        lost_puzzles=_share(np.asarray(missed.any(2))),
        lost_pairs=_share(missed),
    )


def _share(hits: np.ndarray) -> np.ndarray:
    """[K]: share of True in each of K tables."""
    return hits.reshape(len(hits), -1).mean(1) if hits.size else np.full(len(hits), np.nan)

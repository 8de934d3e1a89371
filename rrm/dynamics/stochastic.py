"""Noisy rollouts: Gaussian noise on the latent state at the start of every segment, several rollouts a puzzle.

The test-time noise of arXiv 2605.19943, with what is needed to choose among the rollouts and to ask what a choice
reads: confidence, residual, two measures of stability, and when the answer settled.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import isfinite
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from rrm.dynamics.escape import OUTCOMES, verdict
from rrm.dynamics.lyapunov import start_basis
from rrm.dynamics.network_map import NetworkMap
from rrm.dynamics.orthonormal import orthonormalize
from rrm.dynamics.shards import join, row_batches
from rrm.dynamics.twin import apart, companion, default_distance
from rrm.models.base import RecursiveModel
from rrm.models.precision import measurement
from rrm.tasks.base import PuzzleSet, Task

# Puzzles that are run together, and rows (puzzle, rollout) of a batch on a CPU. Shards of a multiple of PUZZLES see the
# batches of the whole.
PUZZLES, BATCH = 16, 64
# Segments before a depth over which a small separation grows; in the first of them it turns to where it grows.
SPAN = 4
PLACES = {"H": [0], "L": [1], "both": [0, 1]}


@dataclass(frozen=True)
class StochasticResult:
    """What R = K + 1 rollouts of N puzzles hold at M depths; rollout 0 is the clean one, the others are noisy.

    The noisy rollouts of a puzzle are exchangeable; the clean one is what all of them are compared with.

    sigma: std of the noise, in state units (the state has unit RMS).  where: "H", "L" or "both", the halves it falls
    on.  seed: of the noise, of directions, and of what a model with randomness of its own (EqR) draws.
    depths [M] int64, ascending, in segments.  index [N] int64, position in the data set.
    solved, valid, shortest [N, R, M] bool, as in `EscapeResult`.  answer [N, R, M] uint64, hash of the decoded tokens,
    label or not: equal answers, equal hashes.  q_halt [N, R, M] float32, the halting logit; nan without a Q head.
    residual [N, R, M] float32, Euclidean norm of the change of the joint state (z_H, z_L) over one more segment without
    noise, which is not part of the rollout; state units per segment.
    growth [N, R, M] float32, log of the growth of a small separation under the same noise, nats per segment: the mean
    over the last SPAN segments before the depth but the first of them, in which a direction drawn from the seed aligns
    (over the one there is at depth 1). A cheap stand-in for the late leading exponent; lower is more stable. nan where
    it was not asked for.
    settled [N, R, M] int32, first segment (from 1) from which the answer stayed what it is at the depth.
    lambda_1 [N, R, M] float64, leading exponent of the random map over all segments to the depth, nats per network
    call; nan where it was not asked for.
    finite [N, R, M] bool: state and logits stayed free of nan and inf. What did not is neither solved nor valid.
    """

    sigma: float
    where: str
    seed: int
    depths: np.ndarray
    index: np.ndarray
    solved: np.ndarray
    valid: np.ndarray
    shortest: np.ndarray
    answer: np.ndarray
    q_halt: np.ndarray
    residual: np.ndarray
    growth: np.ndarray
    settled: np.ndarray
    lambda_1: np.ndarray
    finite: np.ndarray

    row_axes: ClassVar[dict[str, int]] = dict.fromkeys(
        ("index", *OUTCOMES, "answer", "q_halt", "residual", "growth", "settled", "lambda_1", "finite"), 0
    )


def stochastic_rollouts(
    model: RecursiveModel,
    puzzles: PuzzleSet,
    task: Task,
    K: int,
    depths: Sequence[int],
    sigma: float,
    where: str = "L",
    *,
    exponent: bool = False,
    growth: bool = True,
    index: np.ndarray | None = None,
    batch_size: int = BATCH,
    seed: int = 0,
    progress: Callable[[int], None] = lambda rows: None,
) -> StochasticResult:
    """Run every puzzle (or those at `index`) once clean and K times with noise, to the largest of `depths` segments.

    At the start of every segment sigma n, n ~ N(0, I), is added to the halves `where` of the state, drawn in float32
    from (seed, rollout, position of the puzzle in the data set) one segment after the other: it does not depend on
    batches, shards, K or depth. State and calls are in float32, in float64 for a model turned by `.double()`. With
    sigma 0 every rollout is the plain one: bit for bit that of `escape` in batches of PUZZLES, the noisy ones where
    `batch_size` is PUZZLES too. A model with randomness of its own draws it anew for every rollout and batch.

    `batch_size` rows (puzzle, rollout) are run together, as whole rollouts of PUZZLES puzzles and at least one; memory
    depends on it and not on depth or K. `exponent` adds lambda_1 at about the price of another rollout; states then
    pass the linearised calls, whose rounding differs. `growth` costs SPAN segments a depth and changes nothing else.
    `progress` hears of each PUZZLES rows when all rollouts are done.

    ValueError for K or a depth below 1, depths that come twice, a sigma that is negative or not finite, an unknown
    place, a negative seed, and as `row_batches`.
    """
    depths = np.asarray(depths, np.int64)
    if K < 1:
        raise ValueError(f"K is {K}: at least one noisy rollout is needed")
    if depths.ndim != 1 or not depths.size or depths.min() < 1 or len(np.unique(depths)) != depths.size:
        raise ValueError(f"depths are {depths.tolist()}: give different numbers of segments, each 1 or more")
    if not (isfinite(sigma) and sigma >= 0):
        raise ValueError(f"sigma is {sigma}: it must be 0 or a positive number")
    if where not in PLACES:
        raise ValueError(f"where is {where!r}: noise falls on {', '.join(PLACES)}")
    if seed < 0:
        raise ValueError(f"seed is {seed}: it must be 0 or more")
    parts = []
    for rows in row_batches(puzzles, index, PUZZLES):
        together = max(1, batch_size // len(rows))
        groups = [range(0, 1), *(range(r, min(r + together, K + 1)) for r in range(1, K + 1, together))]
        of_groups = [
            _Batch(model, puzzles.subset(rows), task, rows, group, seed, exponent).run(
                np.sort(depths), sigma, PLACES[where], growth
            )
            for group in groups
        ]
        arrays = {name: np.concatenate([of_group[name] for of_group in of_groups], 1) for name in of_groups[0]}
        parts.append(StochasticResult(float(sigma), where, seed, np.sort(depths), index=rows, **arrays))
        progress(len(rows))
    return join(parts)


class _Batch:
    """Some rollouts of some puzzles, rollout by rollout: row r B + i is rollout r of puzzle i."""

    def __init__(self, model, puzzles: PuzzleSet, task: Task, positions, rollouts: range, seed: int, exponent: bool):
        self.puzzles, self.task, self.rollouts = (
            puzzles.subset(np.tile(np.arange(len(puzzles)), len(rollouts))),
            task,
            rollouts,
        )
        own = seed if rollouts[0] == 0 else int(np.random.SeedSequence([seed, rollouts[0]]).generate_state(1)[0])
        self.system = NetworkMap(model, self.puzzles.arrays, seed=own)
        self.streams = [np.random.default_rng([seed, r, position]) for r in rollouts for position in positions]
        z = self.system.start()
        self.first = start_basis(z, 1, seed, dtype=torch.float64)[:, 0]
        self.V = start_basis(z, 1, seed) if exponent else None
        self.log_R = z.new_zeros(len(z), dtype=torch.float64)

    @measurement()
    def run(self, depths: np.ndarray, sigma: float, halves: list[int], growth: bool) -> dict[str, np.ndarray]:
        """The arrays of a `StochasticResult`, each [B, rollouts, M]."""
        system, z, tokens, found = self.system, self.system.start(), None, []
        finite = torch.ones(len(z), dtype=torch.bool, device=z.device)
        settled = torch.ones(len(z), dtype=torch.int32, device=z.device)
        separations = {depth: _Separation(self.first) for depth in depths.tolist()}
        for segment in range(int(depths[-1])):
            if sigma and self.rollouts[0]:
                z = self._kicked(z, sigma, halves)
            before, z = z, self._segment(segment, z)
            for depth, separation in separations.items():
                if growth and depth - SPAN <= segment < depth:
                    aligned = segment > max(0, depth - SPAN) or depth == 1
                    separation.grow(before, z, lambda twin, t=segment: self._plain(t, twin), aligned)
            readout = system.readout(z)
            now = readout.logits.argmax(-1)
            if segment:
                settled = torch.where((now != tokens).any(1), segment + 1, settled)
            tokens = now
            finite = finite & z.isfinite().all(1) & readout.logits.isfinite().flatten(1).all(1)
            if segment + 1 in separations:
                found.append(self._found(segment + 1, z, readout, settled, finite, separations.pop(segment + 1)))
        return {
            name: np.stack([at[name] for at in found], 1).reshape(len(self.rollouts), -1, len(depths)).swapaxes(0, 1)
            for name in found[0]
        }

    def _kicked(self, z: Tensor, sigma: float, halves: list[int]) -> Tensor:
        shape = (len(halves), *self.system.half_shape)
        noise = np.stack([stream.standard_normal(shape, np.float32) for stream in self.streams])
        moved = z.unflatten(1, (2, *self.system.half_shape)).clone()
        moved[:, halves] += sigma * torch.from_numpy(noise).to(z.device)
        return moved.flatten(1)

    def _plain(self, segment: int, z: Tensor) -> Tensor:
        calls = self.system.calls_per_segment
        for t in range(segment * calls, (segment + 1) * calls):
            z = self.system.step(t, z)
        return z

    def _segment(self, segment: int, z: Tensor) -> Tensor:
        """The state after the segment; on the way the tangent, where there is one, is pushed along."""
        if self.V is None:
            return self._plain(segment, z)
        calls = self.system.calls_per_segment
        for t in range(segment * calls, (segment + 1) * calls):
            z, V = self.system.push(t, z, self.V)
            factors = orthonormalize(V)
            self.V = factors.Q
            self.log_R += factors.log_diagonal[:, 0]
        return z

    def _found(self, depth, z, readout, settled, finite, separation: "_Separation") -> dict[str, np.ndarray]:
        unknown = torch.full_like(self.log_R, torch.nan)
        residual = torch.linalg.vector_norm(self._plain(depth, z) - z, dim=1)
        per_call = unknown if self.V is None else self.log_R / (depth * self.system.calls_per_segment)
        return {
            **verdict(self.puzzles, self.task, readout, finite.cpu().numpy()),
            "answer": answer_hash(readout.logits.argmax(-1).cpu().numpy()),
            "q_halt": (unknown if readout.q_halt is None else readout.q_halt).float().cpu().numpy(),
            "residual": residual.float().cpu().numpy(),
            "growth": separation.mean.float().cpu().numpy(),
            "settled": settled.cpu().numpy(),
            "lambda_1": torch.where(finite, per_call, torch.nan).cpu().numpy(),
            "finite": finite.cpu().numpy(),
        }


class _Separation:
    """A small separation of every row, drawn back to its size after every segment."""

    def __init__(self, first: Tensor):
        self.first = self.direction = first
        self.total, self.counted = torch.zeros_like(first[:, 0]), 0

    def grow(self, before: Tensor, after: Tensor, segment: Callable[[Tensor], Tensor], counts: bool) -> None:
        """Over one segment, which takes the states `before` (its noise included) to `after`."""
        twin, size = companion(before, self.direction, default_distance(before))
        self.direction, log_growth, _ = apart(segment(twin), after, size, self.first)
        if counts:
            self.total, self.counted = self.total + log_growth, self.counted + 1

    @property
    def mean(self) -> Tensor:
        """[rows] float64, nats per segment; nan where it never grew."""
        return self.total / self.counted


def answer_hash(tokens: np.ndarray) -> np.ndarray:
    """uint64 [B] of answers [B, S], the same on every machine."""
    rows = np.ascontiguousarray(tokens, np.uint8)
    return np.array(
        [int.from_bytes(blake2b(row.tobytes(), digest_size=8).digest(), "little") for row in rows], np.uint64
    )

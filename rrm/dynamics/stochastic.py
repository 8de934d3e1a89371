"""Measurements of noisy rollouts: a selector chooses among the rollouts of a puzzle by one of them.

For each rollout: outcome, confidence of the Q head, residual, two measures of stability, when the answer settled, and
when the rollout would stop by itself (`rrm.dynamics.stopping`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from rrm.dynamics.escape import judge
from rrm.dynamics.lyapunov import factorizations, start_basis
from rrm.dynamics.rollout import answers_of
from rrm.dynamics.sampling import BATCH, PUZZLES, NoisyRollouts, SamplingNoise, checked_depths, groups
from rrm.dynamics.shards import RowResult, join, row_batches
from rrm.dynamics.stopping import STOPS, Stopwatch
from rrm.dynamics.twin import apart, companion, default_distance
from rrm.halves import NOISE
from rrm.models.base import Readout, RecursiveModel
from rrm.models.precision import measurement
from rrm.tasks.base import PuzzleSet, Task
from rrm.tasks.verdict import OUTCOMES

# Segments before a depth over which a small separation grows; in the first of them it turns to where it grows.
SPAN = 4


@dataclass(frozen=True)
class StochasticResult(RowResult):
    """Measurements of R = K + 1 rollouts of N puzzles at M depths; rollout 0 is the clean one, the others are noisy.

    The noisy rollouts of a puzzle are exchangeable; all of them are compared with the clean one. Rollouts on symmetric
    copies count as noisy ones, also without noise. Answers are those of the puzzle itself.

    Files of older versions lack the fields from `rollouts` on.

    Attributes:
        sigma: standard deviation of the noise, in state units (the state has unit RMS).
        where: "z_H", "z_L" or "both", the halves that the noise is added to; "H" or "L" in files of older versions.
        seed: of the noise, of copies, of directions, and of the draws of a model with randomness of its own (EqR).
        depths: [M] int64, ascending, in segments.
        index: [N] int64, position in the data set, ascending.
        solved, valid, shortest: [N, R, M] bool, as in `rrm.tasks.verdict.verdict`.
        answer: [N, R, M] uint64, hash of the decoded tokens: equal answers, equal hashes.
        q_halt: [N, R, M] float32, the halting logit; nan without a Q head.
        residual: [N, R, M] float32, Euclidean norm of the change of the joint state (z_H, z_L) over one more segment
            without noise, which is not part of the rollout; state units per segment.
        growth: [N, R, M] float32, log of the growth of a small separation under the same noise, nats per segment: a
            cheap stand-in for the late leading exponent; lower is more stable. Mean over the SPAN - 1 segments before
            the depth. One earlier segment aligns the direction, which is drawn from the seed, and does not count; at
            depth 1 the only segment counts. nan where growth was not asked for.
        settled: [N, R, M] int32, first segment (from 1) after which the answer is that at the depth and stays so.
        lambda_1: [N, R, M] float64, leading exponent of the random map over all segments to the depth, nats per network
            call; nan where the exponent was not asked for.
        finite: [N, R, M] bool, state and logits stayed free of nan and inf; other answers are neither solved nor valid.
        rollouts: "noise" or "symmetry", as in `SamplingNoise`.
        calls_per_segment: network calls of a segment; 0 where it is not known.
        stops: names of the Q rules of `rrm.dynamics.stopping`, separated by blanks.
        stop_segment: [N, R, Q] int32, first segment (from 1) at which the rule stops the rollout; 0: none up to the
            largest depth.
        stop_rank: [N, R, Q] float32, of rollouts that stop at the same segment the highest is to be believed; -inf for
            a rollout that does not stop.
        stop_solved, stop_valid, stop_shortest: [N, R, Q] bool, verdicts on the answer at that segment.
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
    rollouts: str = NOISE
    calls_per_segment: int = 0
    stops: str = ""
    stop_segment: np.ndarray | None = None
    stop_rank: np.ndarray | None = None
    stop_solved: np.ndarray | None = None
    stop_valid: np.ndarray | None = None
    stop_shortest: np.ndarray | None = None

    row_axes: ClassVar[dict[str, int]] = dict.fromkeys(
        ("index", *OUTCOMES, "answer", "q_halt", "residual", "growth", "settled", "lambda_1", "finite",
         "stop_segment", "stop_rank", *(f"stop_{name}" for name in OUTCOMES)), 0
    )  # fmt: skip


def stochastic_rollouts(
    model: RecursiveModel,
    puzzles: PuzzleSet,
    task: Task,
    K: int,
    depths: Sequence[int],
    sigma: float,
    where: str = "z_L",
    *,
    rollouts: str = NOISE,
    exponent: bool = False,
    growth: bool = True,
    index: np.ndarray | None = None,
    batch_size: int = BATCH,
    seed: int = 0,
    progress: Callable[[int], None] = lambda rows: None,
) -> StochasticResult:
    """Run every puzzle once clean and K times with noise, to the largest of `depths` segments.

    The noise is that of `NoisyRollouts`. State and calls are in float32, in float64 for a model turned by `.double()`.
    With sigma 0 every rollout is the plain one: bit for bit that of `escape` in batches of PUZZLES, the noisy ones
    where `batch_size` is PUZZLES too. A model with randomness of its own draws anew for every rollout and batch.

    Args:
        model: the network.
        puzzles: the data set.
        task: its verifier.
        K: noisy rollouts of every puzzle, at least 1.
        depths: segments after which everything is measured, each 1 or more.
        sigma: standard deviation of the noise, in state units.
        where: "z_H", "z_L" or "both", the halves that the noise is added to.
        rollouts: "noise", or "symmetry" for a symmetric copy of the puzzle in each noisy rollout, noise on top.
        exponent: measure lambda_1 too, at about the price of another rollout. States then pass the linearised calls,
            whose rounding differs.
        growth: measure the growth of a small separation, at SPAN segments a depth; changes nothing else.
        index: positions of the puzzles to run; default: all.
        batch_size: rows (puzzle, rollout) that are run together, as whole rollouts of PUZZLES puzzles and at least one
            rollout; memory depends on the batch size and not on depth or K.
        seed: of the noise and of directions.
        progress: is called with PUZZLES, or the number that is left, when all rollouts of as many puzzles are done.

    Raises:
        ValueError: as `SamplingNoise`, `checked_depths` and `row_batches`.
    """
    ascending, noise, parts = checked_depths(K, depths), SamplingNoise(sigma, where, seed, rollouts), []
    calls, stops = len(model.segment_calls), " ".join(STOPS)
    of_all: dict[str, Any] = {"rollouts": rollouts, "calls_per_segment": calls, "stops": stops}
    for rows in row_batches(puzzles, index, PUZZLES):
        batch, of_groups = puzzles.subset(rows), []
        for group in (range(1), *groups(K, len(rows), batch_size)):
            together = NoisyRollouts(model, task, batch, rows, group, noise)
            of_groups.append(_Measured(together, task, seed, exponent).run(ascending, growth))
        arrays: dict[str, Any] = {name: np.concatenate([part[name] for part in of_groups], 1) for name in of_groups[0]}
        parts.append(StochasticResult(float(sigma), where, seed, ascending, index=rows, **arrays, **of_all))
        progress(len(rows))
    return join(parts)


class _Measured:
    """The measurements of one batch of rollouts."""

    def __init__(self, batch: NoisyRollouts, task: Task, seed: int, exponent: bool):
        self.batch, self.task = batch, task
        z = batch.system.start()
        self.first = start_basis(z, 1, seed, dtype=torch.float64)[:, 0]
        self.V = start_basis(z, 1, seed) if exponent else None
        self.log_R = z.new_zeros(len(z), dtype=torch.float64)

    @measurement()
    def run(self, depths: np.ndarray, growth: bool) -> dict[str, np.ndarray]:
        """The arrays of a `StochasticResult`, each [B, rollouts, M]."""
        batch, system, found = self.batch, self.batch.system, []
        z = system.start()
        tokens: Tensor | None = None
        finite = torch.ones(len(z), dtype=torch.bool, device=z.device)
        settled = torch.ones(len(z), dtype=torch.int32, device=z.device)
        stopwatch = Stopwatch(system.model, len(z), z.device)
        separations = {depth: _Separation(self.first) for depth in depths.tolist()}
        for number, before, z in batch.segments(int(depths[-1]), self._segment):
            for depth, separation in separations.items():
                if growth and depth - SPAN <= number < depth:
                    aligned = number > max(0, depth - SPAN) or depth == 1
                    separation.grow(batch, number, before, z, aligned)
            readout = batch.readout(z)
            now = readout.logits.argmax(-1)
            if tokens is not None:
                settled = torch.where((now != tokens).any(1), number + 1, settled)
            tokens = now
            finite = finite & z.isfinite().all(1) & readout.logits.isfinite().flatten(1).all(1)
            stopwatch.look(number + 1, readout, now, torch.linalg.vector_norm(z - before, dim=1), finite)
            if number + 1 in separations:
                found.append(self._found(number + 1, z, readout, settled, finite, separations.pop(number + 1)))
        stopped = stopwatch.found(batch.puzzles, self.task)
        return {
            **{name: batch.by_puzzle([at[name] for at in found]) for name in found[0]},
            **{name: batch.by_puzzle(list(values.T)) for name, values in stopped.items()},
        }

    def _segment(self, number: int, z: Tensor) -> Tensor:
        """The state after the segment; with an exponent asked for, the tangent is pushed along."""
        if self.V is None:
            return self.batch.segment(number, z)
        calls = self.batch.system.calls_per_segment
        steps = factorizations(self.batch.system, self.V, calls, first=number * calls, z=z)
        for _, after, factors in steps:  # noqa: B007 (the state after the last call)
            self.V = factors.Q
            self.log_R += factors.log_diagonal[:, 0]
        return after

    def _found(
        self, depth: int, z: Tensor, readout: Readout, settled: Tensor, finite: Tensor, separation: "_Separation"
    ) -> dict[str, np.ndarray]:
        """The arrays of a `StochasticResult` at one depth, [rows] each."""
        unknown = torch.full_like(self.log_R, torch.nan)
        residual = torch.linalg.vector_norm(self.batch.segment(depth, z) - z, dim=1)
        per_call = unknown if self.V is None else self.log_R / (depth * self.batch.system.calls_per_segment)
        return {
            **judge(self.batch.puzzles, self.task, readout, finite.cpu().numpy()),
            "answer": answer_hash(answers_of(readout)),
            "q_halt": (unknown if readout.q_halt is None else readout.q_halt).float().cpu().numpy(),
            "residual": residual.float().cpu().numpy(),
            "growth": separation.mean.float().cpu().numpy(),
            "settled": settled.cpu().numpy(),
            "lambda_1": torch.where(finite, per_call, torch.nan).cpu().numpy(),
            "finite": finite.cpu().numpy(),
        }


class _Separation:
    """A small separation of every row, scaled back to its size after every segment."""

    def __init__(self, first: Tensor):
        self.first = self.direction = first
        self.total, self.counted = torch.zeros_like(first[:, 0]), 0

    def grow(self, batch: NoisyRollouts, number: int, before: Tensor, after: Tensor, counts: bool) -> None:
        """Run the companions through segment `number`, which takes `before` (noise included) to `after`."""
        twin, size = companion(before, self.direction, default_distance(before))
        self.direction, log_growth, _ = apart(batch.segment(number, twin), after, size, self.first)
        if counts:
            self.total, self.counted = self.total + log_growth, self.counted + 1

    @property
    def mean(self) -> Tensor:
        """[rows] float64, nats per segment; nan where no growth was counted."""
        return self.total / self.counted


def answer_hash(tokens: np.ndarray) -> np.ndarray:
    """uint64 [B] of answers [B, S], the same on every machine."""
    rows = np.ascontiguousarray(tokens, np.uint8)
    return np.array(
        [int.from_bytes(blake2b(row.tobytes(), digest_size=8).digest(), "little") for row in rows], np.uint64
    )

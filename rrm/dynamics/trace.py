"""What a model answers call by call: the rollouts of a few puzzles, written down for a page to show."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from rrm.dynamics.lyapunov import start_basis
from rrm.dynamics.orthonormal import LOG_FLOOR
from rrm.dynamics.rollout import answers_of
from rrm.dynamics.sampling import NoisyRollouts, SamplingNoise
from rrm.dynamics.shards import RowResult, join, row_batches
from rrm.models.base import RecursiveModel
from rrm.models.precision import measurement
from rrm.tasks.base import PuzzleSet, Task
from rrm.tasks.trace import Trace
from rrm.tasks.verdict import distinct_outcomes, verdict

# Puzzles that are traced together, each with all its rollouts.
PUZZLES = 2


@dataclass(frozen=True)
class TraceRows(Trace, RowResult):
    """A trace made shard by shard."""

    row_axes: ClassVar[dict[str, int]] = dict.fromkeys(
        ("index", "inputs", "labels", "answers", "probability", "drift", "growth", "right"), 0
    )


def trace(
    model: RecursiveModel,
    puzzles: PuzzleSet,
    task: Task,
    segments: int,
    K: int,
    sigma: float,
    where: str = "z_L",
    *,
    index: np.ndarray | None = None,
    seed: int = 0,
    progress: Callable[[int], None] = lambda rows: None,
) -> TraceRows:
    """Run every puzzle once clean and K times with noise, and keep what is seen after every call.

    The rollouts are those of `rrm.dynamics.stochastic.stochastic_rollouts` with an exponent, up to the rounding of
    other batches. One tangent is pushed along each.

    Args:
        model: the network; state and calls as in `NetworkMap`.
        puzzles: the data set.
        task: its verifier.
        segments: of the rollouts, at least 1.
        K: noisy rollouts of every puzzle, 0 or more.
        sigma: standard deviation of the noise, in state units.
        where: "z_H", "z_L" or "both", the halves that the noise is added to.
        index: positions of the puzzles to run; default: all.
        seed: of the noise and of the tangent's first direction.
        progress: is called with the number of puzzles of each finished batch.

    Raises:
        ValueError: no segment, a negative K; as `SamplingNoise` and `row_batches`.
    """
    if segments < 1 or K < 0:
        raise ValueError(f"segments is {segments} and K is {K}: a trace needs at least 1 segment, and K from 0")
    noise, parts = SamplingNoise(sigma, where, seed), []
    of_all: dict[str, Any] = {"task": puzzles.task, "calls": "".join(model.segment_calls), "sigma": float(sigma)}
    for rows in row_batches(puzzles, index, PUZZLES):
        batch = puzzles.subset(rows)
        found = [
            _calls(NoisyRollouts(model, task, batch, rows, group, noise), task, segments, seed)
            for group in (range(1), range(1, K + 1))
            if group
        ]
        arrays: dict[str, Any] = {name: np.concatenate([part[name] for part in found], 1) for name in found[0]}
        arrays |= {"inputs": batch.inputs, "labels": batch.labels, "index": rows}
        parts.append(TraceRows(where=where, seed=seed, **of_all, **arrays))
        progress(len(rows))
    return join(parts)


@measurement()
def _calls(batch: NoisyRollouts, task: Task, segments: int, seed: int) -> dict[str, np.ndarray]:
    """The arrays of a `Trace` by call, each [B, rollouts, n, ...]."""
    system, seen = batch.system, []
    outcome = distinct_outcomes(batch.puzzles, task)[-1]
    V = start_basis(system.start(), 1, seed)

    def segment(number: int, z: Tensor) -> Tensor:
        nonlocal V
        for call in range(system.calls_per_segment):
            before = z
            z, V = system.push(number * system.calls_per_segment + call, z, V)
            grown = torch.linalg.vector_norm(V.double(), dim=2, keepdim=True)
            V = torch.where(grown > 0, V / grown, V).to(V.dtype)
            readout = batch.readout(z)
            answers = answers_of(readout)
            likely = readout.logits.float().softmax(-1).amax(-1).nan_to_num(0.0)
            growth = grown[:, 0, 0].log().clamp_min(LOG_FLOOR)
            seen.append({
                "answers": answers,
                "probability": (255 * likely).round().to(torch.uint8).cpu().numpy(),
                "drift": torch.linalg.vector_norm(z - before, dim=1).float().cpu().numpy(),
                "growth": growth.float().cpu().numpy(),
                "right": verdict(batch.puzzles, task, answers)[outcome],
            })  # fmt: skip
        return z

    for _ in batch.segments(segments, segment):
        pass
    return {name: batch.by_puzzle([of_call[name] for of_call in seen]) for name in seen[0]}

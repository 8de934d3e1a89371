"""Stability of a trained model on a set of puzzles: spectra, drift, halting scores and outcome of the same rollouts."""

from collections.abc import Callable

import numpy as np
import torch

from rrm.dynamics.lyapunov import lyapunov_spectrum
from rrm.dynamics.result import LyapunovResult, Settings, join_results
from rrm.models import RecursiveModel
from rrm.tasks.base import PuzzleSet, Task

# Rows whose tangents are pushed together: enough to fill the products, few enough to stay in a CPU's cache.
BATCH = 16


def measure(
    model: RecursiveModel,
    puzzles: PuzzleSet,
    task: Task,
    settings: Settings,
    index: np.ndarray | None = None,
    progress: Callable[[int], None] = lambda rows: None,
) -> LyapunovResult:
    """Measure every puzzle (or those at `index`) under `settings`; `progress` hears of each finished batch's rows.

    Batches have a fixed size and order, so that the result does not depend on who computes which shard.
    """
    index = np.arange(len(puzzles)) if index is None else np.asarray(index)
    parts = []
    for first in range(0, len(index), BATCH):
        rows = index[first : first + BATCH]
        parts.append(_measure_batch(model, puzzles.subset(rows), task, settings, rows))
        progress(len(rows))
    return join_results(parts)


def _measure_batch(model, puzzles: PuzzleSet, task: Task, settings: Settings, rows: np.ndarray) -> LyapunovResult:
    batch = {"inputs": puzzles.inputs, "labels": puzzles.labels, "puzzle_identifiers": puzzles.puzzle_identifiers}
    spectrum = lyapunov_spectrum(model, batch, settings.k, settings.segments, seed=settings.seed)
    roll = spectrum.rollout
    score = task.score(puzzles.inputs, puzzles.labels, roll.predictions[-1].to(torch.uint8).cpu().numpy())
    q_halt = torch.full_like(roll.drift_H, float("nan")) if roll.q_halt is None else roll.q_halt

    def by_row(values: torch.Tensor) -> np.ndarray:
        return values.T.float().cpu().numpy()

    return LyapunovResult(
        settings=settings,
        index=rows.astype(np.int64),
        lambda_per_call=spectrum.lambda_per_call.cpu().numpy(),
        lambda_per_segment=spectrum.lambda_per_segment.cpu().numpy(),
        drift_H=by_row(roll.drift_H),
        drift_L=by_row(roll.drift_L),
        q_halt=by_row(q_halt),
        solved=score["exact"],
        cells=score["cells"].astype(np.float32),
        violations=score["violations"].astype(np.int32),
    )

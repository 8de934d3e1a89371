"""The leading exponent of one rollout from several random start bases: how much of it is the draw."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from rrm.dynamics.lyapunov import lyapunov_spectrum
from rrm.dynamics.measure import choose_batch
from rrm.dynamics.shards import RowResult, join, row_batches
from rrm.models import RecursiveModel
from rrm.tasks.base import PuzzleSet, Task


@dataclass(frozen=True)
class BasesResult(RowResult):
    """lambda_1 of N puzzles from S start bases.

    Attributes:
        segments, transient: of the rollouts.
        seeds: [S] int64, one a basis; a model with randomness of its own (EqR) draws from the same seed.
        index: [N] int64, position in the data set, ascending.
        lambda_1: [N, S] float64, nats per network call over the segments after the transient; nan where state or
            tangents did not stay finite.
        solved: [N, S] bool, exact answer after the last segment.
    """

    segments: int
    transient: int
    seeds: np.ndarray
    index: np.ndarray
    lambda_1: np.ndarray
    solved: np.ndarray

    row_axes: ClassVar[dict[str, int]] = dict.fromkeys(("index", "lambda_1", "solved"), 0)

    def medians(self, solved: bool) -> np.ndarray:
        """Median lambda_1 [S] of the finite rollouts that solve their puzzle, or that fail; nan without any."""
        chosen = (self.solved == solved) & np.isfinite(self.lambda_1)
        by_basis = [of_basis[rows] for of_basis, rows in zip(self.lambda_1.T, chosen.T, strict=True)]
        return np.array([np.median(values) if values.size else np.nan for values in by_basis])


def start_bases(
    model: RecursiveModel,
    puzzles: PuzzleSet,
    task: Task,
    segments: int,
    *,
    transient: int,
    seeds: Sequence[int],
    index: np.ndarray | None = None,
    progress: Callable[[int], None] = lambda rows: None,
) -> BasesResult:
    """Measure lambda_1 (k = 1) of every puzzle from the start basis of each of the `seeds`.

    Args:
        model: the network.
        puzzles: the data set.
        task: its verifier.
        segments: length of the rollouts.
        transient: segments at the start that are left out of the exponents.
        seeds: of the bases.
        index: positions of the puzzles to measure; default: all.
        progress: is called with the number of puzzles of each batch that is measured from all bases.

    Raises:
        ValueError: as `lyapunov_spectrum` and `row_batches`.
    """
    parts = []
    for rows in row_batches(puzzles, index, choose_batch(model, 1)):
        batch = puzzles.subset(rows)
        lambda_1, solved = np.zeros((len(rows), len(seeds))), np.zeros((len(rows), len(seeds)), bool)
        for s, seed in enumerate(seeds):
            spectrum = lyapunov_spectrum(model, batch.arrays, 1, segments, seed=seed, transient=transient)
            answer = spectrum.rollout.predictions[-1].to(torch.uint8).cpu().numpy()
            lambda_1[:, s] = spectrum.lambda_per_call[:, 0].cpu().numpy()
            solved[:, s] = task.score(batch.inputs, batch.labels, answer)["exact"]
        parts.append(BasesResult(segments, transient, np.asarray(seeds, np.int64), rows, lambda_1, solved))
        progress(len(rows))
    return join(parts)

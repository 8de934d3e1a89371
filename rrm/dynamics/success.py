"""The stability of successes in one number, cheap enough to be asked during a search."""

import numpy as np
import torch

from rrm.dynamics.lyapunov import lyapunov_spectrum
from rrm.dynamics.measure import choose_batch
from rrm.dynamics.shards import row_batches
from rrm.models import RecursiveModel
from rrm.tasks.base import PuzzleSet, Task


def success_lambda_1(model: RecursiveModel, puzzles: PuzzleSet, task: Task, segments: int) -> float:
    """Median leading exponent, nats per network call, of the rollouts that solve their puzzle after `segments`.

    k = 1, from the initial state, seed 0. nan where nothing is solved. ValueError as `lyapunov_spectrum` and
    `row_batches`.
    """
    was_training = model.training
    model.eval()
    found = []
    for rows in row_batches(puzzles, None, choose_batch(model, 1)):
        batch = puzzles.subset(rows)
        spectrum = lyapunov_spectrum(model, batch.arrays, 1, segments)
        answer = spectrum.rollout.predictions[-1].to(torch.uint8).cpu().numpy()
        exact = task.score(batch.inputs, batch.labels, answer)["exact"].astype(bool)
        found.append(spectrum.lambda_per_call[:, 0].cpu().numpy()[exact])
    model.train(was_training)
    solved = np.concatenate(found)
    solved = solved[np.isfinite(solved)]
    return float(np.median(solved)) if len(solved) else float("nan")

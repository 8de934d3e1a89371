"""Scores of a model on puzzles: a fixed number of segments, halting ignored, the answer read at the last one."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from rrm.dynamics.rollout import embed_batch, segments_of
from rrm.models import Model
from rrm.models.base import RecursiveModel
from rrm.models.precision import measurement
from rrm.tasks.base import PuzzleSet, Task
from rrm.training.stream import to_batch


@measurement()
def predict(
    model: Model, puzzles: PuzzleSet, task: Task, segments: int | None, batch_size: int = 256
) -> dict[str, Any]:
    """-> {"predictions": [N, S] uint8 tokens, "q_halt": [N] float32 or None}.

    The answers are those after `segments` segments; a model without recursion has none of them (None).
    """
    was_training = model.training
    model.eval()
    answers, scores = [], []
    for first in range(0, len(puzzles), batch_size):
        batch = to_batch(puzzles.subset(np.arange(first, min(first + batch_size, len(puzzles)))), task)
        logits, q_halt = _answer(model, batch, segments)
        answers.append(logits.argmax(-1).to(torch.uint8).cpu().numpy())
        if q_halt is not None:
            scores.append(q_halt.float().cpu().numpy())
    model.train(was_training)
    return {"predictions": np.concatenate(answers), "q_halt": np.concatenate(scores) if scores else None}


def _answer(model: Model, batch: dict[str, Tensor], segments: int | None) -> tuple[Tensor, Tensor | None]:
    """(logits [B, S, V], q_halt [B] or None) of a batch."""
    if not isinstance(model, RecursiveModel):
        return model(batch["inputs"].to(next(model.parameters()).device)), None
    if segments is None:
        raise ValueError("a recursive model answers after some number of segments: give one")
    generator = torch.Generator().manual_seed(0)
    start = model.initial_state(len(batch["inputs"]), generator)
    for _, readout in segments_of(model, embed_batch(model, batch), segments, start, generator):  # noqa: B007
        pass  # only the last readout is kept
    return readout.logits, readout.q_halt


def evaluate(model: Model, puzzles: PuzzleSet, task: Task, segments: int | None) -> dict[str, float]:
    """Means of the task's scores over the puzzles (nan left out), and how often the Q head's sign is right."""
    return means([totals(puzzle_scores(model, puzzles, task, segments))])


def puzzle_scores(model: Model, puzzles: PuzzleSet, task: Task, segments: int | None) -> dict[str, np.ndarray]:
    """Each score of `evaluate` by puzzle, [N], nan where a puzzle has none."""
    out = predict(model, puzzles, task, segments)
    score = task.score(puzzles.inputs, puzzles.labels, out["predictions"])
    if out["q_halt"] is not None:
        score["q_right"] = (out["q_halt"] > 0) == score["exact"]
    return score


def totals(scores: dict[str, np.ndarray]) -> dict[str, tuple[float, int]]:
    """(sum, number of puzzles that have it) of each of `puzzle_scores`."""
    return {
        name: (float(np.nansum(values, dtype=np.float64)), int((~np.isnan(values)).sum()))
        for name, values in scores.items()
    }


def means(parts: list[dict[str, tuple[float, int]]]) -> dict[str, float]:
    """The scores of `evaluate` from the `totals` of parts of the puzzles; those that no puzzle has are left out."""
    counts = {name: sum(part[name][1] for part in parts) for name in parts[0]}
    return {name: sum(part[name][0] for part in parts) / count for name, count in counts.items() if count}

"""What can be read off a rollout without its exponents: outcome, confidence, violations and halting, by segment."""

import numpy as np
import torch
from torch import Tensor

from rrm.dynamics.rollout import Rollout
from rrm.tasks.base import PuzzleSet, Task


def readings(rollout: Rollout, puzzles: PuzzleSet, task: Task) -> dict[str, np.ndarray]:
    """Scores [B, T] of the B puzzles after each of T segments.

    solved bool, the answer equals the label.  cells float32, share of right cells.  violations int32, broken
    constraints plus changed givens of the answer, no label needed.  margin float32, the difference of the two largest
    logits of a cell, mean over cells.  entropy float32, of a cell's softmax in nats, mean over cells.
    """
    by_segment = [
        task.score(puzzles.inputs, puzzles.labels, answer.to(torch.uint8).cpu().numpy())
        for answer in rollout.predictions
    ]
    margin, entropy = zip(*(_confidence(logits) for logits in rollout.logits), strict=True)

    def column(values: list) -> np.ndarray:
        return np.stack(values, 1)

    return {
        "solved": column([score["exact"] for score in by_segment]),
        "cells": column([score["cells"] for score in by_segment]).astype(np.float32),
        "violations": column([score["violations"] + score["changed_givens"] for score in by_segment]).astype(np.int32),
        "margin": column([values.cpu().numpy() for values in margin]),
        "entropy": column([values.cpu().numpy() for values in entropy]),
    }


def _confidence(logits: Tensor) -> tuple[Tensor, Tensor]:
    first, second = logits.float().topk(2, -1).values.unbind(-1)
    log_p = logits.float().log_softmax(-1)
    return (first - second).mean(-1), -(log_p.exp() * log_p).sum(-1).mean(-1)


def halting_segment(rollout: Rollout, q_learning: bool) -> np.ndarray:
    """[B] int32: the first segment (from 1) at which the Q head would halt, T + 1 for never or without a Q head.

    A model that learned q_continue halts when q_halt exceeds it, any other when q_halt > 0 (`RecursiveModel`).
    """
    segments, batch = rollout.drift_H.shape
    if rollout.q_halt is None or rollout.q_continue is None:
        return np.full(batch, segments + 1, np.int32)
    threshold = rollout.q_continue if q_learning else torch.zeros_like(rollout.q_halt)
    wants = (rollout.q_halt > threshold).cpu().numpy()
    return np.where(wants.any(0), wants.argmax(0) + 1, segments + 1).astype(np.int32)

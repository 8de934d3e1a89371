"""Readings of a rollout that need no exponents: outcome, violations and confidence, by segment."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from rrm.dynamics.rollout import Rollout
from rrm.tasks.base import PuzzleSet, Task


def readings(rollout: Rollout, puzzles: PuzzleSet, task: Task) -> dict[str, np.ndarray]:
    """Scores of the B puzzles after each of T segments.

    Returns:
        [B, T] each.
        solved: bool, the answer equals the label.
        cells: float32, share of right cells.
        violations: int32, broken constraints plus changed givens of the answer; no label needed.
        margin: float32, difference of the two largest logits of a cell, mean over cells.
        entropy: float32, entropy of the softmax of a cell in nats, mean over cells.
    """
    by_segment = [
        task.score(puzzles.inputs, puzzles.labels, answer.astype(np.uint8))
        for answer in rollout.predictions.cpu().numpy()
    ]
    margin, entropy = zip(*(_confidence(logits) for logits in rollout.logits), strict=True)

    def column(values: Sequence[np.ndarray]) -> np.ndarray:
        return np.stack(values, 1)

    return {
        "solved": column([score["exact"] for score in by_segment]),
        "cells": column([score["cells"] for score in by_segment]).astype(np.float32),
        "violations": column([score["violations"] + score["changed_givens"] for score in by_segment]).astype(np.int32),
        "margin": column([values.cpu().numpy() for values in margin]),
        "entropy": column([values.cpu().numpy() for values in entropy]),
    }


def _confidence(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Margin and entropy [B] of logits [B, S, V]."""
    first, second = logits.float().topk(2, -1).values.unbind(-1)
    log_p = logits.float().log_softmax(-1)
    return (first - second).mean(-1), -(log_p.exp() * log_p).sum(-1).mean(-1)

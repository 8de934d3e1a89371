"""Scores of a model on puzzles: the answer after a fixed number of segments, and where the Q head says halt.

At full depth halting is ignored: rows that halt are run to the last segment like the others. The answer at halting is
that of the first segment at which the model wants to halt, at the latest that of the last one. A model that finds the
answer and then leaves it is right at halting and wrong at full depth.
"""

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
) -> dict[str, np.ndarray]:
    """The answers of a model, and of one with a Q head when it wants to halt.

    Args:
        segments: of a rollout; None for a model without recursion.

    Returns:
        predictions: [N, S] uint8, tokens after the last segment.
        q_halt: [N] float32, halting logit after the last segment; this and the following only with a Q head.
        predictions_at_halting: [N, S] uint8, tokens after the segment of halting.
        halting_segment: [N] int64, that segment, from 1; `segments` where the model never wants to halt.
    """
    was_training = model.training
    model.eval()
    parts = []
    for first in range(0, len(puzzles), batch_size):
        batch = to_batch(puzzles.subset(np.arange(first, min(first + batch_size, len(puzzles)))), task)
        parts.append({name: value.cpu().numpy() for name, value in _answers(model, batch, segments).items()})
    model.train(was_training)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _answers(model: Model, batch: dict[str, Tensor], segments: int | None) -> dict[str, Tensor]:
    """`predict` of a batch."""
    if not isinstance(model, RecursiveModel):
        return {"predictions": _tokens(model(batch["inputs"].to(next(model.parameters()).device)))}
    if segments is None:
        raise ValueError("a recursive model answers after some number of segments: give one")
    generator = torch.Generator().manual_seed(0)
    x = embed_batch(model, batch)
    start = model.initial_state(len(x), generator)
    halting_segment = torch.zeros(len(x), dtype=torch.int64, device=x.device)  # 0: not yet
    at_halting = torch.zeros(batch["inputs"].shape, dtype=torch.uint8, device=x.device)
    for segment, (_, readout) in enumerate(segments_of(model, x, segments, start, generator), start=1):
        if (wants := model.wants_to_halt(readout)) is not None:
            halts = (wants | (segment == segments)) & (halting_segment == 0)
            # Each row is decoded once: to decode every row of every segment would cost more.
            at_halting[halts] = _tokens(readout.logits[halts])
            halting_segment[halts] = segment
    found = {"predictions": _tokens(readout.logits)}
    if readout.q_halt is None:
        return found
    halting = {"predictions_at_halting": at_halting, "halting_segment": halting_segment}
    return found | {"q_halt": readout.q_halt.float()} | halting


def _tokens(logits: Tensor) -> Tensor:
    return logits.argmax(-1).to(torch.uint8)


def evaluate(model: Model, puzzles: PuzzleSet, task: Task, segments: int | None) -> dict[str, float]:
    """Means over the puzzles of the task's scores (nan left out) and, for a model with a Q head, of three more.

    Returns:
        q_right: share of puzzles for which the sign of the last halting logit says whether the answer is right.
        exact_at_halting: share of puzzles whose answer at halting is right.
        halting_segment: mean segment of halting, from 1.
        and the scores of `Task.score`, of the answers after the last segment.
    """
    return means([totals(puzzle_scores(model, puzzles, task, segments))])


def puzzle_scores(model: Model, puzzles: PuzzleSet, task: Task, segments: int | None) -> dict[str, np.ndarray]:
    """Each score of `evaluate` by puzzle, [N], nan where a puzzle has none."""
    out = predict(model, puzzles, task, segments)
    score = task.score(puzzles.inputs, puzzles.labels, out["predictions"])
    if "q_halt" in out:
        score["q_right"] = (out["q_halt"] > 0) == score["exact"]
        score["exact_at_halting"] = (out["predictions_at_halting"] == puzzles.labels).all(axis=1)
        score["halting_segment"] = out["halting_segment"]
    return score


def totals(scores: dict[str, np.ndarray]) -> dict[str, tuple[float, int]]:
    """(sum, number of puzzles that have it) of each of `puzzle_scores`."""
    return {
        name: (float(np.nansum(values, dtype=np.float64)), int((~np.isnan(values)).sum()))
        for name, values in scores.items()
    }


def means(parts: list[dict[str, tuple[float, int]]]) -> dict[str, float]:
    """The scores of `evaluate` from the `totals` of parts of the puzzles.

    Scores that no puzzle has are left out, and those that a part lacks: an older rrm scored it without them.
    """
    shared = [name for name in parts[0] if all(name in part for part in parts)]
    counts = {name: sum(part[name][1] for part in parts) for name in shared}
    return {name: sum(part[name][0] for part in parts) / count for name, count in counts.items() if count}

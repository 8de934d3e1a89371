"""Heads switched off in some calls, and the answers that are right without them.

Attention on a pattern is no proof that a model needs it; that an answer is lost without the head is one.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from rrm.dynamics.attention import calls_of
from rrm.dynamics.escape import finite_rows, judge
from rrm.dynamics.shards import BATCH, RowResult, join, row_batches
from rrm.models.attending import attentions, head_count, head_shape, merge_layer, network_calls
from rrm.models.base import RecursiveModel
from rrm.models.precision import measurement
from rrm.tasks.base import PuzzleSet, Task
from rrm.tasks.verdict import distinct_outcomes

# What a head reads is replaced by 0, or by its mean over the puzzles of the batch, position by position.
KINDS = ("zero", "mean")


@contextmanager
def ablate(model: nn.Module, off: Mapping[str, np.ndarray], kind: str = "zero") -> Iterator[None]:
    """Within the block some heads read nothing of their own; nothing stays on the model, also after an exception.

    Args:
        model: with heads.
        off: by name of a module with heads (`rrm.models.attending.attentions`), bool [T, N]: the heads that are off in
            each of T network calls from here on, in later calls none. In a model without recursion a call is a pass.
        kind: one of KINDS.

    Raises:
        ValueError: another kind, an unknown module, or another number of heads.
    """
    if kind not in KINDS:
        raise ValueError(f"ablation {kind!r} is unknown: use one of {', '.join(KINDS)}")
    modules = attentions(model)
    for name, mask in off.items():
        if name not in modules or mask.ndim != 2 or mask.shape[1] != head_count(modules[name]):
            raise ValueError(f"no module {name!r} with heads for a mask of shape {mask.shape}")

    def replaced(read: Tensor, now: np.ndarray) -> Tensor:
        heads = read.unflatten(-1, (len(now), -1))
        other = heads.mean(0, keepdim=True) if kind == "mean" else torch.zeros_like(heads)
        chosen = torch.from_numpy(now).to(read.device)[:, None]
        return torch.where(chosen, other, heads).flatten(-2)

    with network_calls(model) as clock:

        def hook(mask: np.ndarray) -> Any:
            passes = 0

            def change(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
                nonlocal passes
                call = passes if clock is None else clock()
                passes += 1
                if call >= len(mask) or not mask[call].any():
                    return None
                return replaced(inputs[0], mask[call]), *inputs[1:]

            return change

        hooks = [
            merge_layer(modules[name]).register_forward_pre_hook(hook(np.asarray(mask, bool)))
            for name, mask in off.items()
        ]
        try:
            yield
        finally:
            for one in hooks:
                one.remove()


@dataclass(frozen=True)
class AblationRows(RowResult):
    """Outcomes of N puzzles under A ablations.

    Attributes:
        index: [N] int64, position in the data set.
        right: [N, A] bool, the answer after the last call is right.
    """

    index: np.ndarray
    right: np.ndarray

    row_axes: ClassVar[dict[str, int]] = dict.fromkeys(("index", "right"), 0)


def ablated_answers(
    model: RecursiveModel,
    puzzles: PuzzleSet,
    task: Task,
    segments: int,
    off: np.ndarray,
    kinds: Sequence[str],
    *,
    index: np.ndarray | None = None,
    seed: int = 0,
) -> AblationRows:
    """Run every puzzle once under each ablation.

    Args:
        model: as in `rrm.dynamics.attention.record_heads`; so are puzzles, task, segments, index and seed.
        off: [A, T, Y, N] bool, the heads of each layer that are off in each call.
        kinds: of the A ablations, of KINDS.

    Raises:
        InputError: the model has no heads.
        ValueError: as `ablate` and `row_batches`.
    """
    layers, _ = head_shape(model)
    outcome = distinct_outcomes(puzzles, task)[-1]
    parts = []
    for rows in row_batches(puzzles, index, BATCH):
        few = puzzles.subset(rows)
        right = [
            _answers(
                model, few, task, segments, seed, dict(zip(layers, mask.swapaxes(0, 1), strict=True)), kind, outcome
            )
            for mask, kind in zip(off, kinds, strict=True)
        ]
        parts.append(AblationRows(rows, np.stack(right, 1)))
    return join(parts)


@measurement()
def _answers(
    model: RecursiveModel,
    puzzles: PuzzleSet,
    task: Task,
    segments: int,
    seed: int,
    off: Mapping[str, np.ndarray],
    kind: str,
    outcome: str,
) -> np.ndarray:
    """Whether each answer is right, bool [B]."""
    with ablate(model, off, kind):
        *_, (state,) = calls_of([model], puzzles, segments, seed)
    with model.precision(torch.float32):
        readout = model.readout(state)
    return judge(puzzles, task, readout, finite_rows(state, readout))[outcome]

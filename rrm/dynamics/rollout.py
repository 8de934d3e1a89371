"""Rollouts: a fixed number of segments from the initial state, with everything that is read off after each segment.

Shape suffixes: T segments, B puzzles, L positions, S tokens of a puzzle, D channels, V tokens of the vocabulary.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from rrm.models.base import Readout, RecursiveModel, State
from rrm.models.precision import measurement


@dataclass(frozen=True)
class Rollout:
    """States and readouts of B puzzles after every one of T segments.

    Attributes:
        z_H, z_L: [T, B, L, D], dtype of the state.
        logits: [T, B, S, V].
        q_halt, q_continue: [T, B], logits of halting and continuing; None for a model without Q head.
        drift_H, drift_L: [T, B], Euclidean norm of the change of each half over the segment, in state units; the first
            from the start state.
    """

    z_H: Tensor
    z_L: Tensor
    logits: Tensor
    q_halt: Tensor | None
    q_continue: Tensor | None
    drift_H: Tensor
    drift_L: Tensor

    @property
    def predictions(self) -> Tensor:
        """Decoded tokens [T, B, S], int64."""
        return self.logits.argmax(-1)

    def rows(self, count: int) -> "Rollout":
        """The rollout of the first `count` puzzles."""
        named: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        first: dict[str, Any] = {name: None if value is None else value[:, :count] for name, value in named.items()}
        return Rollout(**first)


def embed_batch(model: RecursiveModel, batch: Mapping[str, ArrayLike | Tensor]) -> Tensor:
    """x [B, L, D] of a batch {"inputs": [B, S], "puzzle_identifiers": [B], ...} of tensors or arrays."""
    device = next(model.parameters()).device
    return model.embed(
        torch.as_tensor(batch["inputs"]).to(device), torch.as_tensor(batch["puzzle_identifiers"]).to(device)
    )


@torch.no_grad()
def segments_of(
    model: RecursiveModel, x_BLD: Tensor, segments: int, start: State, generator: torch.Generator
) -> Iterator[tuple[State, Readout]]:
    """Yield (state, readout) after each segment, without gradient, so that callers keep only what they need."""
    state = start
    for _ in range(segments):
        state = model.segment(state, x_BLD, generator, grad_calls=0)
        yield state, model.readout(state)


def answers_of(readout: Readout) -> np.ndarray:
    """The decoded tokens of a readout, uint8 [B, S]."""
    return readout.logits.argmax(-1).to(torch.uint8).cpu().numpy()


def drift(before: State, after: State) -> tuple[Tensor, Tensor]:
    """Euclidean norms [B] of the changes of z_H and z_L, in float32 or wider."""
    return _change(before.z_H, after.z_H), _change(before.z_L, after.z_L)


def _change(old: Tensor, new: Tensor) -> Tensor:
    wide = torch.promote_types(new.dtype, torch.float32)
    return torch.linalg.vector_norm((new - old).flatten(1), dim=1, dtype=wide)


def collect(start: State, visited: Sequence[tuple[State, Readout]]) -> Rollout:
    """The Rollout of a start state and the (state, readout) pairs that followed it, one per segment."""
    states = [state for state, _ in visited]
    readouts = [readout for _, readout in visited]
    drift_H, drift_L = zip(*(drift(old, new) for old, new in zip([start, *states], states, strict=False)), strict=True)
    return Rollout(
        z_H=torch.stack([s.z_H for s in states]),
        z_L=torch.stack([s.z_L for s in states]),
        logits=torch.stack([r.logits for r in readouts]),
        q_halt=_stacked([r.q_halt for r in readouts]),
        q_continue=_stacked([r.q_continue for r in readouts]),
        drift_H=torch.stack(drift_H),
        drift_L=torch.stack(drift_L),
    )


def _stacked(values: Sequence[Tensor | None]) -> Tensor | None:
    """[T, B] of T score tensors [B]; None for a model without Q head."""
    known = [value for value in values if value is not None]
    return torch.stack(known) if known else None


@measurement()
def rollout(
    model: RecursiveModel,
    batch: Mapping[str, ArrayLike | Tensor],
    segments: int,
    start: State | None = None,
    *,
    seed: int = 0,
) -> Rollout:
    """Run `segments` segments, halting ignored, as in evaluation.

    Args:
        model: in its own precision (`RecursiveModel.compute_dtype`).
        batch: `inputs` [B, S] and `puzzle_identifiers` [B], tensors or arrays; other entries are not read.
        segments: T, at least 1.
        start: state to start from, [B, L, D] per half; default: the initial state of the model.
        seed: of the draws of a model with randomness of its own (EqR).

    Raises:
        ValueError: fewer than one segment.
    """
    if segments < 1:
        raise ValueError(f"segments is {segments}: a rollout needs at least one")
    x = embed_batch(model, batch)
    generator = torch.Generator().manual_seed(seed)
    start = model.initial_state(len(x), generator) if start is None else start
    return collect(start, list(segments_of(model, x, segments, start, generator)))

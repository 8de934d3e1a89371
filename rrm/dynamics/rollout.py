"""Rollouts: a fixed number of segments from the initial state, with everything that is read off after each."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from rrm.models.base import Readout, RecursiveModel, State
from rrm.models.precision import measurement


@dataclass(frozen=True)
class Rollout:
    """States and readouts after every segment; T segments, B puzzles, L positions, S tokens, D channels, V tokens.

    z_H, z_L: [T, B, L, D].  logits: [T, B, S, V].  q_halt, q_continue: [T, B], None for a model without Q head.
    drift_H, drift_L: [T, B], Euclidean norm of the change of each half over the segment (the first from the start).
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
        """Decoded tokens [T, B, S]."""
        return self.logits.argmax(-1)

    def rows(self, count: int) -> "Rollout":
        """The first `count` puzzles."""
        named = {f.name: getattr(self, f.name) for f in fields(self)}
        return Rollout(**{name: None if value is None else value[:, :count] for name, value in named.items()})


def embed_batch(model: RecursiveModel, batch: Mapping) -> Tensor:
    """x [B, L, D] of a batch {"inputs": [B, S], "puzzle_identifiers": [B], ...} of tensors or arrays."""
    device = next(model.parameters()).device
    return model.embed(
        torch.as_tensor(batch["inputs"]).to(device), torch.as_tensor(batch["puzzle_identifiers"]).to(device)
    )


def segments_of(
    model: RecursiveModel, x_BLD: Tensor, segments: int, start: State, generator: torch.Generator
) -> Iterator[tuple[State, Readout]]:
    """Yield (state, readout) after each segment, without gradient, so that callers keep only what they need."""
    state = start
    with torch.no_grad():
        for _ in range(segments):
            for half in model.segment_calls:
                state = model.step(half, state, x_BLD, generator)
            yield state, model.readout(state)


def drift(before: State, after: State) -> tuple[Tensor, Tensor]:
    """Euclidean norms [B] of the change of (z_H, z_L), in float32 or wider."""
    return tuple(
        torch.linalg.vector_norm((new - old).flatten(1), dim=1, dtype=torch.promote_types(new.dtype, torch.float32))
        for old, new in zip(before, after, strict=True)
    )


def collect(start: State, visited: list[tuple[State, Readout]]) -> Rollout:
    """The Rollout of a start state and the (state, readout) pairs that followed it."""
    states = [state for state, _ in visited]
    readouts = [readout for _, readout in visited]
    drifts = [drift(old, new) for old, new in zip([start, *states], states, strict=False)]
    has_q = readouts[0].q_halt is not None
    return Rollout(
        z_H=torch.stack([s.z_H for s in states]),
        z_L=torch.stack([s.z_L for s in states]),
        logits=torch.stack([r.logits for r in readouts]),
        q_halt=torch.stack([r.q_halt for r in readouts]) if has_q else None,
        q_continue=torch.stack([r.q_continue for r in readouts]) if has_q else None,
        drift_H=torch.stack([d[0] for d in drifts]),
        drift_L=torch.stack([d[1] for d in drifts]),
    )


@measurement()
def rollout(
    model: RecursiveModel, batch: Mapping, segments: int, start: State | None = None, *, seed: int = 0
) -> Rollout:
    """Run `segments` segments from the model's initial state (or `start`), halting ignored, as in evaluation.

    `batch` holds `inputs` [B, S], `labels` and `puzzle_identifiers` [B]; labels are not read. `seed` decides what a
    model with randomness of its own (EqR) draws.
    """
    if segments < 1:
        raise ValueError(f"segments is {segments}: a rollout needs at least one")
    x = embed_batch(model, batch)
    generator = torch.Generator().manual_seed(seed)
    start = model.initial_state(len(x), generator) if start is None else start
    return collect(start, list(segments_of(model, x, segments, start, generator)))

"""How far the weight matrices of a network moved in a training, by kind of layer, and in how many directions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rrm.statistics.ranks import Ranks, ranks

# Kinds of layers by the last module names of their weights; all else is other.
KINDS: Mapping[str, tuple[str, ...]] = {
    "attention": ("self_attn", "attention"),
    "delta rule": ("delta_rule",),
    "token mixer": ("mlp_t",),
    "feed-forward": ("mlp",),
    "embedding": ("embed_tokens", "embed_pos", "embedding", "positions"),
    "head": ("lm_head", "q_head", "unembedding"),
}


@dataclass(frozen=True)
class WeightChange:
    """The change of one matrix.

    Attributes:
        name, kind: of the weights, and of their layer.
        moved: norm of the change over the norm of the matrix before it (Frobenius).
        ranks: of the change.
        full: the smaller side of the matrix, which no rank exceeds.
    """

    name: str
    kind: str
    moved: float
    ranks: Ranks
    full: int


def kind_of(name: str) -> str:
    """The kind of layer that weights of this name belong to."""
    parts = name.split(".")
    return next((kind for kind, names in KINDS.items() if any(part in names for part in parts)), "other")


def weight_changes(before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray]) -> list[WeightChange]:
    """The changes of all matrices that two sets of weights have in common, those that did not move left out."""
    found = []
    for name, old in before.items():
        if old.ndim != 2 or min(old.shape) < 2 or name not in after or after[name].shape != old.shape:
            continue
        change, size = after[name].astype(float) - old, float(np.linalg.norm(old))
        if change.any():
            moved = float(np.linalg.norm(change)) / size if size else np.inf
            found.append(WeightChange(name, kind_of(name), moved, ranks(change), min(old.shape)))
    return found


def by_kind(changes: Sequence[WeightChange]) -> dict[str, list[WeightChange]]:
    """The changes by kind of layer, in the order of KINDS."""
    found = {kind: [one for one in changes if one.kind == kind] for kind in (*KINDS, "other")}
    return {kind: of for kind, of in found.items() if of}

"""What attention heads look at: how alike the heads of a call are, and how far their focus spreads.

With attention weights A_h [queries, keys] of head h: entropy = -sum A ln A in nats, mean over queries and rows;
entropy_spread = its standard deviation over the heads of a call; cosine = the mean over pairs of heads of the cosine of
their weights on the same queries (arXiv 2605.20441). All are means over the calls of `scaled_dot_product_attention` in
a pass, whose weights are computed again from its queries and keys. Cost: a forward pass, .1 training steps.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from rrm.probes.probe import Probe
from rrm.probes.view import Formula, View


class Heads(Probe):
    """cosine, entropy, entropy_spread."""

    name = "heads"

    @classmethod
    def lacking(cls, model: nn.Module, formula: Formula | None) -> str | None:
        heads = [getattr(module, "heads", 0) for module in model.modules()]
        return None if any(isinstance(count, int) and count > 1 for count in heads) else "several attention heads"

    @torch.no_grad()
    def measure(self, view: View) -> dict[str, Tensor]:
        with AttentionWeights() as recorded:
            (view.subject.held_out or view.subject.train)()
        found = [head_numbers(weights) for weights in recorded.weights]
        return {name: torch.stack([numbers[name] for numbers in found]).mean() for name in (found[0] if found else ())}


def head_numbers(weights: Tensor) -> dict[str, Tensor]:
    """The numbers of one call with attention weights [B, heads, queries, keys]."""
    A = weights.double()
    entropy = -torch.xlogy(A, A).sum(-1).mean((0, 2))
    unit = A / A.norm(dim=-1, keepdim=True)
    pairs = torch.einsum("bhqk,bgqk->hg", unit, unit) / (A.shape[0] * A.shape[2])
    heads = A.shape[1]
    cosine = (pairs.sum() - pairs.trace()) / max(heads * (heads - 1), 1)
    return {"cosine": cosine, "entropy": entropy.mean(), "entropy_spread": entropy.std(correction=0)}


class AttentionWeights(TorchFunctionMode):
    """Keeps the weights [B, heads, queries, keys] of every call of `scaled_dot_product_attention` in its block."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[Tensor] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is F.scaled_dot_product_attention:
            self.weights.append(_weights(*args, **(kwargs or {})))
        return func(*args, **(kwargs or {}))


def _weights(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    scores = query @ key.mT * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), -math.inf)
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -math.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
    return scores.softmax(-1)

"""What heads look at: how alike the heads of a call are, and how far their focus spreads.

With attention weights A_h [queries, keys] of head h: entropy = -sum A ln A in nats, mean over queries and rows;
entropy_spread = its standard deviation over the heads of a call; cosine = the mean over pairs of heads of the cosine of
their weights on the same queries (arXiv 2605.20441). All are means over the calls of attention in a pass, as the
method `attention_weights` of its modules gives them once more. The weights of a delta rule have both signs: the
entropy is that of |A| / sum |A|. Cost: a forward pass, .1 training steps.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rrm.probes.probe import Probe
from rrm.probes.view import Formula, View


class Heads(Probe):
    """cosine, entropy, entropy_spread."""

    name = "heads"

    @classmethod
    def lacking(cls, model: nn.Module, formula: Formula | None) -> str | None:
        return None if _attentions(model) else "attention heads"

    @torch.no_grad()
    def measure(self, view: View) -> dict[str, Tensor]:
        def numbers(module: Any, *inputs: Any) -> dict[str, Tensor]:
            return head_numbers(module.attention_weights(*inputs))

        return mean_over_calls(view, _attentions(view.subject.model), numbers)


def mean_over_calls(
    view: View, modules: Sequence[nn.Module], numbers: Callable[..., dict[str, Tensor]]
) -> dict[str, Tensor]:
    """The mean of numbers(module, *inputs) over all calls of these modules in a pass of the held-out rows."""
    found: list[dict[str, Tensor]] = []

    def record(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        found.append(numbers(module, *inputs))

    hooks = [module.register_forward_pre_hook(record) for module in modules]
    try:
        (view.subject.held_out or view.subject.train)()
    finally:
        for hook in hooks:
            hook.remove()
    return {name: torch.stack([of_call[name] for of_call in found]).mean() for name in found[0]}


def head_numbers(weights: Tensor) -> dict[str, Tensor]:
    """The numbers of one call with attention weights [B, heads, queries, keys]."""
    A = weights.double()
    share = A.abs() / A.abs().sum(-1, keepdim=True)
    entropy = -torch.xlogy(share, share).sum(-1).mean((0, 2))
    unit = A / A.norm(dim=-1, keepdim=True)
    pairs = torch.einsum("bhqk,bgqk->hg", unit, unit) / (A.shape[0] * A.shape[2])
    heads = A.shape[1]
    alike = {"cosine": (pairs.sum() - pairs.trace()) / (heads * (heads - 1))} if heads > 1 else {}
    return alike | {"entropy": entropy.mean(), "entropy_spread": entropy.std(correction=0)}


def _attentions(model: nn.Module) -> list[nn.Module]:
    """The modules that can tell their attention weights."""
    return [module for module in model.modules() if hasattr(module, "attention_weights")]

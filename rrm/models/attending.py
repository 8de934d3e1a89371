"""What attention looked at in the calls of a model: the maps that `forward` does not keep, computed once more.

    with record_attention(model, keep):
        rollout(model, batch, segments=16)

A module with heads has a method `attention_weights(*inputs)`, the weights [B, N, Q, K] for the arguments of `forward`.
Weights may have both signs, and those of a position need not add up to 1: attention has a softmax, the delta rule has
none.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rrm.errors import InputError
from rrm.models.layers import Attention, Stack
from rrm.models.transformer import CausalAttention

# Bytes of weights at a time: of 900 cells the map of one head has 3.2 MB.
BLOCK_BYTES = 64 << 20


@dataclass(frozen=True)
class Attended:
    """One module with heads in one call.

    Attributes:
        layer: name of the module.
        call: number of the network call since the recording began, from 0. In a model without recursion it is the
            number of the pass.
        module, inputs: of `forward`.
    """

    layer: str
    call: int
    module: Any
    inputs: tuple[Any, ...]

    @property
    def rows(self) -> int:
        """B."""
        return len(self.inputs[0])

    def weights(self, rows: slice = slice(None)) -> Tensor:
        """Weights [b, N, Q, K] of some of the rows, without gradient."""
        with torch.no_grad():
            return self.module.attention_weights(self.inputs[0][rows], *self.inputs[1:])

    def shares(self, rows: slice = slice(None)) -> Tensor:
        """How each position divides what it looks at among the others, [b, N, Q, K]: |weights| over their sum.

        Of attention these are the weights.
        """
        weights = self.weights(rows)
        if isinstance(self.module, (Attention, CausalAttention)):
            return weights
        weights = weights.abs()
        return weights / weights.sum(-1, keepdim=True).clamp_min(torch.finfo(weights.dtype).tiny)

    def blocks(self) -> Iterator[slice]:
        """Rows a few at a time, so that their map stays below BLOCK_BYTES, but for a single row."""
        length, heads = self.inputs[0].shape[1], head_count(self.module)
        size = max(1, BLOCK_BYTES // (4 * heads * length**2))
        return (slice(first, min(first + size, self.rows)) for first in range(0, self.rows, size))


@contextmanager
def record_attention(model: nn.Module, keep: Callable[[Attended], None]) -> Iterator[None]:
    """Within the block every module with heads tells `keep` what it attended to, before it computes.

    The results of the model are the same bit for bit, and nothing stays on the model, also after an exception. `keep`
    decides what is remembered: scores are small, maps of all calls are not.

    Raises:
        InputError: the model has no heads.
    """
    modules, counts = attentions(model), dict[str, int]()
    if not modules:
        raise InputError(_headless(model))

    def hook(layer: str, clock: Callable[[], int] | None) -> Callable[..., None]:
        def told(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            call = counts.get(layer, 0) if clock is None else clock()
            counts[layer] = counts.get(layer, 0) + 1
            keep(Attended(layer, call, module, inputs))

        return told

    with network_calls(model) as clock:
        hooks = [module.register_forward_pre_hook(hook(name, clock)) for name, module in modules.items()]
        try:
            yield
        finally:
            for one in hooks:
                one.remove()


@contextmanager
def network_calls(model: nn.Module) -> Iterator[Callable[[], int] | None]:
    """A function that tells the number of the current network call, from 0; None for a model without recursion."""
    stacks = [module for module in model.modules() if isinstance(module, Stack)]
    begun = 0

    def begin(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        nonlocal begun
        begun += 1

    hooks = [stack.register_forward_pre_hook(begin) for stack in stacks]
    try:
        yield (lambda: begun - 1) if stacks else None
    finally:
        for one in hooks:
            one.remove()


def attentions(model: nn.Module) -> dict[str, Any]:
    """The modules with heads by name, in the order of the network."""
    return {name: module for name, module in model.named_modules() if hasattr(module, "attention_weights")}


def head_count(module: Any) -> int:
    """N of a module with heads."""
    return module.num_heads if isinstance(module, CausalAttention) else module.heads


def merge_layer(module: Any) -> nn.Module:
    """The layer behind the heads, whose input [B, Q, N C] holds what head n reads in the n-th of N parts."""
    return module.out if isinstance(module, CausalAttention) else module.o_proj


def head_shape(model: nn.Module) -> tuple[list[str], int]:
    """(names of the modules with heads, N of each of them).

    Raises:
        InputError: the modules have different numbers of heads, or the model has no module with heads.
    """
    counts = {name: head_count(module) for name, module in attentions(model).items()}
    if not counts:
        raise InputError(_headless(model))
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise InputError(f"layers have different numbers of heads ({found}): give a model with one number")
    return list(counts), next(iter(counts.values()))


def _headless(model: nn.Module) -> str:
    return (
        f"{type(model).__name__} has no attention heads, layers without heads mix its positions: give a model such as "
        "trm_att, srm_att or hrm"
    )

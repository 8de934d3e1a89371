"""What attention looked at in the calls of a model: the maps that `forward` does not keep, computed once more.

    with record_attention(model, keep):
        rollout(model, batch, segments=16)

A module with heads has a method `attention_weights(*inputs)`, the weights [B, N, Q, K] for the arguments of `forward`.
Weights may have both signs, and those of a position need not add up to 1: attention has a softmax, the delta rule has
none.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from rrm.errors import InputError
from rrm.models.layers import Attention, Stack, scores_of
from rrm.models.transformer import CausalAttention

# Tells the number of the present network call, from 0; None for a model without recursion.
Clock = Callable[[], int] | None

# Bytes of weights at a time, which a cache of a core holds: of 900 cells the map of one head has 3.2 MB.
BLOCK_BYTES = 4 << 20
ALL = slice(None)


# A map of slices of rows and heads.
Part = Callable[[slice, slice], Tensor]


@dataclass(frozen=True)
class Attended:
    """One module with heads in one call.

    Attributes:
        layer: name of the module.
        call: number of the network call since the recording began, from 0. In a model without recursion it is the
            number of the pass.
        module: with heads.
        rows, positions: B and K.
        weights: weights [b, n, Q, K] of a slice of the rows and a slice of the heads, without gradient.
        scores: the same before the softmax; None for a module without one.
    """

    layer: str
    call: int
    module: Any
    rows: int
    positions: int
    weights: Part
    scores: Part | None = None

    def shares(self, rows: slice, heads: slice = ALL) -> Tensor:
        """How each position divides what it looks at among the others, [b, n, Q, K]: |weights| over their sum.

        Of attention these are the weights.
        """
        weights = self.weights(rows, heads)
        if isinstance(self.module, (Attention, CausalAttention)):
            return weights
        weights = weights.abs()
        return weights / weights.sum(-1, keepdim=True).clamp_min(torch.finfo(weights.dtype).tiny)

    def blocks(self) -> Iterator[tuple[slice, slice]]:
        """(rows, heads) a few at a time, so that their map stays below BLOCK_BYTES, but for a single head of a row.

        All heads of some rows come before the next rows. Only attention computes a part of the heads alone.
        """
        maps, heads = max(1, BLOCK_BYTES // (4 * self.positions**2)), head_count(self.module)
        size, some = max(1, maps // heads), min(heads, maps) if isinstance(self.module, Attention) else heads
        for first in range(0, self.rows, size):
            for head in range(0, heads, some):
                yield slice(first, min(first + size, self.rows)), slice(head, min(head + some, heads))


@contextmanager
def record_attention(model: nn.Module, keep: Callable[[Attended], None]) -> Iterator[None]:
    """Within the block every module with heads tells `keep` what it attends to, before its values are read.

    The results of the model are the same bit for bit, and nothing stays on the model, also after an exception. `keep`
    decides what is remembered: scores are small, maps of all calls are not.

    Raises:
        InputError: the model has no heads.
    """
    modules, passes = attentions(model), Counter[str]()
    if not modules:
        raise InputError(_headless(model))

    def tell(layer: str, clock: Clock, rows: int, positions: int, weights: Part, scores: Part | None = None) -> None:
        call = passes[layer] if clock is None else clock()
        passes[layer] += 1
        keep(Attended(layer, call, modules[layer], rows, positions, weights, scores))

    with network_calls(model) as clock, ExitStack() as watched:
        for layer, module in modules.items():
            watched.enter_context(_watching(module, partial(tell, layer, clock)))
        yield


@contextmanager
def _watching(module: Any, tell: Callable[..., None]) -> Iterator[None]:
    """Within the block a module tells (rows, positions, weights, and scores where it has them) of every pass."""

    def heads(q: Tensor, k: Tensor) -> None:
        q, k = q.detach(), k.detach()

        def scores(rows: slice, heads: slice) -> Tensor:
            return scores_of(q[rows, heads], k[rows, heads])

        tell(len(q), k.shape[-2], lambda rows, heads: scores(rows, heads).softmax(-1), scores)

    def enter(module: Any, inputs: tuple[Any, ...]) -> None:
        def weights(rows: slice, heads: slice) -> Tensor:
            with torch.no_grad():
                return module.attention_weights(inputs[0][rows], *inputs[1:])[:, heads]

        tell(len(inputs[0]), inputs[0].shape[1], weights)

    if isinstance(module, Attention):
        # Attention has queries and keys at hand, which are a quarter of the work of a block.
        module.watch = heads
        try:
            yield
        finally:
            del module.watch
        return
    hook = module.register_forward_pre_hook(enter)
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def network_calls(model: nn.Module) -> Iterator[Clock]:
    """Count the network calls of the block."""
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

"""What a network of tokens does with every pair (a, b) of an operation, whether it was trained on the pair or not."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from rrm.models.tokens import TokenModel

CHUNK = 4096  # pairs of a forward pass


def pair_tokens(p: int, operation: int, vocab_size: int) -> Tensor:
    """int64 [p * p, 4]: [a, operation, b, =] of every pair, a slower than b.

    Args:
        p: the numbers 0 to p - 1 are the first tokens.
        operation: place of the operation among those of the table; its token is behind the numbers.
        vocab_size: the last token is "=".
    """
    a, b = torch.meshgrid(torch.arange(p), torch.arange(p), indexing="ij")
    sign, equals = torch.full_like(a, p + operation), torch.full_like(a, vocab_size - 1)
    return torch.stack([a, sign, b, equals], -1).flatten(0, 1)


@torch.no_grad()
def pair_logits(model: TokenModel, p: int, operation: int = 0) -> np.ndarray:
    """Logits float64 [p, p, C] of every pair of an operation, by a, b and class."""
    parts = [model(part).double().cpu() for part in _pairs(model, p, operation)]
    return torch.cat(parts).unflatten(0, (p, p)).numpy()


@torch.no_grad()
def pair_routing(model: TokenModel, p: int, operation: int = 0) -> dict[str, np.ndarray]:
    """Weights float64 [p, p, H] of the H heads of each router by its name, at the last position, which answers.

    Empty for a network without routers.
    """
    found = [model.respond(model.embed(part)).routing for part in _pairs(model, p, operation)]
    joined = {name: torch.cat([routing[name][:, -1] for routing in found]).double().cpu() for name in found[0]}
    return {name: weights.unflatten(0, (p, p)).numpy() for name, weights in joined.items()}


def _pairs(model: TokenModel, p: int, operation: int) -> Iterator[Tensor]:
    """Tokens of every pair in parts, on the device of the network."""
    device = next(model.parameters()).device
    for part in pair_tokens(p, operation, model.config.vocab_size).split(CHUNK):
        yield part.to(device)


def number_vectors(model: TokenModel, p: int) -> np.ndarray:
    """Embeddings float64 [p, D] of the numbers."""
    vectors = model.get_parameter("embedding")[:p]
    return vectors.detach().double().cpu().numpy()

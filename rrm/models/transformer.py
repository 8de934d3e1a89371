"""A causal decoder on a few tokens, read at its last position."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rrm.errors import InputError
from rrm.models.tokens import ACTIVATIONS, Answer, Linear, TokenConfig, TokenModel, by_layer, table


@dataclass(frozen=True, kw_only=True)
class TransformerConfig(TokenConfig):
    """num_heads: of attention.  norm: a LayerNorm before each sublayer and before the unembedding ("pre"), or "none".

    tied: unembed with the embeddings of the first C tokens.
    """

    num_heads: int = 4
    norm: str = "none"
    tied: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_heads < 1 or self.hidden_size % self.num_heads:
            raise InputError(
                f"hidden_size {self.hidden_size} does not split into {self.num_heads} heads: use a divisor of it"
            )
        if self.norm not in ("none", "pre"):
            raise InputError(f"norm {self.norm!r} is unknown: use one of none, pre")
        if self.tied and self.classes > self.vocab_size:
            raise InputError(f"{self.classes} classes are more than the {self.vocab_size} tokens: leave tied out")


class CausalAttention(nn.Module):
    """Attention of each position to itself and those before it, in plain products, which torch.func differentiates."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.num_heads = heads
        self.query, self.key, self.value = (Linear(width, width) for _ in range(3))
        for layer in (self.query, self.key, self.value):
            layer.stacked = heads
        self.out = Linear(width, width)

    def heads(self, x_BSD: Tensor, asking: int) -> Tensor:
        """What each head reads at the last `asking` of the S positions: [B, asking, H, D / H]."""
        weights = self.attention_weights(x_BSD, asking).permute(0, 2, 3, 1)
        v = self.value(x_BSD).unflatten(-1, (self.num_heads, -1))
        return (weights.unsqueeze(-1) * v.unsqueeze(1)).sum(2)

    def attention_weights(self, x_BSD: Tensor, asking: int) -> Tensor:
        """How much the last `asking` positions look at each of the S positions, [B, H, asking, S]."""
        length = x_BSD.shape[1]
        q, k = (
            layer(x).unflatten(-1, (self.num_heads, -1))
            for layer, x in ((self.query, x_BSD[:, length - asking :]), (self.key, x_BSD))
        )
        # Of so few positions sums of products are three times as fast on a CPU as a batch of tiny matrix products.
        scores = (q.unsqueeze(2) * k.unsqueeze(1)).sum(-1) / q.shape[-1] ** 0.5  # [B, asking, S, H]
        if asking > 1:
            place = torch.arange(length, device=x_BSD.device)
            future = place > place[length - asking :, None]
            scores = scores.masked_fill(future.unsqueeze(-1), -torch.inf)
        return scores.softmax(2).permute(0, 3, 1, 2)

    def forward(self, x_BSD: Tensor, asking: int) -> Tensor:
        return self.out(self.heads(x_BSD, asking).flatten(2))


class FeedForward(nn.Module):
    """down(activation(up(x))); `up` has a bias, and so has `down`."""

    def __init__(self, width: int, inner: int, activation: str):
        super().__init__()
        self.up, self.down = Linear(width, inner, bias=0.0), Linear(inner, width, bias=0.0)
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.activation(self.up(x)))


class Block(nn.Module):
    """Attention, then a feed-forward layer, each added to the stream."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        width = config.hidden_size
        self.norms = nn.ModuleList(norm(config, width) for _ in range(2))
        self.attention = CausalAttention(width, config.num_heads)
        self.mlp = FeedForward(width, config.mlp_size, config.activation)

    def forward(self, x_BSD: Tensor, asking: int) -> Tensor:
        """The stream at the last `asking` positions after the block."""
        x = x_BSD[:, -asking:] + self.attention(self.norms[0](x_BSD), asking)
        return x + self.mlp(self.norms[1](x))


def norm(config: TransformerConfig, width: int) -> nn.Module:
    """A LayerNorm where the configuration asks for it."""
    return nn.LayerNorm(width) if config.norm == "pre" else nn.Identity()


class DecoderModel(TokenModel):
    """Embeddings of tokens and positions, a causal stream of layers, and an unembedding of every position."""

    config: TransformerConfig

    def __init__(self, config: TransformerConfig, layers: Iterable[nn.Module]):
        super().__init__()
        self.config = config
        self.embedding = table(config.vocab_size, config.hidden_size)
        self.positions = table(config.seq_len, config.hidden_size)
        self.layers = nn.ModuleList(layers)
        self.final_norm = norm(config, config.hidden_size)
        self.unembedding = None if config.tied else Linear(config.hidden_size, config.classes)

    def embed(self, tokens_BS: Tensor) -> Tensor:
        return F.embedding(tokens_BS.long(), self.embedding) + self.positions

    def unembed(self, x: Tensor) -> Tensor:
        """Logits [..., C] of the stream [..., D] after its last norm."""
        if self.unembedding is not None:
            return self.unembedding(x)
        return x @ self.embedding[: self.config.classes].mT

    def respond(self, x: Tensor) -> Answer:
        return self.respond_at(x, 1)

    def respond_at(self, x_BSD: Tensor, asking: int) -> Answer:
        """The answer read at position S - `asking`, the first of the last `asking` positions.

        The last layer computes those positions alone: the others cannot change the answer.
        """
        found, routing, gates = self.stream(x_BSD, asking)
        h = self.final_norm(found[-1][:, 0])
        return Answer(self.unembed(h), h, by_layer(found), routing, gates)

    def stream(self, x_BSD: Tensor, asking: int) -> tuple[list[Tensor], dict[str, Tensor], Tensor | None]:
        """-> (the stream after each layer, and routing and gates as in `Answer`).

        After the last layer the stream has the last `asking` positions alone.
        """
        raise NotImplementedError


class Transformer(DecoderModel):
    """A decoder of `num_layers` blocks; without norms and with one layer, that of Nanda et al., arXiv 2301.05217."""

    def __init__(self, config: TransformerConfig):
        super().__init__(config, (Block(config) for _ in range(config.num_layers)))

    def stream(self, x_BSD: Tensor, asking: int) -> tuple[list[Tensor], dict[str, Tensor], Tensor | None]:
        found: list[Tensor] = []
        for number, layer in enumerate(self.layers, start=1):
            x_BSD = layer(x_BSD, asking if number == len(self.layers) else x_BSD.shape[1])
            found.append(x_BSD)
        return found, {}, None

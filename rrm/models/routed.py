"""Networks whose layers have several heads, of which a router takes as much as it likes from row to row.

A router gives H weights that add up to 1, and head h counts H times its weight: where all weights are equal, the layer
is the one without a router. `SingleHead` is that control: the same layers, undivided.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor, nn

from rrm.errors import InputError
from rrm.models.token_mlp import ReadingModel, TokenMLPConfig
from rrm.models.tokens import Answer, Linear, by_layer
from rrm.models.transformer import CausalAttention, DecoderModel, FeedForward, TransformerConfig, norm


class Router(nn.Module):
    """softmax(W x + b): weights [..., H] of the heads of a layer with input x [..., D]; equal at the start."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.choose = Linear(width, heads, bias=0.0)
        nn.init.zeros_(self.choose.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.choose(x).softmax(-1)


def shared_out(heads: Tensor, weights: Tensor) -> Tensor:
    """Heads [..., H, K], each times H times its weight [..., H], side by side: [..., H K]."""
    return (heads * (weights * weights.shape[-1]).unsqueeze(-1)).flatten(-2)


class RoutedFeedForward(FeedForward):
    """A feed-forward layer whose hidden units are divided among the heads of a router."""

    def __init__(self, width: int, inner: int, activation: str, heads: int):
        super().__init__(width, inner, activation)
        self.num_heads = heads
        self.router = Router(width, heads)

    def routed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """-> (output [..., D], weights [..., H])."""
        weights = self.router(x)
        hidden = self.activation(self.up(x)).unflatten(-1, (self.num_heads, -1))
        return self.down(shared_out(hidden, weights)), weights


class ResidualMLP(ReadingModel):
    """Embeddings to a stream [B, D] to which each layer adds, and an unembedding of the stream."""

    def __init__(self, config: TokenMLPConfig, layers: Iterable[nn.Module]):
        super().__init__(config)
        self.projection = Linear(self.read_size, config.hidden_size)
        self.layers = nn.ModuleList(layers)
        self.unembedding = Linear(config.hidden_size, config.classes)


class SingleHead(ResidualMLP):
    """`num_layers` feed-forward layers of one head each: the control of a routed perceptron."""

    def __init__(self, config: TokenMLPConfig):
        shape = config.hidden_size, config.mlp_size, config.activation
        super().__init__(config, (FeedForward(*shape) for _ in range(config.num_layers)))

    def respond(self, x: Tensor) -> Answer:
        h, found = self.projection(x.flatten(1)), []
        for layer in self.layers:
            h = h + layer(h)
            found.append(h)
        return Answer(self.unembedding(h), h, by_layer(found))


@dataclass(frozen=True, kw_only=True)
class RoutedMLPConfig(TokenMLPConfig):
    """num_ffn_heads: heads of a feed-forward layer."""

    num_ffn_heads: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ffn_heads(self.mlp_size, self.num_ffn_heads)


def check_ffn_heads(inner: int, heads: int) -> None:
    """InputError where the hidden units of a layer do not divide among its heads."""
    if heads < 1 or inner % heads:
        raise InputError(f"mlp_size {inner} does not split into {heads} heads: set num_ffn_heads to a divisor of it")


class RoutedMLP(ResidualMLP):
    """`num_layers` feed-forward layers, each with a router that reads the stream."""

    config: RoutedMLPConfig

    def __init__(self, config: RoutedMLPConfig):
        shape = config.hidden_size, config.mlp_size, config.activation, config.num_ffn_heads
        super().__init__(config, (RoutedFeedForward(*shape) for _ in range(config.num_layers)))

    def undecayed(self) -> set[str]:
        return _of_routers(self)

    def respond(self, x: Tensor) -> Answer:
        h, found, routing = self.projection(x.flatten(1)), [], {}
        for number, layer in enumerate(self.layers):
            assert isinstance(layer, RoutedFeedForward)
            out, weights = layer.routed(h)
            h, routing[f"layer_{number}"] = h + out, weights.unsqueeze(1)
            found.append(h)
        return Answer(self.unembedding(h), h, by_layer(found), routing)


@dataclass(frozen=True, kw_only=True)
class RoutedTransformerConfig(TransformerConfig):
    """num_ffn_heads: heads of a feed-forward layer, beside `num_heads` of attention."""

    num_ffn_heads: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ffn_heads(self.mlp_size, self.num_ffn_heads)


class RoutedBlock(nn.Module):
    """A block with a router over the heads of its attention, and one over those of its feed-forward layer.

    The routers read the position that they route, which has seen no later one: the block is as causal as the one
    without routers.
    """

    def __init__(self, config: RoutedTransformerConfig):
        super().__init__()
        width = config.hidden_size
        self.norms = nn.ModuleList(norm(config, width) for _ in range(2))
        self.attention = CausalAttention(width, config.num_heads)
        self.router = Router(width, config.num_heads)
        self.mlp = RoutedFeedForward(width, config.mlp_size, config.activation, config.num_ffn_heads)

    def forward(self, x_BSD: Tensor, asking: int) -> tuple[Tensor, Tensor, Tensor]:
        """-> (the stream at the last `asking` positions, weights of attention, weights of the feed-forward layer)."""
        normed = self.norms[0](x_BSD)
        of_attention = self.router(normed[:, -asking:])
        x = x_BSD[:, -asking:] + self.attention.out(shared_out(self.attention.heads(normed, asking), of_attention))
        out, of_mlp = self.mlp.routed(self.norms[1](x))
        return x + out, of_attention, of_mlp


class RoutedTransformer(DecoderModel):
    """A causal decoder of `num_layers` routed blocks."""

    def __init__(self, config: RoutedTransformerConfig):
        super().__init__(config, (RoutedBlock(config) for _ in range(config.num_layers)))

    def undecayed(self) -> set[str]:
        return _of_routers(self)

    def stream(self, x_BSD: Tensor, asking: int) -> tuple[list[Tensor], dict[str, Tensor], Tensor | None]:
        found: list[Tensor] = []
        routing: dict[str, Tensor] = {}
        for number, layer in enumerate(self.layers):
            last = number + 1 == len(self.layers)
            x_BSD, of_attention, of_mlp = layer(x_BSD, asking if last else x_BSD.shape[1])
            found.append(x_BSD)
            routing |= {f"layer_{number}_attention": of_attention, f"layer_{number}_mlp": of_mlp}
        return found, routing, None


def _of_routers(model: nn.Module) -> set[str]:
    """The parameters of all routers, which weight decay would pull to equal weights."""
    return {name for name, _ in model.named_parameters() if ".router." in name}

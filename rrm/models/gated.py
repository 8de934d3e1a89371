"""Networks that learn how much of themselves to use: a gate from 0 to 1 on each layer.

    h <- rms_norm(h + gate * rms_norm(layer(h)))

Both norms have no gains, so that a small gate cannot be made up for by large weights of its layer or a small stream:
the gate alone says how much the layer counts. The sum of the gates is the effective depth.
"""

import torch
from torch import Tensor, nn

from rrm.models.layers import rms_norm
from rrm.models.routed import ResidualMLP
from rrm.models.token_mlp import TokenMLPConfig
from rrm.models.tokens import Answer, by_layer
from rrm.models.transformer import CausalAttention, DecoderModel, FeedForward, TransformerConfig

OPEN = 2.0  # logit of a gate at the start, which is then 0.88


class Gates(nn.Module):
    """G gates, sigmoids of trained logits. Weight decay would pull them to one half, so it leaves them alone."""

    def __init__(self, count: int):
        super().__init__()
        self.logits = nn.Parameter(torch.full((count,), OPEN))

    def forward(self) -> Tensor:
        return self.logits.sigmoid()


def gated(h: Tensor, gate: Tensor, out: Tensor) -> Tensor:
    """The stream h after a layer whose output is `out`."""
    return rms_norm(h + gate * rms_norm(out))


class GatedMLP(ResidualMLP):
    """`num_layers` feed-forward layers with a gate each."""

    def __init__(self, config: TokenMLPConfig):
        shape = config.hidden_size, config.mlp_size, config.activation
        super().__init__(config, (FeedForward(*shape) for _ in range(config.num_layers)))
        self.gates = Gates(config.num_layers)

    @property
    def layer_costs(self) -> list[float]:
        return [2.0 * self.config.hidden_size * self.config.mlp_size] * self.config.num_layers

    def undecayed(self) -> set[str]:
        return {"gates.logits"}

    def respond(self, x: Tensor) -> Answer:
        h, found, gates = rms_norm(self.projection(x.flatten(1))), [], self.gates()
        for gate, layer in zip(gates, self.layers, strict=True):
            h = gated(h, gate, layer(h))
            found.append(h)
        return Answer(self.unembedding(h), h, by_layer(found), gates=gates)


class GatedTransformer(DecoderModel):
    """A causal decoder with two gates a block: one on its attention, one on its feed-forward layer."""

    def __init__(self, config: TransformerConfig):
        width = config.hidden_size
        super().__init__(
            config,
            (
                layer
                for _ in range(config.num_layers)
                for layer in (
                    CausalAttention(width, config.num_heads),
                    FeedForward(width, config.mlp_size, config.activation),
                )
            ),
        )
        self.gates = Gates(len(self.layers))

    @property
    def layer_costs(self) -> list[float]:
        width, length = self.config.hidden_size, self.config.seq_len
        attention = 4.0 * width * width * length + 2.0 * length * length * width
        return [attention, 2.0 * width * self.config.mlp_size * length] * self.config.num_layers

    def undecayed(self) -> set[str]:
        return {"gates.logits"}

    def stream(self, x_BSD: Tensor, asking: int) -> tuple[list[Tensor], dict[str, Tensor], Tensor | None]:
        found: list[Tensor] = []
        h, gates, length = rms_norm(x_BSD), self.gates(), x_BSD.shape[1]
        for number, (gate, layer) in enumerate(zip(gates, self.layers, strict=True)):
            if isinstance(layer, CausalAttention):
                asked = asking if number + 2 == len(self.layers) else length
                h = gated(h[:, -asked:], gate, layer(h, asked))
            else:
                h = gated(h, gate, layer(h))
            found.append(h)
        return found, {}, gates

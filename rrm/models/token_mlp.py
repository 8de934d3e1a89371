"""A perceptron on the concatenated embeddings of tokens."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from rrm.errors import InputError
from rrm.models.tokens import ACTIVATIONS, Answer, Linear, TokenConfig, TokenModel, by_layer, table

# The positions of [a, operation, b, =] that a network without attention reads.
READS = {"operands": (0, 2), "operation": (0, 1, 2)}


@dataclass(frozen=True, kw_only=True)
class TokenMLPConfig(TokenConfig):
    """reads: a name in READS; "operands" do where all rows have one operation."""

    reads: str = "operands"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reads not in READS:
            raise InputError(f"reads {self.reads!r} is unknown: use one of {', '.join(READS)}")
        if self.seq_len <= READS[self.reads][-1]:
            needed = READS[self.reads][-1] + 1
            raise InputError(f"seq_len is {self.seq_len}: reads {self.reads!r} needs {needed} tokens")


class ReadingModel(TokenModel):
    """A network that reads the tokens at the positions of its `reads` all at once."""

    config: TokenMLPConfig

    def __init__(self, config: TokenMLPConfig):
        super().__init__()
        self.config = config
        self.embedding = table(config.vocab_size, config.hidden_size)

    @property
    def read_size(self) -> int:
        """Numbers in the concatenated embeddings."""
        return len(READS[self.config.reads]) * self.config.hidden_size

    def embed(self, tokens_BS: Tensor) -> Tensor:
        return F.embedding(tokens_BS[:, READS[self.config.reads]].long(), self.embedding)


class TokenMLP(ReadingModel):
    """`num_layers` hidden layers of `mlp_size` units with biases, and a linear unembedding without."""

    def __init__(self, config: TokenMLPConfig):
        super().__init__(config)
        widths = [self.read_size] + [config.mlp_size] * config.num_layers
        self.layers = nn.ModuleList(
            Linear(before, after, bias=0.0) for before, after in zip(widths[:-1], widths[1:], strict=True)
        )
        self.unembedding = Linear(config.mlp_size, config.classes)

    def respond(self, x: Tensor) -> Answer:
        h, found = x.flatten(1), []
        for layer in self.layers:
            h = ACTIVATIONS[self.config.activation](layer(h))
            found.append(h)
        return Answer(self.unembedding(h), h, by_layer(found))

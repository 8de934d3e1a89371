"""Networks from a short row of tokens to one class, such as an equation and its answer.

Shape suffixes: B batch, S tokens, D hidden width, C classes, H heads.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rrm.errors import InputError
from rrm.models import layers

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu}


class Linear(layers.Linear):
    """`layers.Linear` by PyTorch's own product: on thin matrices `rrm.models.products` is many times as slow."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


@dataclass(frozen=True, kw_only=True)
class TokenConfig:
    """Shape of a network from S = `seq_len` tokens of `vocab_size` to C = `classes`.

    hidden_size: D.  mlp_size: units of each hidden layer.  num_layers: layers.  activation: a name in ACTIVATIONS.
    """

    vocab_size: int
    classes: int
    seq_len: int = 4
    hidden_size: int = 64
    mlp_size: int = 256
    num_layers: int = 1
    activation: str = "relu"

    def __post_init__(self) -> None:
        for name in ("vocab_size", "classes", "seq_len", "hidden_size", "mlp_size", "num_layers"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}: it must be at least 1")
        if self.activation not in ACTIVATIONS:
            raise InputError(f"activation {self.activation!r} is unknown: use one of {', '.join(ACTIVATIONS)}")


@dataclass
class Answer:
    """All that a forward pass of a token network finds.

    logits: [B, C].  representation: [B, R], the input of the unembedding.  layers: what leaves each layer, [B, K], or
    [B, P, K] at P positions, by the layer's name as `TokenModel.layers_of` has it.  routing: by router its weights
    [B, P, H], which add up to 1 over H heads; empty without routers.  gates: [G] from 0 (closed) to 1, one a layer;
    None without gates.
    """

    logits: Tensor
    representation: Tensor
    layers: dict[str, Tensor]
    routing: dict[str, Tensor] = field(default_factory=dict)
    gates: Tensor | None = None


class TokenModel(nn.Module, ABC):
    """A network that answers in two steps, so that probes can stand between them: embeddings, then the answer.

    Subclasses set `config` and define the abstract methods. Both are pure functions of the weights and their argument:
    nothing is kept between two calls, and torch.func may transform them.
    """

    config: TokenConfig

    @abstractmethod
    def embed(self, tokens_BS: Tensor) -> Tensor:
        """Tokens [B, S] -> embeddings [B, S', D] of the S' tokens that the network reads.

        IndexError for a token that is no row of the table.
        """

    @abstractmethod
    def respond(self, x: Tensor) -> Answer:
        """The answer to embeddings [B, S', D], with everything on the way to it."""

    def answer(self, x: Tensor) -> Tensor:
        """Logits [B, C] of embeddings."""
        return self.respond(x).logits

    def representation(self, x: Tensor) -> Tensor:
        """[B, R]: what the unembedding reads, of embeddings."""
        return self.respond(x).representation

    def forward(self, tokens_BS: Tensor) -> Tensor:
        """Logits [B, C] of tokens [B, S]."""
        return self.answer(self.embed(tokens_BS))

    @property
    def layer_costs(self) -> list[float]:
        """Multiplications of a row in each of the G layers that have a gate; empty without gates."""
        return []

    def undecayed(self) -> set[str]:
        """Names of parameters that weight decay leaves alone."""
        return set()

    def side(self, x: Tensor) -> dict[str, Tensor]:
        """Routing by router [B, P, H] and "gates" [G], of embeddings; empty for a network without either."""
        found = self.respond(x)
        return found.routing if found.gates is None else found.routing | {"gates": found.gates}

    def layers_of(self) -> dict[str, list[nn.Parameter]]:
        """The parameters by layer, such as "embedding", "layers.0" and "unembedding", in the order of the network."""
        found: dict[str, list[nn.Parameter]] = {}
        for name, parameter in self.named_parameters():
            parts = name.split(".")
            layer = ".".join(parts[:2]) if len(parts) > 1 and parts[1].isdigit() else parts[0]
            found.setdefault(layer, []).append(parameter)
        return found

    def hidden_matrices(self) -> dict[str, int]:
        """The weight matrices between hidden layers by name, each with the number of matrices stacked in it."""
        return {
            f"{name}.weight": layer.stacked
            for name, layer in self.named_modules()
            if isinstance(layer, Linear) and name.startswith("layers.")
        }


def by_layer(found: Iterable[Tensor]) -> dict[str, Tensor]:
    """What leaves the layers of a network, in their order, by their names."""
    return {f"layers.{number}": x for number, x in enumerate(found)}


def table(rows: int, width: int) -> nn.Parameter:
    """A table of embeddings [rows, width], normal with standard deviation 1 / sqrt(width)."""
    return nn.Parameter(torch.randn(rows, width) / width**0.5)

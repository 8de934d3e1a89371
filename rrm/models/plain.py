"""Networks without recursion: one pass from the tokens of a puzzle to the logits of its answer."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from rrm.errors import InputError
from rrm.models import layers


@dataclass(frozen=True, kw_only=True)
class PlainConfig:
    """Shape of a network without recursion on S = `seq_len` tokens of V = `vocab_size`."""

    vocab_size: int
    seq_len: int
    hidden_size: int


class PlainModel(nn.Module, ABC):
    """A network that answers in one forward pass. Subclasses set `config` and define the abstract methods."""

    config: PlainConfig

    @abstractmethod
    def forward(self, inputs_BS: Tensor) -> Tensor:
        """Tokens [B, S] -> logits [B, S, V]; ValueError for a token that is no whole number from 0 to V - 1."""

    @abstractmethod
    def hidden_matrices(self) -> dict[str, int]:
        """The weight matrices between hidden layers by name, each with the number of matrices stacked in it."""


@dataclass(frozen=True, kw_only=True)
class MLPConfig(PlainConfig):
    """Shape of an MLP: `num_layers` hidden layers of width `hidden_size`."""

    num_layers: int = 2

    def __post_init__(self) -> None:
        for name in ("vocab_size", "seq_len", "hidden_size", "num_layers"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}: it must be at least 1")


class MLP(PlainModel):
    """relu layers on the concatenated one-hot tokens, and a linear readout of all positions at once."""

    def __init__(self, config: MLPConfig):
        super().__init__()
        self.config = config
        cells, width = config.seq_len * config.vocab_size, config.hidden_size
        widths = [cells] + [width] * config.num_layers
        self.hidden = nn.ModuleList(
            layers.Linear(before, after, bias=0.0) for before, after in zip(widths[:-1], widths[1:], strict=True)
        )
        self.readout = layers.Linear(width, cells, bias=0.0)

    def hidden_matrices(self) -> dict[str, int]:
        return {f"hidden.{number}.weight": 1 for number in range(1, len(self.hidden))}

    def forward(self, inputs_BS: Tensor) -> Tensor:
        # A look at every batch would keep a training on an accelerator waiting.
        checked = not self.training or inputs_BS.device.type == "cpu"
        tokens = layers.row_numbers(inputs_BS, self.config.vocab_size, "token") if checked else inputs_BS.long()
        h = F.one_hot(tokens, self.config.vocab_size).flatten(1).to(self.readout.weight.dtype)
        for layer in self.hidden:
            h = F.relu(layer(h))
        return self.readout(h).view(*inputs_BS.shape, self.config.vocab_size)

"""Tiny Recursive Model (Jolicoeur-Martineau, arXiv 2510.04871): one small network for both halves of the state."""

from dataclasses import dataclass, replace

from rrm.models import layers
from rrm.models.config import ReasonerConfig
from rrm.models.reasoner import Reasoner


@dataclass(frozen=True, kw_only=True)
class TRMConfig(ReasonerConfig):
    """Settings of a TRM.

    Attributes:
        mlp_t: a SwiGLU mixes positions instead of attention.
        puzzle_emb_len: positions of the prefix; positions that the puzzle vector leaves free serve as registers.
    """

    mlp_t: bool
    H_cycles: int = 3
    L_cycles: int = 6
    L_layers: int = 2
    puzzle_emb_len: int = 0

    @property
    def attention(self) -> bool:
        return not self.mlp_t

    @property
    def prefix(self) -> int:
        return self.puzzle_emb_len


class TRM(Reasoner):
    """H_cycles times (L_cycles z_L calls, then one z_H call); the last cycle carries gradient.

    Defaults of the paper (H 3, L 6): 21 calls a segment, 7 with gradient.
    """

    L_level: layers.Stack

    def __init__(self, config: TRMConfig):
        super().__init__(config, {"L_level": config.L_layers})
        self.set_cycles(config.H_cycles, config.L_cycles)

    def set_cycles(self, H_cycles: int, L_cycles: int) -> None:
        """Make a segment so deep from now on, in the configuration (and so in checkpoints) too."""
        self.config = replace(self.config, H_cycles=H_cycles, L_cycles=L_cycles)
        self.segment_calls = self.config.cycle * H_cycles
        self.grad_calls = len(self.config.cycle)

    def network(self, half: str) -> layers.Stack:
        return self.L_level

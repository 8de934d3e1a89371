"""Tiny Recursive Model (Jolicoeur-Martineau, arXiv 2510.04871): one small network for both halves of the state."""

from dataclasses import dataclass

from rrm.models import layers
from rrm.models.reasoner import Reasoner, ReasonerConfig


@dataclass(frozen=True, kw_only=True)
class TRMConfig(ReasonerConfig):
    """Shape of a TRM.

    `mlp_t` mixes positions by a SwiGLU instead of attention. The prefix holds `puzzle_emb_len` positions: what the
    puzzle vector does not fill are registers.
    """

    mlp_t: bool
    H_cycles: int = 3
    L_cycles: int = 6
    L_layers: int = 2
    puzzle_emb_len: int = 0


class TRM(Reasoner):
    """H_cycles times (L_cycles z_L calls, then one z_H call); the last cycle carries gradient.

    Defaults of the paper (H 3, L 6): 21 calls a segment, 7 with gradient.
    """

    def __init__(self, config: TRMConfig):
        super().__init__(config, {"L_level": config.L_layers})
        self.segment_calls = config.cycle * config.H_cycles
        self.grad_calls = len(config.cycle)

    def network(self, half: str) -> layers.Stack:
        return self.L_level

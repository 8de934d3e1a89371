"""Tiny Recursive Model (Jolicoeur-Martineau, arXiv 2510.04871): one small network for both halves of the state."""

from dataclasses import dataclass

import torch

from rrm.models import layers
from rrm.models.base import State
from rrm.models.reasoner import Reasoner, ReasonerConfig


@dataclass(frozen=True, kw_only=True)
class TRMConfig(ReasonerConfig):
    """Shape of a TRM.

    `mlp_t` mixes positions by a SwiGLU instead of attention. The prefix holds `puzzle_emb_len` positions: what the
    puzzle vector does not fill are registers.

    `damping`, `call_noise` and `random_start` make it EqR (arXiv 2605.21488; .95, .01, True): damped updates, noise at
    every call in training and evaluation, and a start drawn anew for every row, position and channel.
    """

    mlp_t: bool
    H_cycles: int = 3
    L_cycles: int = 6
    L_layers: int = 2
    puzzle_emb_len: int = 0
    damping: float = 1.0
    call_noise: float = 0.0
    random_start: bool = False


class TRM(Reasoner):
    """H_cycles times (L_cycles z_L calls, then one z_H call); the last cycle carries gradient.

    Defaults of the paper (H 3, L 6): 21 calls a segment, 7 with gradient.
    """

    def __init__(self, config: TRMConfig):
        super().__init__(config, {"L_level": config.L_layers})
        self.segment_calls = config.cycle * config.H_cycles
        self.grad_calls = len(config.cycle)
        self.damping, self.call_noise = config.damping, config.call_noise

    def initial_state(self, batch_size: int, generator: torch.Generator | None = None) -> State:
        state = super().initial_state(batch_size)
        if not self.config.random_start:
            return state
        return State(*(layers.truncated_normal_(torch.empty(half.shape), 1.0, generator).to(half) for half in state))

    def network(self, half: str) -> layers.Stack:
        return self.L_level

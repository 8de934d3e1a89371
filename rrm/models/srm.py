"""Recursive Stem Model (Hakimi, arXiv 2603.15641): TRM's backbone, trained from the start state at a growing depth."""

from dataclasses import dataclass, replace

from rrm.models import layers
from rrm.models.reasoner import Reasoner
from rrm.models.trm import TRMConfig


@dataclass(frozen=True, kw_only=True)
class SRMConfig(TRMConfig):
    """Settings of an SRM. `H_cycles` is the number of segments of a training rollout and does not shape the network."""

    H_cycles: int = 2
    L_cycles: int = 2
    L_layers: int = 1


class SRM(Reasoner):
    """A segment is one outer cycle, L_cycles z_L calls and one z_H call, all with gradient.

    A rollout is any number of cycles from the start state: some in training, up to thousands in evaluation. The model
    has no Q head, and its output layer is the token table.
    """

    carries_state = False
    has_q_head = False
    mixer_block = layers.ChannelNormMixerBlock

    core: layers.Stack

    def __init__(self, config: SRMConfig):
        super().__init__(config, {"core": config.L_layers})
        self.lm_head.weight = self.embed_tokens.embedding_weight
        self.set_L_cycles(config.L_cycles)

    def set_L_cycles(self, L_cycles: int) -> None:
        """Make a segment `L_cycles` z_L calls deep from now on, in the configuration (and so in checkpoints) too."""
        self.config = replace(self.config, L_cycles=L_cycles)
        self.segment_calls = self.config.cycle
        self.grad_calls = len(self.segment_calls)

    def network(self, half: str) -> layers.Stack:
        return self.core

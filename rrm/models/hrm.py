"""Hierarchical Reasoning Model (Wang et al., arXiv 2506.21734): a slow and a fast network of attention blocks."""

from dataclasses import dataclass, replace
from typing import ClassVar

from rrm.errors import InputError
from rrm.models import layers
from rrm.models.config import ReasonerConfig
from rrm.models.reasoner import Reasoner


@dataclass(frozen=True, kw_only=True)
class HRMConfig(ReasonerConfig):
    """Settings of an HRM: `L_layers` blocks update z_L, and `H_layers` (None: as many) update z_H."""

    position_encodings: ClassVar[tuple[str, ...]] = ("learned", "rope", "rope_2d")

    H_cycles: int = 2
    L_cycles: int = 2
    L_layers: int = 4
    H_layers: int | None = None
    pos_encodings: str = "rope"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.H_layers is None:
            object.__setattr__(self, "H_layers", self.L_layers)
        elif self.H_layers < 1:
            raise InputError(f"H_layers is {self.H_layers}: it must be at least 1")

    @property
    def attention(self) -> bool:
        return True

    @property
    def prefix(self) -> int:
        """As many positions as the puzzle vector needs."""
        return -(-self.puzzle_emb_ndim // self.hidden_size)


class HRM(Reasoner):
    """H_cycles times (L_cycles z_L calls, then one z_H call); the last call of each half carries gradient.

    Defaults of the paper (H 2, L 2): 6 calls a segment, 2 with gradient (the one-step approximation).
    """

    q_learning = True

    H_level: layers.Stack
    L_level: layers.Stack

    def __init__(self, config: HRMConfig):
        super().__init__(config, {"H_level": config.H_layers or config.L_layers, "L_level": config.L_layers})
        self.set_cycles(config.H_cycles, config.L_cycles)
        self.grad_calls = 2

    def set_cycles(self, H_cycles: int, L_cycles: int) -> None:
        """Make a segment so deep from now on, in the configuration (and so in checkpoints) too."""
        self.config = replace(self.config, H_cycles=H_cycles, L_cycles=L_cycles)
        self.segment_calls = self.config.cycle * H_cycles

    def network(self, half: str) -> layers.Stack:
        return self.H_level if half == "H" else self.L_level

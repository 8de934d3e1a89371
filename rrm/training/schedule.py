"""What changes in the course of training: the learning rate, and the depth of a model that grows."""

import math
from dataclasses import dataclass


def lr_factor(step: int, total_steps: int, warmup_steps: int, min_ratio: float) -> float:
    """Linear warm-up over `warmup_steps`, then a half cosine down to `min_ratio` (1: constant). Steps count from 1."""
    if step < warmup_steps:
        return step / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return min_ratio + (1 - min_ratio) * 0.5 * (1 + math.cos(math.pi * progress))


@dataclass(frozen=True)
class Growth:
    """Depth that grows at milestones, H and L apart (Recursive Stem Model, arXiv 2603.15641).

    `H` and `L` list (percent of training, increment); depth is the base plus all increments whose milestone is reached.
    """

    base_H: int
    base_L: int
    H: tuple[tuple[float, int], ...] = ()
    L: tuple[tuple[float, int], ...] = ()

    def depth(self, step: int, total_steps: int) -> tuple[int, int]:
        """(H_cycles, L_cycles) at a step."""
        percent = 100 * step / total_steps
        grown = (sum(by for at, by in milestones if percent >= at) for milestones in (self.H, self.L))
        return tuple(base + more for base, more in zip((self.base_H, self.base_L), grown, strict=True))

    def last_transition(self, step: int, total_steps: int) -> int:
        """The last step at which the depth changed, 0 if it never did."""
        steps = (math.ceil(at * total_steps / 100) for at, _ in (*self.H, *self.L))
        return max((s for s in steps if s <= step), default=0)

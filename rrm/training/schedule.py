"""What changes in the course of training: the learning rate, and the depth of a model that grows."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

# Factor on the learning rate by (step from 1, total_steps, warmup_steps, min_ratio).
Schedule = Callable[[int, int, int, float], float]


def cosine(step: int, total_steps: int, warmup_steps: int, min_ratio: float) -> float:
    """Linear warm-up over `warmup_steps`, then a half cosine down to `min_ratio` (1: constant)."""
    if step < warmup_steps:
        return step / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return min_ratio + (1 - min_ratio) * 0.5 * (1 + math.cos(math.pi * progress))


def constant(step: int, total_steps: int, warmup_steps: int, min_ratio: float) -> float:
    """Linear warm-up over `warmup_steps`, then 1."""
    return min(1.0, step / warmup_steps) if warmup_steps else 1.0


def phases(step: int, total_steps: int, warmup_steps: int, min_ratio: float) -> float:
    """Linear warm-up, then 1, 1/2 and 1/10 in equal thirds of the training, as 1e-4, 5e-5 and 1e-5 are."""
    if step < warmup_steps:
        return step / warmup_steps
    return (1.0, 0.5, 0.1)[3 * (step - 1) // total_steps]


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
        grown = (
            sum(by for at, by in milestones if step >= _first_step(at, total_steps)) for milestones in (self.H, self.L)
        )
        more_H, more_L = grown
        return self.base_H + more_H, self.base_L + more_L

    def last_transition(self, step: int, total_steps: int) -> int:
        """The last step at which the depth changed, 0 if it never did."""
        steps = (_first_step(at, total_steps) for at, _ in (*self.H, *self.L))
        return max((s for s in steps if s <= step), default=0)


@cache
def _first_step(percent: float, total_steps: int) -> int:
    """The first step at which at least `percent` of the steps are done, in the decimals that the number is written in.

    In binary 20.1 % of 3,000 steps would be 603 in one order of the operations and a little more in the other.
    """
    return math.ceil(Fraction(str(percent)) * total_steps / 100)

"""The specification of a sweep over test-time settings. Light to import."""

from collections.abc import Sequence
from dataclasses import dataclass

from rrm.halves import ROLLOUTS


@dataclass(frozen=True)
class SelectorSpec:
    """A recipe of a sweep over test-time settings; see `tune_specs/selector_sweep.py`.

    sigmas: standard deviations of the noise, state units.  where: halves of the state that get noise.  K: numbers of
    rollouts to choose from.  depths: of the rollouts, in units of the model's own in evaluation.  choose_on: share
    (below 1) or number of the puzzles on which sigma and where are chosen.  deepest: segments beyond which no rollout
    without noise is run for comparison.  rollouts: "noise" for every sigma and half, "symmetry" for symmetric copies
    without noise.
    """

    sigmas: Sequence[float]
    where: Sequence[str]
    K: Sequence[int]
    depths: Sequence[float]
    choose_on: float
    deepest: int
    rollouts: Sequence[str] = ROLLOUTS

"""The selectors that a report sets side by side, by name: what each goes by, and the price of asking.

To add a selector, name the measurement that it goes by in `SCORES`, or a rule that stops rollouts in
`rrm.dynamics.stopping.STOPS` and here in `FIRST`. Random, majority and oracle are those of `rrm.statistics.selection`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rrm.dynamics.stochastic import SPAN, StochasticResult
from rrm.statistics.selection import Stops

BEST_Q, RESIDUAL, STABLE, EXPONENT = "best Q", "lowest residual", "most stable", "lowest lambda_1"
FIRST_HALT, FIRST_SETTLED = "first to halt", "first settled"
# The selector of each rule of `rrm.dynamics.stopping.STOPS`.
FIRST = {"halt": FIRST_HALT, "settle": FIRST_SETTLED}


@dataclass(frozen=True)
class Score:
    """A measurement of rollouts by which one is chosen.

    Attributes:
        measured: [N, R, M] of a result.
        sign: -1 where the lowest wins.
        extra: segments beyond the rollout itself that the measurement takes at some depth; a segment of a tangent
            counts as one.
    """

    measured: Callable[[StochasticResult], np.ndarray]
    sign: int
    extra: Callable[[int], int]


SCORES = {
    BEST_Q: Score(lambda result: result.q_halt, 1, lambda depth: 0),
    RESIDUAL: Score(lambda result: result.residual, -1, lambda depth: 1),
    STABLE: Score(lambda result: result.growth, -1, lambda depth: min(SPAN, depth)),
    EXPONENT: Score(lambda result: result.lambda_1, -1, lambda depth: depth),
}


def scores(result: StochasticResult, place: int) -> dict[str, np.ndarray]:
    """[N, K] by which each selector ranks the noisy rollouts at depths[place]: the highest wins.

    A measurement that no rollout has, such as Q of a model without Q head, is left out.
    """
    known = {name: score.sign * score.measured(result)[:, 1:, place] for name, score in SCORES.items()}
    return {name: score for name, score in known.items() if np.isfinite(score).any()}


def stops(result: StochasticResult, place: int, outcome: str) -> dict[str, Stops]:
    """The noisy rollouts at depths[place] as those stop them who take the first; `outcome` is the meaning of solved.

    Without a Q head there is no halting; a result of an older version knows no stops.
    """
    found: dict[str, Stops] = {}
    segment, rank, right = result.stop_segment, result.stop_rank, getattr(result, f"stop_{outcome}")
    if segment is None or rank is None or right is None:
        return found
    for at, rule in enumerate(result.stops.split()):
        within = (segment[:, 1:, at] > 0) & (segment[:, 1:, at] <= result.depths[place])
        solved = np.where(within, right[:, 1:, at], getattr(result, outcome)[:, 1:, place])
        if rule in FIRST and (rule != "halt" or np.isfinite(result.q_halt).any()):
            found[FIRST[rule]] = Stops(np.where(within, segment[:, 1:, at], 0), rank[:, 1:, at], solved)
    return found


def extra_segments(selector: str, depth: int, k: int) -> int:
    """Segments beyond the k rollouts of `depth` segments themselves that a selector takes."""
    return k * SCORES[selector].extra(depth) if selector in SCORES else 0

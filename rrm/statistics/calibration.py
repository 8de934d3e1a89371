"""Is a probability of being right as often right as it says? Reliability, Brier score and the parts of the score.

Rollouts of one puzzle are not independent draws: every interval is over puzzles.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from rrm.statistics.interval import Interval
from rrm.statistics.means import mean_interval
from rrm.statistics.proportions import clustered_share


@dataclass(frozen=True)
class ReliabilityBin:
    """Rollouts whose probability falls into one bin.

    Attributes:
        predicted: their mean probability.
        observed: share that is right, with its interval over the puzzles they belong to (`observed.n` of them).
        rollouts: their number.
    """

    predicted: float
    observed: Interval
    rollouts: int


@dataclass(frozen=True)
class Calibration:
    """Brier score of a probability, mean (p - outcome)^2, and its parts (Murphy, J. Appl. Meteor. 12 (1973) 595).

    brier = reliability - resolution + uncertainty + within_bins.

    Attributes:
        bins: the bins that hold rollouts, in order of the probability.
        brier: with its interval over puzzles; 0 is perfect.
        reliability: mean squared distance of predicted and observed share, rollouts alike; 0 for a calibrated
            probability, and raised by sampling, by about the observed variance over the rollouts of a bin.
        resolution: variance of the observed shares between bins.
        uncertainty: variance of the outcome, the Brier score of the overall share.
        within_bins: the rest, because probabilities differ within a bin (Stephenson et al. 2008).
    """

    bins: tuple[ReliabilityBin, ...]
    brier: Interval
    reliability: float
    resolution: float
    uncertainty: float
    within_bins: float


def calibration(probability: ArrayLike, outcome: ArrayLike, bins: int = 10) -> Calibration:
    """Compare the probabilities of K rollouts of N puzzles with their outcomes, in bins of equal width.

    Args:
        probability: [N, K] in [0, 1], N at least 2.
        outcome: [N, K] booleans.
        bins: number of bins between 0 and 1.

    Raises:
        ValueError: shapes that do not match, fewer than two puzzles, a value outside [0, 1] or nan, no bin.
    """
    p, y = np.asarray(probability, float), np.asarray(outcome, bool)
    if p.ndim != 2 or p.shape != y.shape or len(p) < 2 or not p.size:
        raise ValueError(f"probability and outcome must both be [N, K], N at least 2; got {p.shape} and {y.shape}")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"{np.count_nonzero(~((p >= 0) & (p <= 1)))} of {p.size} probabilities are not in [0, 1]")
    if bins < 1:
        raise ValueError(f"bins is {bins}: at least one is needed")
    place = np.minimum((p * bins).astype(int), bins - 1)
    members = [place == b for b in range(bins) if (place == b).any()]
    filled = tuple(ReliabilityBin(float(p[m].mean()), clustered_share(y, m), int(m.sum())) for m in members)
    share = np.array([each.rollouts for each in filled]) / p.size
    predicted, observed = (np.array(v) for v in zip(*((b.predicted, b.observed.estimate) for b in filled), strict=True))
    reliability = float(share @ (predicted - observed) ** 2)
    resolution = float(share @ (observed - y.mean()) ** 2)
    uncertainty = float(y.mean() * (1 - y.mean()))
    brier = mean_interval(((p - y) ** 2).mean(1))
    within = brier.estimate - (reliability - resolution + uncertainty)
    return Calibration(filled, brier, reliability, resolution, uncertainty, within)

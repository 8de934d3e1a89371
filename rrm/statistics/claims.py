"""The verdict on a claim: an effect over training seeds, beside the smallest effect that counts.

The smallest effect that counts is part of the claim and fixed before anything is measured. It makes "does not hold" a
finding of its own: the interval excludes every effect that would count, and not merely p > 0.05 (Lakens, Soc. Psychol.
Personal. Sci. 8 (2017) 355).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import t as student

from rrm.statistics.hypotheses import LEVEL, detectable, holm, p_value
from rrm.statistics.interval import Interval
from rrm.statistics.means import undefined_interval

HOLDS, DOES_NOT_HOLD, OPEN = "holds", "does not hold", "cannot be said"
VERDICTS = (HOLDS, DOES_NOT_HOLD, OPEN)

# The least standard deviation over seeds that is believed, in smallest effects that count. Seeds that agree to the last
# puzzle, such as AUCs of 1, would else have no spread to judge by, and nearly equal ones an interval of no width.
LEAST_SPREAD = 0.05


@dataclass(frozen=True)
class Judged:
    """One claim, judged together with all others of its table. A larger effect speaks for the claim.

    Attributes:
        values: effect by training seed; seeds without one are left out.
        effect: their mean with the 95 % interval of Student's t over seeds, of a spread of at least LEAST_SPREAD; its
            ends are nan below two seeds.
        null: the effect of a claim with nothing to it.
        smallest: the smallest distance from `null` that counts.
        p: two-sided p-value of a mean equal to `null`; nan where the interval is.
        p_holm: `p` after Holm's correction over the table.
        detectable: distance from `null` that so many seeds, at their spread, find 4 times in 5 at the corrected level.
        verdict: one of VERDICTS.
    """

    values: dict[int, float]
    effect: Interval
    null: float
    smallest: float
    p: float
    p_holm: float
    detectable: float
    verdict: str


def judge(claims: Sequence[tuple[Mapping[int, float], float, float]]) -> list[Judged]:
    """The verdicts on all claims of a table, each (effect by seed, null, smallest).

    A claim holds if the corrected test tells its effect from the null in the claimed direction and the mean is at least
    the smallest effect that counts. It does not hold if the 95 % interval, by itself, lies below that effect. All else
    cannot be said with this much data, in particular whatever one seed shows.
    """
    known = [{seed: value for seed, value in values.items() if math.isfinite(value)} for values, _, _ in claims]
    means = [_mean([*values.values()], smallest) for values, (_, _, smallest) in zip(known, claims, strict=True)]
    shifted = [_shifted(mean, -null) for mean, (_, null, _) in zip(means, claims, strict=True)]
    p = [p_value(mean) for mean in shifted]
    tests, corrected = max(1, int(np.isfinite(p).sum())), holm(p).tolist()
    judged = []
    for values, mean, distance, (_, null, smallest), raw, p_holm in zip(
        known, means, shifted, claims, p, corrected, strict=True
    ):
        verdict = _verdict(distance, smallest, p_holm)
        judged.append(Judged(values, mean, null, smallest, raw, p_holm, detectable(distance, tests), verdict))
    return judged


def _verdict(distance: Interval, smallest: float, p_holm: float) -> str:
    if math.isnan(p_holm):
        return OPEN
    if distance.high < smallest:
        return DOES_NOT_HOLD
    return HOLDS if p_holm < LEVEL and distance.estimate >= smallest else OPEN


def _mean(values: Sequence[float], smallest: float) -> Interval:
    n = len(values)
    if n < 2:
        return replace(undefined_interval(n), estimate=values[0] if values else math.nan)
    mean, spread = float(np.mean(values)), max(float(np.std(values, ddof=1)), LEAST_SPREAD * smallest)
    margin = float(student.ppf(0.975, n - 1)) * spread / math.sqrt(n)
    return Interval(mean, mean - margin, mean + margin, 0.95, n)


def _shifted(mean: Interval, by: float) -> Interval:
    return Interval(mean.estimate + by, mean.low + by, mean.high + by, mean.level, mean.n)

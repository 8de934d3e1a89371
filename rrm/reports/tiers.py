"""The report on arms by tiers of difficulty: a table, and a verdict on each prediction."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rrm.jobs.predictions import Prediction
from rrm.statistics.arms import LEARNED, ArmComparison
from rrm.statistics.hypotheses import LEVEL, detectable, detectable_words, holm, mean_over_seeds, p_value
from rrm.statistics.interval import Interval
from rrm.statistics.means import undefined_interval
from rrm.statistics.tiers import MEASURES, TierPoint

AS_PREDICTED, NOT_AS_PREDICTED, OPEN = "as predicted", "not as predicted", "open"

# Points by (value of the axis that comparisons are apart by, arm).
Points = Mapping[tuple[str, str], Sequence[TierPoint]]


def tier_table(comparisons: Sequence[ArmComparison], control: str) -> list[dict[str, str]]:
    """Rows of a table: the control of every comparison, over all its seeds, and below it the other arms.

    Accuracies are in per cent; in brackets the difference from the control in points, with its 95 % interval by itself.
    "calls" are in units of the control's. "shortest" are of mazes, where the others ask for the path of the label.
    """
    rows = []
    for model in dict.fromkeys(comparison.model for comparison in comparisons):
        arms = [comparison for comparison in comparisons if comparison.model == model]
        of_control = {name: contrast.baseline for arm in arms for name, contrast in arm.contrasts.items()}
        row = {"": model, "arm": control, "seeds": str(len(of_control["peak"])), "calls": "1.00"}
        rows.append(row | {f"{name} %": f"{100 * np.mean([*of_control[name].values()]):.1f}" for name in of_control})
        for arm in arms:
            row = {"": model, "arm": arm.arm, "seeds": str(len(arm.seeds))}
            row["calls"] = "" if arm.compute_ratio is None else f"{arm.compute_ratio:.2f}"
            row |= {
                f"{name} %": f"{100 * found.arm_mean:.1f} ({found.difference * 100:+z.1f})"
                for name, found in arm.contrasts.items()
            }
            rows.append(row)
    columns = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name, "") for name in columns} for row in rows]


@dataclass(frozen=True)
class JudgedPrediction:
    """A prediction beside the runs.

    Attributes:
        made: the prediction.
        difference: arm minus other over shared seeds, a fraction, with its 95 % interval by itself.
        p_holm: of a mean difference of 0, after Holm's correction over all predictions; nan without an interval.
        detectable: the true difference that so many seeds find 4 times in 5 in a test by itself.
        verdict: AS_PREDICTED, NOT_AS_PREDICTED or OPEN.
    """

    made: Prediction
    difference: Interval
    p_holm: float
    detectable: float
    verdict: str

    def sentence(self) -> str:
        """The prediction, its verdict and its numbers."""
        made, n = self.made, self.difference.n
        pair = [f"{arm} ({at})" if at else arm for arm, at in ((made.arm, made.at), (made.other, made.other_at))]
        if math.isnan(self.difference.estimate):
            return f"{made.words}: no seed has both {' and '.join(pair)}."
        numbers = f"{pair[0]} minus {pair[1]}, {made.measure}: {self.difference * 100:+z.1f} points over {n} seeds"
        if math.isfinite(self.detectable):
            numbers += f" (null 0; {n} seeds find {detectable_words(self.detectable, 100, ' points')} 4 times in 5)"
        return f"{made.words}: {self.verdict}. {numbers}."


def judge_predictions(predictions: Sequence[Prediction], points: Points) -> list[JudgedPrediction]:
    """The verdict on each prediction.

    "more": as predicted where the corrected test finds a positive difference, not as predicted where the interval lies
    below the smallest one that counts; "less" with the opposite signs. "same": as predicted where the interval lies
    within the smallest difference on either side, not as predicted where the corrected test finds one. "no less": as
    predicted where the interval lies above minus the smallest difference, not as predicted where it lies below 0. All
    else is open, and so is all that the corrected test does not show of two arms neither of which has LEARNED.
    """
    pairs = [_pairs(made, points) for made in predictions]
    differences = [_difference(found) for found in pairs]
    corrected = holm([p_value(found) for found in differences]).tolist()
    return [
        JudgedPrediction(made, found, p, detectable(found), _verdict(made, found, p, _learned(of_seeds)))
        for made, found, p, of_seeds in zip(predictions, differences, corrected, pairs, strict=True)
    ]


def _pairs(made: Prediction, points: Points) -> list[tuple[float, float]]:
    """(arm, other) of every shared seed."""
    field = MEASURES[made.measure]
    one, other = (
        {p.seed: value for p in points.get(key, ()) if (value := getattr(p, field)) is not None}
        for key in ((made.at, made.arm), (made.other_at, made.other))
    )
    return [(one[seed], other[seed]) for seed in one if seed in other]


def _learned(pairs: Sequence[tuple[float, float]]) -> bool:
    return bool(pairs) and bool(np.mean(pairs, axis=0).max() >= LEARNED)


def _difference(pairs: Sequence[tuple[float, float]]) -> Interval:
    shared = [one - other for one, other in pairs]
    return (
        mean_over_seeds(shared)
        if len(shared) > 1
        else replace(undefined_interval(len(shared)), estimate=sum(shared) / len(shared) if shared else math.nan)
    )


def _verdict(made: Prediction, found: Interval, p_holm: float, learned: bool) -> str:
    small, shows = made.smallest, p_holm < LEVEL
    if math.isnan(p_holm) or not (learned or shows):
        return OPEN
    right, wrong = {
        "more": (shows and found.estimate > 0, found.high < small),
        "less": (shows and found.estimate < 0, found.low > -small),
        "same": (-small < found.low and found.high < small, shows),
        "no less": (found.low > -small, found.high < 0),
    }[made.expected]
    return AS_PREDICTED if right else NOT_AS_PREDICTED if wrong else OPEN


def prediction_rows(judged: Sequence[JudgedPrediction]) -> list[dict[str, str]]:
    """Rows of a table, in points."""
    return [
        {
            "prediction": one.made.words,
            "measure": one.made.measure,
            "expected": f"{one.made.expected} ({100 * one.made.smallest:g} points count)",
            "difference": "" if math.isnan(one.difference.estimate) else f"{one.difference * 100:+z.1f}",
            "p (Holm)": "" if math.isnan(one.p_holm) else f"{one.p_holm:.2g}",
            "detectable": f"{100 * one.detectable:.1f}" if math.isfinite(one.detectable) else "",
            "verdict": one.verdict,
        }
        for one in judged
    ]

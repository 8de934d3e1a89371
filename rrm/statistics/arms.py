"""Arms of training against their baseline, paired by seed: does an intervention do more than another seed would?"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.stats import nct
from scipy.stats import t as student

from rrm.statistics.interval import Interval
from rrm.statistics.sweep import SweepPoint, by_model

# What is compared, and the field of a `SweepPoint` that holds it.
MEASURES = {"peak": "best", "final": "final", "area": "area"}

# Of compute, as a share of the baseline's, by which a fair comparison may differ.
COMPUTE_TOLERANCE = 0.02

# Differences that vary by less than this, as fractions, are equal up to rounding.
_EQUAL = 1e-9


@dataclass(frozen=True)
class Contrast:
    """One measure of an arm against the baseline. All values are fractions.

    Attributes:
        arm: value by seed, over the seeds that the baseline has too.
        baseline: value by seed, over all its seeds.
        difference: mean of the differences by seed with the 95 % interval of Student's t, n - 1 degrees of freedom for
            n shared seeds; its ends are nan where the differences have no spread to judge by: with one seed, and where
            all are equal.
        p: two-sided p-value of the paired t-test; nan where the interval is.
        p_holm: `p` after Holm's correction over the arms of the model type that have one.
    """

    arm: dict[int, float]
    baseline: dict[int, float]
    difference: Interval
    p: float
    p_holm: float

    @property
    def differences(self) -> list[float]:
        """Arm minus baseline of each shared seed."""
        return [value - self.baseline[seed] for seed, value in self.arm.items()]

    @property
    def arm_mean(self) -> float:
        """Mean of the arm over the shared seeds."""
        return float(np.mean(list(self.arm.values())))

    @property
    def baseline_mean(self) -> float:
        """Mean of the baseline over the shared seeds."""
        return float(np.mean([self.baseline[seed] for seed in self.arm]))

    @property
    def baseline_sd(self) -> float:
        """Standard deviation of the baseline over all its seeds; nan with one."""
        return float(np.std(list(self.baseline.values()), ddof=1)) if len(self.baseline) > 1 else math.nan

    @property
    def exceeds_seed_noise(self) -> bool:
        """Whether the interval excludes 0."""
        return math.isfinite(self.difference.low) and 0 not in self.difference

    @property
    def detectable(self) -> float:
        """The smallest true difference that so many seeds find with a power of 80 %, at the observed spread.

        "Find" is a two-sided paired t-test at 5 %, before Holm's correction. nan where the interval is. From few seeds
        the spread itself is roughly known, and so is this number.
        """
        if not math.isfinite(self.difference.low):
            return math.nan
        n = len(self.arm)
        return noncentrality(n) / math.sqrt(n) * float(np.std(self.differences, ddof=1))


@dataclass(frozen=True)
class ArmComparison:
    """One arm of a model type against the unperturbed baseline of that type.

    Attributes:
        model, arm: as in `SweepPoint`.
        seeds: the training seeds that arm and baseline share.
        contrasts: by measure: "peak", test accuracy of the checkpoint chosen on validation; "final", test accuracy of
            the last checkpoint; "area", mean validation accuracy over training, where it was kept.
        arms: how many arms of the model type Holm's correction covers.
        compute_ratio: compute of the arm over that of the baseline; None where it was not counted.
    """

    model: str
    arm: str
    seeds: tuple[int, ...]
    contrasts: dict[str, Contrast]
    arms: int
    compute_ratio: float | None

    @property
    def equal_compute(self) -> bool | None:
        """Whether compute differs from the baseline's by at most 2 %; None where it was not counted."""
        return None if self.compute_ratio is None else abs(self.compute_ratio - 1) <= COMPUTE_TOLERANCE


def compare_arms(points: Iterable[SweepPoint]) -> list[ArmComparison]:
    """Every arm of every model type against the baseline of that type, over the seeds that both have.

    The unit is the training run. A seed fixes initial weights and the order of puzzles, so arms are compared seed by
    seed. The test puzzles are held fixed: the intervals say how far another set of seeds might be off, and not how far
    another draw of puzzles might. With 3 seeds Student's t has 2 degrees of freedom and an interval of 2.5 standard
    deviations on either side: only large effects show, and "no larger than seed noise" does not mean "equal" (see
    `Contrast.detectable`).

    An arm chosen as the best of many is better in this sample than it is: for the claim that some arm helps, `p_holm`
    holds the error of all arms of a model type together at its level, for one measure at a time (Holm, Scand. J.
    Statist. 6 (1979) 65; valid although arms share their baseline). "peak" is the main measure.

    Runs that were stopped early are left out, as are those that a search drew (the luck of such a run is part of why
    its configuration was chosen; runs of the same configuration on fresh seeds count), and arms that share no
    seed with the baseline. Repeated runs of one arm and seed count once, with their mean.

    Raises:
        ValueError: runs of one model type were scored on different numbers of test puzzles.
    """
    comparisons = []
    for model, group in by_model(points).items():
        if len(sizes := {point.n for point in group}) > 1:
            raise ValueError(f"runs of {model} can only be compared on the same test puzzles; got {sorted(sizes)}")
        complete = [point for point in group if not (point.stopped_early or point.drawn)]
        baseline = [point for point in complete if point.baseline]
        arms: dict[str, list[SweepPoint]] = {}
        for point in complete:
            if not point.baseline:
                arms.setdefault(point.arm, []).append(point)
        contrasts = _contrasts(arms, baseline)
        comparisons += [
            ArmComparison(
                model=model,
                arm=arm,
                seeds=tuple(contrasts[arm]["peak"].arm),
                contrasts=contrasts[arm],
                arms=sum(math.isfinite(other["peak"].p) for other in contrasts.values()),
                compute_ratio=_compute_ratio(arms[arm], baseline),
            )
            for arm in contrasts
        ]
    return comparisons


def arm_sentences(comparisons: Iterable[ArmComparison]) -> list[str]:
    """One sentence an arm: what it reached, its difference from the baseline, and whether seed noise explains it."""
    return [_sentence(comparison) for comparison in comparisons]


def arm_table(comparisons: Sequence[ArmComparison]) -> list[dict[str, str]]:
    """Rows of a table: the baseline of every model type, over all its seeds, and below it its arms.

    Accuracies are in per cent and differences, with their 95 % interval, in percentage points; "compute" is in units of
    the baseline's.
    """
    rows = []
    for model in dict.fromkeys(comparison.model for comparison in comparisons):
        arms = [comparison for comparison in comparisons if comparison.model == model]
        baseline = {name: contrast.baseline for arm in arms for name, contrast in arm.contrasts.items()}
        row = {"model": model, "arm": "baseline", "seeds": str(len(baseline["peak"]))}
        for name in MEASURES:
            values = list(baseline.get(name, {}).values())
            row |= {f"{name} %": f"{100 * np.mean(values):.1f}" if values else "", f"{name} difference": ""}
        rows.append(row | {"compute": "1.00"})
        for arm in arms:
            row = {"model": model, "arm": arm.arm, "seeds": str(len(arm.seeds))}
            for name in MEASURES:
                found = arm.contrasts.get(name)
                row[f"{name} %"] = f"{100 * found.arm_mean:.1f}" if found else ""
                row[f"{name} difference"] = _points(found.difference) if found else ""
            rows.append(row | {"compute": "" if arm.compute_ratio is None else f"{arm.compute_ratio:.2f}"})
    return rows


def paired_t(differences: ArrayLike, level: float = 0.95) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Paired t-tests.

    Args:
        differences: one row a test, one column a pair, [..., n].
        level: nominal coverage.

    Returns:
        mean, half the width of its interval, and two-sided p-value, each [...]; the last two are nan where the
        differences of a row have no spread.
    """
    differences = np.asarray(differences, dtype=float)
    n = differences.shape[-1]
    mean = differences.mean(-1)
    spread = differences.std(-1, ddof=1) if n > 1 else np.zeros_like(mean)
    error = np.where(spread > _EQUAL, spread, np.nan) / math.sqrt(n)
    df = max(n - 1, 1)
    return mean, student.ppf((1 + level) / 2, df) * error, 2 * student.sf(np.abs(mean) / error, df)


def holm(p: ArrayLike) -> np.ndarray:
    """Holm's step-down adjustment of p-values [..., m] over the last axis; nan stays nan and is not counted."""
    p = np.asarray(p, dtype=float)
    order = np.argsort(p, axis=-1)  # nan last
    counted = np.isfinite(p).sum(-1, keepdims=True)
    factors = np.maximum(counted - np.arange(p.shape[-1]), 1)
    raised = np.maximum.accumulate(np.minimum(np.take_along_axis(p, order, -1) * factors, 1.0), axis=-1)
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, raised, -1)
    return adjusted


@lru_cache
def noncentrality(n: int, power: float = 0.8, level: float = 0.95) -> float:
    """The true mean, in standard errors, that a two-sided t-test of `n` differences finds with this power; n above 1.

    A significant mean of the wrong sign counts as missed.
    """
    critical = student.ppf((1 + level) / 2, n - 1)
    return float(brentq(lambda shift: nct.sf(critical, n - 1, shift) - power, 0, 2 * critical + 3))


def _contrasts(arms: dict[str, list[SweepPoint]], baseline: list[SweepPoint]) -> dict[str, dict[str, Contrast]]:
    """The contrasts of each arm that shares a seed with the baseline, by arm and measure."""
    contrasts: dict[str, dict[str, Contrast]] = {}
    for measure, field in MEASURES.items():
        reference = _by_seed(baseline, field)
        paired = {arm: _by_seed(runs, field) for arm, runs in arms.items()}
        paired = {arm: {s: v for s, v in values.items() if s in reference} for arm, values in paired.items()}
        paired = {arm: values for arm, values in paired.items() if values}
        tests = {arm: paired_t([value - reference[s] for s, value in values.items()]) for arm, values in paired.items()}
        corrected = holm([p for *_, p in tests.values()])
        for (arm, (mean, margin, p)), p_holm in zip(tests.items(), corrected, strict=True):
            interval = Interval(float(mean), float(mean - margin), float(mean + margin), 0.95, len(paired[arm]))
            found = Contrast(paired[arm], reference, interval, float(p), float(p_holm))
            contrasts.setdefault(arm, {})[measure] = found
    return contrasts


def _by_seed(points: Iterable[SweepPoint], field: str) -> dict[int, float]:
    """Mean of a field by seed, in the order of seeds, over the points that have it."""
    values: dict[int, list[float]] = {}
    for point in points:
        if getattr(point, field) is not None:
            values.setdefault(point.seed, []).append(getattr(point, field))
    return {seed: float(np.mean(values[seed])) for seed in sorted(values)}


def _compute_ratio(arm: list[SweepPoint], baseline: list[SweepPoint]) -> float | None:
    ours, theirs = _by_seed(arm, "call_units"), _by_seed(baseline, "call_units")
    shared = ours.keys() & theirs.keys()
    return sum(ours[seed] for seed in shared) / sum(theirs[seed] for seed in shared) if shared else None


def _sentence(comparison: ArmComparison) -> str:
    peak, n = comparison.contrasts["peak"], len(comparison.seeds)
    parts = [
        f"{comparison.model}, {comparison.arm}: peak {100 * peak.arm_mean:.1f} % against "
        f"{100 * peak.baseline_mean:.1f} % {'with one seed' if n == 1 else f'over {n} seeds'}, difference "
        f"{_points(peak.difference)} points: {_verdict(peak, comparison.arms)}"
    ]
    for name, contrast in comparison.contrasts.items():
        if name != "peak":
            parts.append(f"{name} {_points(contrast.difference)}{' (larger)' if contrast.exceeds_seed_noise else ''}")
    if comparison.equal_compute is None:
        parts.append("compute not recorded")
    elif not comparison.equal_compute:
        parts.append(f"compute not matched, {comparison.compute_ratio:.2f} times the baseline's")
    return "; ".join(parts)


def _verdict(peak: Contrast, arms: int) -> str:
    n = len(peak.arm)
    if n == 1:
        return "one seed cannot tell an effect from seed noise"
    if not math.isfinite(peak.difference.low):
        return f"the same in all {n} seeds, which leaves no spread to judge it by"
    deviation = f"baseline SD {100 * peak.baseline_sd:.1f}"
    if not peak.exceeds_seed_noise:
        return (
            f"no larger than seed noise ({deviation}; "
            f"{n} seeds would find {100 * peak.detectable:.1f} points 4 times in 5)"
        )
    correction = f", {'also' if peak.p_holm < 0.05 else 'but not'} after Holm's correction for {arms} arms"
    return f"larger than seed noise{correction if arms > 1 else ''} ({deviation})"


def _points(difference: Interval) -> str:
    """In percentage points; without the interval where that is undefined."""
    scaled = [100 * end for end in (difference.estimate, difference.low, difference.high)]
    if not math.isfinite(difference.low):
        return f"{scaled[0]:+z.1f}"
    return f"{Interval(*scaled, difference.level, difference.n):+z.1f}"

"""Arms of training against their baseline, paired by seed: does an intervention do more than another seed would?"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rrm.statistics.hypotheses import LEVEL, detectable, detectable_words, holm, mean_over_seeds, p_value
from rrm.statistics.interval import Interval
from rrm.statistics.sweep import SweepPoint, by_model

# Measures of a comparison, and the field of a `SweepPoint` with each. All are accuracies: the higher the better.
MEASURES = {"peak": "best", "final": "final", "final at halting": "final_at_halting", "area": "area"}

# Two arms that both solve less have learned nothing, and their equality says nothing of what they differ in.
LEARNED = 0.05
# Largest difference of compute, as a share of the baseline's, in a fair comparison.
COMPUTE_TOLERANCE = 0.02


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
        p_holm: `p` after Holm's correction over everything that is compared at once: every measure of every arm of
            every model type that has a p-value.
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
    def different(self) -> bool:
        """Whether the corrected test tells the arm from the baseline."""
        return self.p_holm < LEVEL

    def detectable(self, tests: int = 1) -> float:
        """The smallest true difference that so many seeds find 4 times in 5 (`rrm.statistics.hypotheses`)."""
        return detectable(self.difference, tests)


@dataclass(frozen=True)
class Finished:
    """What training got through, mean over seeds: arms of equal compute differ in it. None where it was not counted.

    Attributes:
        puzzles: number of puzzles that halted, each time counted.
        segments: mean number of segments that these puzzles had.
    """

    puzzles: float | None
    segments: float | None


@dataclass(frozen=True)
class ArmComparison:
    """One arm of a model type against the baseline of that type.

    Attributes:
        model, arm: as in `SweepPoint`.
        seeds: the training seeds that arm and baseline share.
        contrasts: by measure: "peak", test accuracy of the checkpoint chosen on validation; "final", test accuracy of
            the last checkpoint; "final at halting", of its answers where the Q head says halt, with a Q head; "area",
            mean validation accuracy over training, where it was kept.
        tests: number of p-values that Holm's correction covers, over all arms and model types.
        compute_ratio: compute of the arm over that of the baseline; None where it was not counted.
        finished, baseline_finished: of the arm, over the shared seeds, and of the baseline, over all its seeds.
    """

    model: str
    arm: str
    seeds: tuple[int, ...]
    contrasts: dict[str, Contrast]
    tests: int
    compute_ratio: float | None
    finished: Finished
    baseline_finished: Finished

    @property
    def equal_compute(self) -> bool | None:
        """Whether compute differs from the baseline's by at most 2 %; None where it was not counted."""
        return None if self.compute_ratio is None else abs(self.compute_ratio - 1) <= COMPUTE_TOLERANCE


def compare_arms(points: Iterable[SweepPoint], measures: Mapping[str, str] = MEASURES) -> list[ArmComparison]:
    """Every arm of every model type against the baseline of that type, over the seeds that both have.

    The unit is the training run. A seed fixes initial weights and the order of puzzles, so arms are compared seed by
    seed. The test puzzles are held fixed: the intervals say how far another set of seeds might be off, and not how far
    another draw of puzzles might. With 3 seeds Student's t has 2 degrees of freedom and an interval of 2.5 standard
    deviations on either side: only large effects show, and "no difference is shown" does not mean "equal" (see
    `Contrast.detectable`). An arm that collapses on one seed of three has so wide an interval that even a large mean
    loss is rarely shown: read the values of the seeds.

    An arm chosen as the best of many is better in this sample than it is. `p_holm` holds the chance that any claim
    among all of these comparisons is false at its level, also where arms share their baseline.

    The comparison leaves out runs that were stopped early and arms that share no seed with the baseline. It also leaves
    out runs that a search drew: the luck of such a run is part of the reason why the search chose its configuration,
    while runs of the same configuration on fresh seeds count. Repeated runs of one arm and seed count once, with their
    mean.

    Args:
        points: trained models.
        measures: by name, the field of a point with each; "peak" is among them.

    Raises:
        ValueError: runs of one model type were scored on different numbers of test puzzles.
    """
    comparisons = []
    for model, group in by_model(points).items():
        if len(sizes := {point.n for point in group}) > 1:
            found = sorted(size or 0 for size in sizes)
            raise ValueError(f"runs of {model} can only be compared on the same test puzzles; got {found}")
        complete = [point for point in group if not (point.stopped_early or point.drawn)]
        baseline = [point for point in complete if point.baseline]
        arms: dict[str, list[SweepPoint]] = {}
        for point in complete:
            if not point.baseline:
                arms.setdefault(point.arm, []).append(point)
        for arm, contrasts in _contrasts(arms, baseline, measures).items():
            seeds, runs = tuple(contrasts["peak"].arm), arms[arm]
            finished = _finished([run for run in runs if run.seed in seeds]), _finished(baseline)
            comparisons.append(
                ArmComparison(model, arm, seeds, contrasts, 0, _compute_ratio(runs, baseline), *finished)
            )
    return _corrected(comparisons)


def arm_sentences(comparisons: Iterable[ArmComparison]) -> list[str]:
    """A sentence on each arm: first whether the corrected tests tell it from the baseline, then the numbers."""
    return [_sentence(comparison) for comparison in comparisons]


def arm_table(comparisons: Sequence[ArmComparison]) -> list[dict[str, str]]:
    """Rows of a table: the baseline of every model type, over all its seeds, and below it its arms.

    Accuracies are in per cent and differences, with their 95 % interval, in percentage points; "compute" is in units of
    the baseline's; "finished puzzles" and "segments a puzzle" are means over the seeds of the row. The columns of a
    measure that no arm has are left out.
    """
    rows = []
    measures = list(dict.fromkeys(name for comparison in comparisons for name in comparison.contrasts))
    for model in dict.fromkeys(comparison.model for comparison in comparisons):
        arms = [comparison for comparison in comparisons if comparison.model == model]
        baseline = {name: contrast.baseline for arm in arms for name, contrast in arm.contrasts.items()}
        row = {"model": model, "arm": "baseline", "seeds": str(len(baseline["peak"]))}
        for name in measures:
            values = list(baseline.get(name, {}).values())
            row |= {f"{name} %": f"{100 * np.mean(values):.1f}" if values else "", f"{name} difference": ""}
        rows.append(row | {"compute": "1.00"} | _finished_columns(arms[0].baseline_finished))
        for arm in arms:
            row = {"model": model, "arm": arm.arm, "seeds": str(len(arm.seeds))}
            for name in measures:
                found = arm.contrasts.get(name)
                row[f"{name} %"] = f"{100 * found.arm_mean:.1f}" if found else ""
                row[f"{name} difference"] = f"{found.difference * 100:+z.1f}" if found else ""
            row["compute"] = "" if arm.compute_ratio is None else f"{arm.compute_ratio:.2f}"
            rows.append(row | _finished_columns(arm.finished))
    return rows


def _finished_columns(finished: Finished) -> dict[str, str]:
    return {
        "finished puzzles": "" if finished.puzzles is None else f"{finished.puzzles:.0f}",
        "segments a puzzle": "" if finished.segments is None else f"{finished.segments:.2f}",
    }


def _contrasts(
    arms: dict[str, list[SweepPoint]], baseline: list[SweepPoint], measures: Mapping[str, str]
) -> dict[str, dict[str, Contrast]]:
    """The contrasts of each arm that shares a seed with the baseline, by arm and measure."""
    contrasts: dict[str, dict[str, Contrast]] = {}
    for measure, field in measures.items():
        reference = _by_seed(baseline, field)
        paired = {arm: _by_seed(runs, field) for arm, runs in arms.items()}
        paired = {arm: {s: v for s, v in values.items() if s in reference} for arm, values in paired.items()}
        paired = {arm: values for arm, values in paired.items() if values}
        for arm, values in paired.items():
            difference = mean_over_seeds([value - reference[seed] for seed, value in values.items()])
            p = p_value(difference)
            contrasts.setdefault(arm, {})[measure] = Contrast(values, reference, difference, p, p)
    return contrasts


def _corrected(comparisons: list[ArmComparison]) -> list[ArmComparison]:
    """The comparisons with Holm's correction over all their tests."""
    p = np.array([contrast.p for comparison in comparisons for contrast in comparison.contrasts.values()])
    tests, p_holm = int(np.isfinite(p).sum()), iter(holm(p).tolist())
    return [
        replace(
            comparison,
            contrasts={name: replace(found, p_holm=next(p_holm)) for name, found in comparison.contrasts.items()},
            tests=tests,
        )
        for comparison in comparisons
    ]


def _by_seed(points: Iterable[SweepPoint], field: str) -> dict[int, float]:
    """Mean of a field by seed, in the order of seeds, over the points that have it."""
    values: dict[int, list[float]] = {}
    for point in points:
        if getattr(point, field) is not None:
            values.setdefault(point.seed, []).append(getattr(point, field))
    return {seed: float(np.mean(values[seed])) for seed in sorted(values)}


def _finished(points: list[SweepPoint]) -> Finished:
    puzzles, segments = (list(_by_seed(points, name).values()) for name in ("finished", "segments_per_puzzle"))
    return Finished(float(np.mean(puzzles)) if puzzles else None, float(np.mean(segments)) if segments else None)


def _compute_ratio(arm: list[SweepPoint], baseline: list[SweepPoint]) -> float | None:
    ours, theirs = _by_seed(arm, "call_units"), _by_seed(baseline, "call_units")
    shared = ours.keys() & theirs.keys()
    return sum(ours[seed] for seed in shared) / sum(theirs[seed] for seed in shared) if shared else None


def _sentence(comparison: ArmComparison) -> str:
    contrasts, n = comparison.contrasts, len(comparison.seeds)
    peak = contrasts["peak"]
    numbers = [
        f"Peak {100 * peak.arm_mean:.1f} % against {100 * peak.baseline_mean:.1f} % "
        f"{'with one seed' if n == 1 else f'over {n} seeds'}, difference {peak.difference * 100:+z.1f} points"
        + (f" (by seed {' '.join(f'{100 * value:+z.1f}' for value in peak.differences)})" if n > 1 else "")
    ]
    numbers += [f"{name} {found.difference * 100:+z.1f}" for name, found in contrasts.items() if name != "peak"]
    if not peak.different and math.isfinite(peak.p):
        numbers.append(_would_find(comparison))
    if comparison.equal_compute is None:
        numbers.append("compute not recorded")
    elif not comparison.equal_compute:
        numbers.append(f"compute not matched, {comparison.compute_ratio:.2f} times the baseline's")
    return f"{comparison.model}, {comparison.arm}: {_verdict(comparison)}. {'; '.join(numbers)}."


def _verdict(comparison: ArmComparison) -> str:
    contrasts, n = comparison.contrasts, len(comparison.seeds)
    tested = {name: found for name, found in contrasts.items() if math.isfinite(found.p)}
    if n == 1:
        return "one seed cannot tell an effect from seed noise"
    if not tested:
        return f"the same in all {n} seeds, which leaves no spread to judge it by"
    correction = f" after Holm's correction for {comparison.tests} tests" if comparison.tests > 1 else ""
    if found := {name: contrast for name, contrast in tested.items() if contrast.different}:
        return f"{_directions(found, 'p_holm')}{correction}"
    alone = {name: contrast for name, contrast in tested.items() if contrast.p < LEVEL}
    return f"no difference is shown{correction}" + (f" (without it {_directions(alone, 'p')})" if alone else "")


def _directions(contrasts: dict[str, Contrast], p: str) -> str:
    """ "better in peak (p = 0.01), final (p = 0.02); worse in area (p = 0.03)"."""
    words = []
    for word, sign in (("better", 1), ("worse", -1)):
        named = [f"{name} (p = {getattr(found, p):.2g})" for name, found in contrasts.items()
                 if sign * found.difference.estimate > 0]  # fmt: skip
        words += [f"{word} in {', '.join(named)}"] if named else []
    return "; ".join(words)


def _would_find(comparison: ArmComparison) -> str:
    """The true difference that would have been found: in one test, and at the level that the correction leaves."""
    peak, n = comparison.contrasts["peak"], len(comparison.seeds)
    found = f"{n} seeds would find {detectable_words(peak.detectable(), 100, ' points')} 4 times in 5"
    if comparison.tests == 1:
        return found
    after = detectable_words(peak.detectable(comparison.tests), 100)
    return f"{found} in a single test, {after} after the correction"

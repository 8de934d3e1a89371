"""Numbers from the series of training runs: derived series, summaries, correlations, and several runs side by side.

Means and variances are over steps: a value holds until the next one is logged, so that they do not depend on how often
a run was logged. Series are those of `rrm.curves`: {name: (steps, values)}.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from rrm.curves import Curves
from rrm.statistics.events import (
    GROKKED,
    MEMORISED,
    TEST_ACCURACY,
    TEST_LOSS,
    TRAIN_ACCURACY,
    TRAIN_LOSS,
    Events,
    between,
    first_crossing,
    held_variance,
    held_weights,
)

WEIGHT_NORM, GRADIENT_NORM = "probe/weight_norm/total", "probe/gradient/norm"
JACOBIAN = "probe/jacobian/squared_frobenius"

Series = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Summary:
    """Statistics of a series over steps, of its finite values; nan without any.

    Attributes:
        mean, std: over steps.
        least, most: smallest and largest value.
        final: last value.
        n: number of logged values.
    """

    mean: float
    std: float
    least: float
    most: float
    final: float
    n: int


def _rate(steps: np.ndarray, values: np.ndarray) -> Series:
    """Change of ln values per step since the row before, at every row but the first."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return steps[1:], np.diff(np.log(values)) / np.diff(steps)


def _joined(make: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[..., Series]:
    """A function of two series at the steps that both have."""

    def joined(one: Series, other: Series) -> Series:
        steps, first, second = np.intersect1d(one[0], other[0], return_indices=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            return steps, make(one[1][first], other[1][second])

    return joined


# By name: the series that it is made of, and how.
DERIVED: Mapping[str, tuple[tuple[str, ...], Callable[..., Series]]] = {
    # Test minus train loss, nats.
    "derived/generalization_gap": ((TEST_LOSS, TRAIN_LOSS), _joined(np.subtract)),
    "derived/loss_ratio": ((TEST_LOSS, TRAIN_LOSS), _joined(np.divide)),
    "derived/accuracy_delta": ((TRAIN_ACCURACY, TEST_ACCURACY), _joined(np.subtract)),
    # Growth of the weight norm per step, and fall of the Jacobian: positive where a network becomes smoother.
    "derived/weight_growth_rate": ((WEIGHT_NORM,), lambda norm: _rate(*norm)),
    "derived/smoothing_rate": ((JACOBIAN,), lambda jacobian: _rate(jacobian[0], 1 / jacobian[1])),
    "derived/grad_weight_ratio": ((GRADIENT_NORM, WEIGHT_NORM), _joined(np.divide)),
}


def in_order(curves: Curves) -> Curves:
    """The series by step, with the last row of each step; series without a row are left out."""
    found: Curves = {}
    for name, (steps, values) in curves.items():
        if len(steps):
            unique, last = np.unique(steps[::-1], return_index=True)
            found[name] = unique, values[::-1][last]
    return found


def derived(curves: Curves) -> Curves:
    """The series of DERIVED that those of a run allow."""
    return {
        name: make(*(curves[part] for part in parts))
        for name, (parts, make) in DERIVED.items()
        if all(part in curves for part in parts)
    }


def summarise(steps: np.ndarray, values: np.ndarray, end: float | None = None) -> Summary:
    """The summary of a series; a last value holds until `end`, by default for no time."""
    known = np.isfinite(values)
    steps, values = steps[known], values[known]
    if not len(values):
        return Summary(*(float("nan"),) * 5, n=0)
    mean = float(held_weights(steps, end) @ values)
    spread = held_variance(steps, values, end) ** 0.5
    return Summary(mean, spread, float(values.min()), float(values.max()), float(values[-1]), len(values))


def aggregates(curves: Curves, events: Events | None = None) -> dict[str, Summary]:
    """The summary of every series by name; with `events`, by (phase, name) joined by a slash."""
    if events is None:
        return {name: summarise(*series) for name, series in curves.items()}
    return {
        f"{phase}/{name}": summarise(*series, end=end)
        for phase, (begin, end) in events.phases.items()
        for name, series in between(curves, begin, end).items()
    }


def shares(curves: Curves) -> dict[str, float]:
    """Share of all steps with an accuracy above, or a loss below a threshold, by name: "test/accuracy >= 0.95"."""
    rules = [(name, ">=", level) for name in (TRAIN_ACCURACY, TEST_ACCURACY) for level in (GROKKED, MEMORISED)]
    rules += [(name, "<", level) for name in (TRAIN_LOSS, TEST_LOSS) for level in (0.1, 0.01)]
    found = {}
    for name, sign, level in rules:
        if name in curves:
            steps, values = curves[name]
            inside = values >= level if sign == ">=" else values < level
            found[f"{name} {sign} {level}"] = float(held_weights(steps) @ inside)
    return found


def correlations(curves: Curves, names: Sequence[str] | None = None) -> tuple[list[str], np.ndarray]:
    """Names [m] and rank correlations [m, m] (Spearman) of series at the steps that all of them have.

    Series without three common steps, or without spread, have nan. Two series that drift correlate whatever moves
    them: compare the correlations of a run with those of a control.
    """
    names = list(curves) if names is None else [name for name in names if name in curves]
    matrix = np.full((len(names), len(names)), np.nan)
    for i, one in enumerate(names):
        for j, other in enumerate(names[: i + 1]):
            _, first, second = np.intersect1d(curves[one][0], curves[other][0], return_indices=True)
            a, b = curves[one][1][first], curves[other][1][second]
            known = np.isfinite(a) & np.isfinite(b)
            a, b = a[known], b[known]
            if a.size >= 3 and np.ptp(a) > 0 and np.ptp(b) > 0:
                matrix[i, j] = matrix[j, i] = float(spearmanr(a, b).statistic)
    return names, matrix


def align(
    runs: Mapping[str, Curves], name: str, grid: np.ndarray, events: Mapping[str, int] | None = None
) -> np.ndarray:
    """One series of several runs at the same steps, [runs, len(grid)]; nan outside of a run and without the series.

    Args:
        runs: by name of the run.
        name: of the series; values between two logged ones are interpolated.
        grid: steps; with `events`, steps since the event of each run, which may be negative.
        events: step of an event by run; a run without one has nan.
    """
    rows = []
    for run, curves in runs.items():
        shift = 0 if events is None else events.get(run)
        steps, values = curves.get(name, (np.array([], np.int64), np.array([])))
        if shift is None or not len(steps):
            rows.append(np.full(len(grid), np.nan))
        else:
            rows.append(np.interp(grid + shift, steps, values, left=np.nan, right=np.nan))
    return np.array(rows).reshape(len(runs), len(grid))


def deltas(runs: Mapping[str, Curves], baseline: str, name: str, grid: np.ndarray) -> dict[str, np.ndarray]:
    """A series of every other run minus that of the baseline, [len(grid)] by run.

    Raises:
        ValueError: no such baseline.
    """
    if baseline not in runs:
        raise ValueError(f"there is no run {baseline!r}: use one of {', '.join(runs)}")
    values = dict(zip(runs, align(runs, name, grid), strict=True))
    return {run: row - values[baseline] for run, row in values.items() if run != baseline}


def time_to(curves: Curves, name: str, thresholds: Sequence[float]) -> dict[float, int | None]:
    """First step at which a series is at or above each threshold; None where it never is."""
    steps, values = curves.get(name, (np.array([], np.int64), np.array([])))
    return {threshold: first_crossing(steps, values, threshold) for threshold in thresholds}

"""Events of a training run that memorises before it generalises: when, the phases between, and what turned first.

All thresholds and lengths are in optimizer steps: how often a run was logged changes the resolution of an event and
nothing else. Series are those of `rrm.curves`: {name: (steps, values)}.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rrm.curves import Curves
from rrm.panels import GROKKED, MEMORISED

TRAIN_LOSS, TRAIN_ACCURACY = "train/loss", "train/accuracy"
TEST_LOSS, TEST_ACCURACY = "test/loss", "test/accuracy"
ACCURACIES = (TRAIN_ACCURACY, TEST_ACCURACY)
LEARNING_RATE = "learning_rate"
# What the journal and the probes log beside losses and accuracies; a run has other series, of its evaluations.
_STUDIED, _COST = ("probe/", "gates/", "routing/", "derived/"), "probe/cost/"

MEMORISATION, PLATEAU, GROKKING, AFTER = PHASES = ("memorisation", "plateau", "grokking", "after")

# The plateau ends where test accuracy has gone this share of its way to GROKKED for good.
_RISE = 0.1
# A series has turned where it has gone back from its extreme by this share of its range.
_BACK = 0.1


@dataclass(frozen=True)
class Events:
    """Events of one run, in steps.

    Attributes:
        memorised: first step with a train accuracy of at least MEMORISED; None where there is none.
        grokked: first step with a test accuracy of at least GROKKED; None where there is none until `last`.
        rising: the last step before `grokked` at which test accuracy was within a tenth of its way from its value at
            memorisation to GROKKED; None where the run does not grok, or groks before it memorises.
        last: last step that was logged. A run that has not grokked is censored there.
        resolution: longest distance of two logged steps until `grokked`, or until `last`.
        train_pairs_kept, test_pairs_kept: share of the steps after `grokked` with a train accuracy of at least
            MEMORISED, and with a test accuracy of at least GROKKED; nan where the run does not grok.
        test_variance: variance of test accuracy over the steps after `grokked`; nan where the run does not grok.
    """

    memorised: int | None
    grokked: int | None
    rising: int | None
    last: int
    resolution: int
    train_pairs_kept: float
    test_pairs_kept: float
    test_variance: float

    @property
    def delay(self) -> int | None:
        """Steps from memorised to grokked; negative where test accuracy was first, None where either is missing."""
        return None if self.memorised is None or self.grokked is None else self.grokked - self.memorised

    @property
    def phases(self) -> dict[str, tuple[int, int]]:
        """(first step, end) of each phase that the run has had, by name; a phase without a step is left out.

        A run that has not memorised is all memorisation, and one that has not grokked ends in its plateau.
        """
        end = self.last + 1
        memorised = end if self.memorised is None else self.memorised
        grokked = end if self.grokked is None else self.grokked
        rising = grokked if self.rising is None else self.rising
        bounds = (0, min(memorised, grokked), rising, grokked, end)
        stretches = zip(PHASES, bounds[:-1], bounds[1:], strict=True)
        return {name: (begin, stop) for name, begin, stop in stretches if stop > begin}


@dataclass(frozen=True)
class Sign:
    """Where a series turned.

    Attributes:
        name: of the series.
        step: of its extreme.
        extreme: "maximum" or "minimum".
        lead: steps from there to the event that it may announce.
    """

    name: str
    step: int
    extreme: str
    lead: int


def crossings(steps: np.ndarray, values: np.ndarray, threshold: float) -> list[tuple[int, bool]]:
    """(step, whether upwards) of every logged step at which a series has come to the other side of a threshold.

    A first value at or above the threshold counts as a crossing upwards.

    Args:
        steps: int [n].
        values: [n]; nan is below.
        threshold: the value itself is above.
    """
    above = values >= threshold
    changed = np.flatnonzero(above != np.r_[False, above[:-1]])
    return [(int(steps[i]), bool(above[i])) for i in changed]


def first_crossing(steps: np.ndarray, values: np.ndarray, threshold: float) -> int | None:
    """First logged step at which a series is at or above a threshold; None where it never is."""
    return next((step for step, upwards in crossings(steps, values, threshold) if upwards), None)


def find_events(curves: Curves, memorised: float = MEMORISED, grokked: float = GROKKED) -> Events:
    """The events of a run.

    Args:
        curves: with TRAIN_ACCURACY and TEST_ACCURACY, of one step at least.
        memorised, grokked: thresholds of train and test accuracy.

    Raises:
        ValueError: a series is missing.
    """
    for name in ACCURACIES:
        if name not in curves or not len(curves[name][0]):
            raise ValueError(f"the run has no series {name}: events of grokking need {' and '.join(ACCURACIES)}")
    (train_steps, train), (steps, test) = curves[TRAIN_ACCURACY], curves[TEST_ACCURACY]
    at_memory, at_grok = first_crossing(train_steps, train, memorised), first_crossing(steps, test, grokked)
    last = int(max(train_steps[-1], steps[-1]))
    end = last if at_grok is None else at_grok
    logged = steps[steps <= end]
    kept = [
        float("nan") if at_grok is None else _share(*_within(of, at_grok, last + 1), threshold)
        for of, threshold in ((curves[TRAIN_ACCURACY], memorised), (curves[TEST_ACCURACY], grokked))
    ]
    return Events(
        memorised=at_memory,
        grokked=at_grok,
        rising=_rise(steps, test, at_memory, at_grok, grokked),
        last=last,
        resolution=int(np.diff(logged, prepend=0).max()),
        train_pairs_kept=kept[0],
        test_pairs_kept=kept[1],
        test_variance=float("nan") if at_grok is None else held_variance(*_within(curves[TEST_ACCURACY], at_grok)),
    )


def flat_stretches(
    steps: np.ndarray, values: np.ndarray, width: int = 1000, variance: float = 1e-3
) -> list[tuple[int, int]]:
    """(first step, last step) of the stretches of at least `width` steps in which a series hardly varies.

    A stretch is the union of all windows of `width` steps within which the variance of the series stays below
    `variance`. A value holds until the next one is logged.
    """
    _, spread = rolling(steps, values, width)
    found: list[tuple[int, int]] = []
    for begin in steps[: len(spread)][spread**2 < variance].tolist():
        first = found.pop()[0] if found and begin <= found[-1][1] else begin
        found.append((first, begin + width))
    return found


def rolling(steps: np.ndarray, values: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of a series over the `width` steps from each logged step on, [m] each.

    A value holds until the next one is logged. The m windows are those that end at the last step at the latest.
    """
    begin = steps[steps + width <= steps[-1:]] if len(steps) else steps
    if not len(begin):
        return np.array([]), np.array([])
    values = values - (offset := values.mean())  # keeps the difference of sums exact where values hardly vary
    sums = np.cumsum(np.diff(steps, prepend=steps[0]) * np.r_[0, values[:-1]] ** np.array([[1], [2]]), axis=1)
    last = np.searchsorted(steps, begin + width, side="right") - 1
    tails = (begin + width - steps[last]) * values[last] ** np.array([[1], [2]])
    mean, square = (sums[:, last] - sums[:, : len(begin)] + tails) / width
    return mean + offset, np.sqrt(np.maximum(square - mean**2, 0))


def held_weights(steps: np.ndarray, end: float | None = None) -> np.ndarray:
    """[n] share of the steps from the first to `end` (by default the last) for which each value holds until the next.

    One value, or values of one step, have equal shares.
    """
    lengths = np.diff(steps, append=steps[-1] if end is None else end)
    return lengths / lengths.sum() if lengths.sum() > 0 else np.full(len(steps), 1 / max(1, len(steps)))


def held_variance(steps: np.ndarray, values: np.ndarray, end: float | None = None) -> float:
    """Variance of a series over steps, each value held until the next."""
    weights = held_weights(steps, end)
    return float(weights @ (values - weights @ values) ** 2)


def turn(steps: np.ndarray, values: np.ndarray, begin: int, end: int, width: int = 0) -> tuple[int, str] | None:
    """(step, "maximum" or "minimum") where a series has turned between two steps; None where it goes one way.

    A turn is the largest or the smallest value between, other than the first and the last one, from which the series
    has gone back by a tenth of its range until the end. Of two turns the more recent one is given.

    Args:
        steps, values: [n] each; values that are not finite are left out.
        begin, end: first and last step.
        width: steps over which the series is smoothed by running medians first, so that a spike is no turn.
    """
    known = (steps >= begin) & (steps <= end) & np.isfinite(values)
    steps, values = steps[known], values[known]
    if len(steps) < 3:
        return None
    if width:
        values = np.array([np.median(values[np.abs(steps - step) <= width / 2]) for step in steps])
    least = _BACK * np.ptp(values)
    places = {"maximum": _top(values), "minimum": _top(-values)}
    turned = [
        (int(steps[place]), extreme)
        for extreme, place in places.items()
        if 0 < place < len(steps) - 1 and abs(values[-1] - values[place]) > least
    ]
    return max(turned, default=None)


def _top(values: np.ndarray) -> int:
    """Where values are largest; the middle of a flat top, as running medians have."""
    below = values < values.max() - 1e-9 * np.ptp(values)
    first = int(below.argmin())
    return first + (int(below[first:].argmax()) if below[first:].any() else len(values) - first) // 2


def early_signs(
    curves: Curves, events: Events, names: Sequence[str] | None = None, width: int | None = None
) -> list[Sign]:
    """What has turned between memorisation and grokking, the earliest first.

    Series that go one way have no sign. A sign means something only where runs that never grok lack it: see
    `sign_table`. For a run that never groks, the signs until its last step, with their distance from there.

    Args:
        curves, events: of the run.
        names: of the series, by default those of `studied` but accuracies and train loss.
        width: as for `turn`, in steps; by default a twentieth of the stretch, longer than a slingshot.
    """
    begin = 0 if events.memorised is None else events.memorised
    end = events.last if events.grokked is None else events.grokked
    width = (end - begin) // 20 if width is None else width
    if names is None:
        names = [name for name in studied(curves) if name not in (TRAIN_LOSS, *ACCURACIES)]
    turned = {name: turn(*curves[name], begin, end, width) for name in names if name in curves}
    signs = [Sign(name, place[0], place[1], end - place[0]) for name, place in turned.items() if place]
    return sorted(signs, key=lambda sign: (sign.step, sign.name))


def studied(curves: Curves) -> list[str]:
    """The names of series that say how a network learns: of the journal and of probes, and none of evaluations."""
    journal = (TRAIN_LOSS, TEST_LOSS, *ACCURACIES, LEARNING_RATE)
    return [name for name in curves if name in journal or name.startswith(_STUDIED) and not name.startswith(_COST)]


def between(curves: Curves, begin: int, end: int | None = None) -> Curves:
    """The part of all series with begin <= step < end; series without such a step are left out."""
    parts = {name: _within(of, begin, end) for name, of in curves.items()}
    return {name: part for name, part in parts.items() if len(part[0])}


def by_phase(curves: Curves, events: Events) -> Mapping[str, Curves]:
    """The series of every phase, by name of the phase."""
    return {name: between(curves, *stretch) for name, stretch in events.phases.items()}


def value_at(steps: np.ndarray, values: np.ndarray, step: int) -> float:
    """The last value that was logged at or before a step; nan before the first."""
    place = int(np.searchsorted(steps, step, side="right")) - 1
    return float(values[place]) if place >= 0 else float("nan")


def _within(of: tuple[np.ndarray, np.ndarray], begin: int, end: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    steps, values = of
    inside = (steps >= begin) & (steps < end) if end is not None else steps >= begin
    return steps[inside], values[inside]


def _share(steps: np.ndarray, values: np.ndarray, threshold: float) -> float:
    """Share of the steps with a value of at least the threshold; nan without a value."""
    return float(held_weights(steps) @ (values >= threshold)) if len(steps) else float("nan")


def _rise(
    steps: np.ndarray, test: np.ndarray, memorised: int | None, grokked: int | None, threshold: float
) -> int | None:
    if memorised is None or grokked is None or grokked <= memorised:
        return None
    start = value_at(steps, test, memorised)
    start = 0.0 if np.isnan(start) else start
    low = test <= start + _RISE * (threshold - start)
    return max(memorised, int(steps[low & (steps < grokked)].max(initial=memorised)))

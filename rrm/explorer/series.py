"""From the logged points of a series to the points of a line: axis, gaps, smoothing, range, fewer points."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rrm.curves import Curves, thin

Line = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Axis:
    """What a series is drawn against.

    Attributes:
        title: with its unit.
        clock: series that, added up, say what has been spent until a step; none for the step itself.
        event: series whose last value is the step that becomes 0; "" for none.
    """

    title: str
    clock: tuple[str, ...] = ()
    event: str = ""


AXES: Mapping[str, Axis] = {
    "step": Axis("step"),
    "calls": Axis("network calls", ("call_units",)),
    "seconds": Axis("seconds of training and evaluation", ("time/train_s", "time/evaluate_s")),
    "tau": Axis("sum of learning rates", ("probe/path/tau",)),
    "memorised": Axis("steps since memorised", event="grokking/memorised_step"),
    "grokked": Axis("steps since grokked", event="grokking/grokked_step"),
    "best": Axis("steps since the best checkpoint", event="validation/best_step"),
}


def needed(axis: str) -> tuple[str, ...]:
    """The series that an axis needs beside those that are drawn."""
    return (*AXES[axis].clock, *filter(None, [AXES[axis].event]))


def line(curves: Curves, name: str, axis: str) -> Line | None:
    """A series against an axis: x ascending [n] and y [n], with nan for values that are not finite.

    None where the run lacks the clock or the event of the axis. Of several points at one step the last one counts.
    Points behind the last reading of the clock are left out.
    """
    steps, values = curves[name]
    last = np.r_[np.diff(steps) > 0, True] if len(steps) else np.zeros(0, bool)
    steps, values = steps[last], np.where(np.isfinite(values[last]), values[last], np.nan)
    of = AXES[axis]
    if of.event:
        happened = curves[of.event][1] if of.event in curves else np.array([])
        happened = happened[np.isfinite(happened)]
        return (steps - happened[-1], values) if len(happened) else None
    if not of.clock:
        return steps.astype(float), values
    if any(clock not in curves for clock in of.clock):
        return None
    x = np.zeros(len(steps))
    for clock in of.clock:
        at, spent = curves[clock]
        x = x + np.interp(steps, np.r_[0, at], np.r_[0.0, spent], right=np.nan)
    known = np.isfinite(x)
    return x[known], values[known]


def smooth(y: np.ndarray, width: int) -> np.ndarray:
    """The mean of the `width` points around each, of as many as there are at the ends; a gap stays one."""
    if width <= 1 or not len(y):
        return y
    known = np.isfinite(y)
    before, after = (width - 1) // 2, width // 2
    sums = np.r_[0.0, np.cumsum(np.where(known, y, 0.0))]
    counts = np.r_[0, np.cumsum(known)]
    low = np.maximum(np.arange(len(y)) - before, 0)
    high = np.minimum(np.arange(len(y)) + after + 1, len(y))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known, (sums[high] - sums[low]) / (counts[high] - counts[low]), np.nan)


def within(x: np.ndarray, begin: float | None, end: float | None) -> slice:
    """The points of ascending x between two ends, and one more at either side, so that a line leaves the panel."""
    first = 0 if begin is None else max(int(np.searchsorted(x, begin)) - 1, 0)
    last = len(x) if end is None else int(np.searchsorted(x, end, side="right")) + 1
    return slice(first, last)


def fewer(x: np.ndarray, y: np.ndarray, most: int) -> Line:
    """At most `most` points: the ends and the extremes between them, and a gap in the place of every stretch of gaps.

    The extremes of a stretch hide a gap beside them, so the points are chosen from one piece between two gaps each.
    """
    if len(x) <= most:
        return x, y
    gap = ~np.isfinite(y)
    edges = np.flatnonzero(np.diff(gap.astype(int))) + 1
    pieces = [slice(begin, end) for begin, end in zip(np.r_[0, edges], np.r_[edges, len(x)], strict=True)]
    if len(pieces) > most // 4:
        return thin(x, y, most)  # more gaps than can be drawn
    xs, ys = [], []
    for piece in pieces:
        if gap[piece.start]:
            xs.append(x[piece][:1])
            ys.append(y[piece][:1])
        else:
            share = max(2, most * (piece.stop - piece.start) // len(x))
            few, kept = thin(x[piece], y[piece], share)
            xs.append(few)
            ys.append(kept)
    return np.concatenate(xs), np.concatenate(ys)

"""Groups of runs that agree in some settings, and the median and range of their series."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rrm.explorer.runs import settings, short
from rrm.tracking.reader import Run

MOST_PLACES = 2000  # of a median at most; runs that were logged at other steps each would need more


@dataclass(frozen=True)
class RunGroup:
    """Runs that agree in the settings of the grouping.

    Attributes:
        label: their values, or the name of the one run.
        runs: those that are not hidden.
        hidden: how many are.
    """

    label: str
    runs: tuple[Run, ...]
    hidden: int = 0

    @property
    def n(self) -> str:
        """ "3 runs", or "2 of 3 runs" where one is hidden."""
        of = f" of {len(self.runs) + self.hidden}" if self.hidden else ""
        return f"{len(self.runs)}{of} run{'s' * (len(self.runs) + self.hidden != 1)}"


@dataclass(frozen=True)
class Band:
    """Median and range of the series of a group.

    Attributes:
        x: [m], ascending.
        median, low, high: [m] over the runs that have a value there; nan where none has.
        n: int [m], how many have.
    """

    x: np.ndarray
    median: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n: np.ndarray


def group_runs(runs: Sequence[Run], by: Sequence[str], hidden: Sequence[str] = ()) -> list[RunGroup]:
    """The runs by their values of the settings `by`, in the order of the first of each; by none, each run alone.

    A group keeps its place and its label when all of its runs are hidden.
    """
    names = _names(runs)
    own = [settings(run) for run in runs]
    # What all runs share tells none from another.
    telling = [name for name in by if len({of.get(name) for of in own}) > 1]
    found: dict[str, list[Run]] = {}
    for run, of, name in zip(runs, own, names, strict=True):
        label = _label(of, telling) or (_label(of, by) if by else "") or name
        found.setdefault(label, []).append(run)
    groups = []
    for label, mine in found.items():
        kept = tuple(run for run in mine if short(run) not in hidden)
        groups.append(RunGroup(label, kept, len(mine) - len(kept)))
    return groups


def _names(runs: Sequence[Run]) -> list[str]:
    """A name for each run: its own, with its job where runs have several, and with its id where another has it, too."""
    jobs = len({run.group for run in runs}) > 1
    names = [f"{run.group}: {run.name}" if jobs and run.group != run.name else run.name for run in runs]
    count = Counter(names)
    return [f"{name} ({short(run)})" if count[name] > 1 else name for run, name in zip(runs, names, strict=True)]


def _label(own: Mapping[str, str], names: Sequence[str]) -> str:
    # Models and arms are known by their values; the value of a parameter says nothing without its name.
    parts = [own[name] if name in ("model", "arm", "job", "kind", "name", "role") else f"{name} {own[name]}"
             for name in names if own.get(name)]  # fmt: skip
    return ", ".join(parts)


def collapse(lines: Sequence[tuple[np.ndarray, np.ndarray]], most: float = MOST_PLACES) -> Band:
    """Median and range of lines (x ascending [n], y [n]), each between its first and its last point.

    A line counts where it is known: between two neighbouring points it is straight, and beside a gap (nan) it is not
    known. Beyond `most` places the places are the most evenly spread ones.
    """
    places = np.unique(np.concatenate([x for x, _ in lines])) if lines else np.array([])
    if len(places) > most:
        places = places[np.linspace(0, len(places) - 1, int(most)).round().astype(int)]
    table = np.full((len(lines), len(places)), np.nan)
    for row, (x, y) in zip(table, lines, strict=True):
        if len(x):
            row[:] = np.interp(places, x, y, left=np.nan, right=np.nan)
    n = np.isfinite(table).sum(0)
    known = n > 0
    median, low, high = (np.full(len(places), np.nan) for _ in range(3))
    part = table[:, known]
    if part.size:
        middle = np.median if np.isfinite(part).all() else np.nanmedian  # the second takes ten times as long
        median[known], low[known], high[known] = middle(part, 0), np.nanmin(part, 0), np.nanmax(part, 0)
    return Band(places, median, low, high, n)

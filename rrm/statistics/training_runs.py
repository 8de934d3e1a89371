"""Many training runs with their settings and histories: select, group, rank, summarise, and ask in SQL.

runs = TrainingRuns([...])
runs.select(p=59).group_by("weight_decay", "test/accuracy", "final")
runs.query("SELECT run, MAX(value) FROM history WHERE series = 'test/accuracy' GROUP BY run")
"""

import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import overload

import numpy as np

from rrm.curves import Curves
from rrm.statistics.events import ACCURACIES, TEST_ACCURACY, Events, between, find_events
from rrm.statistics.grok_times import GrokTimes, grok_times
from rrm.statistics.histories import Summary, derived, in_order, shares, summarise

# Numbers of a series by which runs are compared, and the field of `Summary` with each.
AT = {"final": "final", "min": "least", "max": "most", "mean": "mean"}


# Settings that a summary has columns for, or that number trials.
_NAMED = ("seed", "model", "arm", "trial")


@dataclass(frozen=True)
class TrainingRun:
    """One training run.

    Attributes:
        name: of the run, unlike any other.
        model, arm: network and intervention; runs of both differ in their seed.
        seed: of the training.
        settings: by name, as text; whatever else the run was made with.
        curves: its series, with train and test accuracy; of several rows of a step the last one is kept.
    """

    name: str
    model: str
    arm: str
    seed: int
    settings: Mapping[str, str]
    curves: Curves

    def __post_init__(self) -> None:
        object.__setattr__(self, "curves", in_order(self.curves))

    @property
    def label(self) -> str:
        """Model and arm; the name of a run that has neither."""
        return ", ".join(part for part in (self.model, self.arm) if part) or self.name

    @cached_property
    def events(self) -> Events:
        """When it memorised and grokked; ValueError without both accuracies."""
        return find_events(self.curves)

    @property
    def grokked(self) -> bool:
        """Whether it has."""
        return self.events.grokked is not None

    def number(self, series: str, at: str = "final", after_step: int = 0) -> float:
        """One number of a series, by a name of AT, over the steps from `after_step`; nan without any value there."""
        if at not in AT:
            raise ValueError(f"{at!r} is no number of a series: use one of {', '.join(AT)}")
        part = between({series: self.curves[series]} if series in self.curves else {}, after_step)
        return float(getattr(summarise(*part[series]), AT[at])) if series in part else math.nan

    def with_derived(self) -> Curves:
        """Its series and those derived from them."""
        return {**self.curves, **derived(self.curves)}


class TrainingRuns(Sequence[TrainingRun]):
    """Runs in an order.

    Raises:
        ValueError: two runs have the same name, or a run has no accuracies.
    """

    def __init__(self, runs: Sequence[TrainingRun]):
        self._runs = list(runs)
        names = [run.name for run in runs]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two runs have the name {twice[0]}: give each run once")
        for run in runs:
            if missing := [name for name in ACCURACIES if name not in run.curves]:
                raise ValueError(f"run {run.name} has no series {missing[0]}: give runs that were logged by a journal")

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[TrainingRun]:
        return iter(self._runs)

    @overload
    def __getitem__(self, place: int) -> TrainingRun: ...

    @overload
    def __getitem__(self, place: slice) -> "TrainingRuns": ...

    def __getitem__(self, place: int | slice) -> "TrainingRun | TrainingRuns":
        return TrainingRuns(self._runs[place]) if isinstance(place, slice) else self._runs[place]

    def named(self, name: str) -> TrainingRun:
        """The run of this name; ValueError where there is none."""
        for run in self:
            if run.name == name:
                return run
        raise ValueError(f"there is no run {name}: use one of {', '.join(run.name for run in self)}")

    @property
    def arms(self) -> list[str]:
        """Labels of models and arms, in the order of the runs."""
        return list(dict.fromkeys(run.label for run in self))

    @property
    def series(self) -> list[str]:
        """Names of all series of any run, in the order in which they come."""
        return list(dict.fromkeys(name for run in self for name in run.curves))

    @property
    def varied(self) -> list[str]:
        """Names of the settings that runs differ in, but those of their recipes, which follow from them."""
        names = dict.fromkeys(name for run in self for name in run.settings if not name.startswith("recipe."))
        return [name for name in names if len({run.settings.get(name) for run in self}) > 1]

    def select(self, **settings: object) -> "TrainingRuns":
        """The runs with these settings, compared as text; `model`, `arm`, `seed` and `grokked` are settings, too."""
        return TrainingRuns([run for run in self if all(_has(run, name, value) for name, value in settings.items())])

    def grouped(self, setting: str) -> dict[str, "TrainingRuns"]:
        """The runs by the value of a setting; runs without it are under ""."""
        values = dict.fromkeys(_setting(run, setting) for run in self)
        return {value: TrainingRuns([run for run in self if _setting(run, setting) == value]) for value in values}

    def group_by(self, setting: str, series: str, at: str = "final") -> dict[str, Summary]:
        """Statistics over runs of one number of a series, by the value of a setting."""
        found = {}
        for value, runs in self.grouped(setting).items():
            numbers = np.array([run.number(series, at) for run in runs])
            # Every run weighs the same: as if each value held for one step.
            found[value] = summarise(np.arange(len(numbers)), numbers, end=len(numbers))
        return found

    def ranked(
        self, series: str, at: str = "final", minimize: bool = False, after_step: int = 0, most: int | None = None
    ) -> list[tuple[TrainingRun, float]]:
        """(run, number) by one number of a series, the best first, at most `most`; runs without it are left out."""
        numbers = [(run, run.number(series, at, after_step)) for run in self]
        known = [(run, number) for run, number in numbers if math.isfinite(number)]
        return sorted(known, key=lambda item: item[1] if minimize else -item[1])[:most]

    def rankings(self, series: Mapping[str, bool], at: str = "final") -> dict[str, dict[str, int]]:
        """Rank of each run, 1 the best, in each series; `series`: by name, whether small is good."""
        orders = {name: self.ranked(name, at, minimize) for name, minimize in series.items()}
        return {
            run.name: {name: 1 + [found.name for found, _ in order].index(run.name)
                       for name, order in orders.items() if run.name in [found.name for found, _ in order]}
            for run in self
        }  # fmt: skip

    def best_settings(self, series: str = TEST_ACCURACY, at: str = "final", minimize: bool = False) -> dict[str, str]:
        """The varied settings of the best run; empty without a run that has the series."""
        order = self.ranked(series, at, minimize, most=1)
        return {name: order[0][0].settings.get(name, "") for name in self.varied} if order else {}

    def grok_times(self) -> list[GrokTimes]:
        """Steps of grokking by arm; ValueError where two runs of an arm share their seed."""
        events: dict[tuple[str, int], Events] = {}
        for run in self:
            if (run.label, run.seed) in events:
                raise ValueError(
                    f"two runs of {run.label} have the seed {run.seed}: their arms do not say how they differ"
                )
            events[run.label, run.seed] = run.events
        return grok_times(events)

    def summary(self) -> list[dict[str, str]]:
        """Rows of a table, the runs that keep what they have grokked the longest first."""
        rows = []
        for run in sorted(self, key=lambda run: -_number(run.events.test_pairs_kept)):
            found, of_all = run.events, shares(run.curves)
            rows.append(
                {
                    "run": run.name,
                    "arm": run.label,
                    "seed": str(run.seed),
                    **{name: run.settings.get(name, "") for name in self.varied if name not in _NAMED},
                    "memorised": _step(found.memorised, found.last),
                    "grokked": _step(found.grokked, found.last),
                    "train >= 98 %": f"{100 * of_all['train/accuracy >= 0.98']:.0f}",
                    "test >= 95 %": f"{100 * of_all['test/accuracy >= 0.95']:.0f}",
                    "kept after": _percent(found.test_pairs_kept),
                    "final test %": f"{100 * run.number(TEST_ACCURACY):.1f}",
                    "variance after": "" if math.isnan(found.test_variance) else f"{found.test_variance:.1e}",
                }
            )
        return rows

    def query(self, sql: str) -> list[dict[str, object]]:
        """Rows of an SQL query (SQLite) over the tables runs, settings and history.

        runs(run, model, arm, seed, memorised, grokked, last), settings(run, name, value),
        history(run, series, step, value); NULL stands for an event that never came, and for nan.
        """
        with sqlite3.connect(":memory:") as database:
            database.row_factory = sqlite3.Row
            database.execute("CREATE TABLE runs (run, model, arm, seed, memorised, grokked, last)")
            database.execute("CREATE TABLE settings (run, name, value)")
            database.execute("CREATE TABLE history (run, series, step, value)")
            for run in self:
                of = run.events
                row = (run.name, run.model, run.arm, run.seed, of.memorised, of.grokked, of.last)
                database.execute("INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?)", row)
                database.executemany(
                    "INSERT INTO settings VALUES (?, ?, ?)", ((run.name, *s) for s in run.settings.items())
                )
                for name, (steps, values) in run.curves.items():
                    points = zip(steps.tolist(), values.tolist(), strict=True)
                    database.executemany(
                        "INSERT INTO history VALUES (?, ?, ?, ?)", ((run.name, name, *p) for p in points)
                    )
            return [dict(row) for row in database.execute(sql)]


def _setting(run: TrainingRun, name: str) -> str:
    own = {"model": run.model, "arm": run.arm, "seed": run.seed, "grokked": run.grokked}
    return str(own[name]) if name in own else run.settings.get(name, "")


def _has(run: TrainingRun, name: str, value: object) -> bool:
    found = _setting(run, name)
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(found) == value
        except ValueError:
            return False
    return found == str(value)


def _number(value: float) -> float:
    return -1.0 if math.isnan(value) else value


def _step(step: int | None, last: int) -> str:
    return f"> {last}" if step is None else str(step)


def _percent(share: float) -> str:
    return "" if math.isnan(share) else f"{100 * share:.0f}"

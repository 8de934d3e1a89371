"""Grokking: steps until runs memorise and grok, the share that has not yet, and a table of the runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from plotly.graph_objects import Figure

from rrm.explorer.palette import DASHES, colours_of, see_through
from rrm.explorer.runs import settings, short
from rrm.explorer.selection import Selection
from rrm.explorer.tabs.forest import ROW, rows_upwards
from rrm.explorer.tabs.style import GRID, INK, escape, plain_figure
from rrm.explorer.tabs.tab import Tab
from rrm.explorer.view import View

if TYPE_CHECKING:  # scipy, which they need, takes a second to import and is no part of curves
    from rrm.statistics.grok_times import GrokTimes
    from rrm.statistics.training_runs import TrainingRun

# As in `rrm.statistics.events`.
ACCURACIES = ("train/accuracy", "test/accuracy")
MOST_ROWS = 200  # of the table


def figures(selection: Selection, view: View) -> list[Figure]:
    """Survival, events by group, and the table, of the runs that have both accuracies."""
    if not all(selection.has([name]) for name in ACCURACIES):
        return []
    from rrm.statistics.training_runs import TrainingRun, TrainingRuns

    curves = selection.curves(ACCURACIES)
    groups: dict[str, list[TrainingRun]] = {}
    for group in selection.groups:
        for run in group.runs:
            if all(len(curves[run.id].get(name, ((), ()))[0]) for name in ACCURACIES):
                own = settings(run)
                # Two jobs may have a trial of the same name.
                name = f"{run.name} ({short(run)})"
                seed = own.get("seed", "0")
                of = TrainingRun(name, "", group.label, int(seed) if seed.isdecimal() else 0, own, curves[run.id])
                groups.setdefault(group.label, []).append(of)
    if not groups:
        return []
    every = [run for runs in groups.values() for run in runs]
    return [_survival(groups, view), _events(groups, view), _table(TrainingRuns(every).summary())]


def _times(groups: dict[str, list[TrainingRun]]) -> Iterator[GrokTimes]:
    from rrm.statistics.grok_times import grok_times

    for label, runs in groups.items():
        yield from grok_times({(label, place): run.events for place, run in enumerate(runs)})


def _survival(groups: dict[str, list[TrainingRun]], view: View) -> Figure:
    traces: list[dict] = []
    colours, first, last = colours_of(len(groups), view.dark), np.inf, 1.0
    for place, (times, colour) in enumerate(zip(_times(groups), colours, strict=True)):
        curve, name = times.curve, escape(times.arm)
        said = f"{name}<br>{len(times.grokked)} of {times.n} runs grok, median step {times.median_words}"
        step = {"type": "scatter", "legendgroup": name, "name": name, "showlegend": False}
        shape = {"shape": "hv", "color": colour, "dash": DASHES[place % len(DASHES)], "width": 2}
        counts = np.stack([np.r_[times.n, curve.at_risk], np.r_[1.0, curve.low], np.r_[1.0, curve.high]], 1)
        traces.append({
            **step, "mode": "lines", "x": np.r_[1.0, curve.time], "y": np.r_[1.0, curve.survival], "line": shape,
            "meta": "line", "customdata": counts,
            "hovertemplate": "%{y:.0%} at step %{x:.0f}<extra>" + said + "</extra>",
        })  # fmt: skip
        ended = np.array(sorted(times.censored.values()), float)
        if ended.size:
            left = np.r_[1, curve.survival][np.searchsorted(curve.time, ended, side="right")]
            traces.append({
                **step, "mode": "markers", "x": ended, "y": left, "meta": "points", "line": {"color": colour},
                "marker": {"symbol": "line-ns-open", "size": 10, "color": colour},
                "hovertemplate": "ended at step %{x}<extra>" + name + "</extra>",
            })  # fmt: skip
        last = max(last, float(curve.time[-1]))
        first = min([first, *times.memorised.values(), *times.grokked.values(), *times.censored.values()])
    note = "bars: runs that ended without"
    figure = plain_figure("share of runs that have not grokked yet", traces, "step", note=note, wide=True)
    figure.update_yaxes(range=[-0.03, 1.04])
    return figure.update_xaxes(type="log", range=np.log10([max(first, 1) / 1.5, 1.2 * last]).tolist())


def _events(groups: dict[str, list[TrainingRun]], view: View) -> Figure:
    """Steps of memorisation and of grokking, a point a run."""
    colours = colours_of(2, view.dark)
    traces = []
    for number, (word, colour) in enumerate(zip(("memorised", "grokked"), colours, strict=True)):
        points = [(label, step, run.name) for label, runs in groups.items() for run in runs
                  if (step := getattr(run.events, word)) is not None]  # fmt: skip
        traces.append({
            "type": "scatter", "mode": "markers", "meta": "points", "name": word,
            "x": [step for _, step, _ in points], "y": [escape(label) for label, *_ in points],
            "customdata": [escape(name) for *_, name in points],
            "marker": {"color": colour, "size": 8, "symbol": ("circle-open", "diamond")[number]},
            "hovertemplate": "%{customdata}: " + word + " at step %{x}<extra></extra>",
        })  # fmt: skip
    figure = plain_figure("steps of the events", traces, "step", height=max(320, 120 + ROW * len(groups)), wide=True)
    rows_upwards(figure)
    labels = [escape(label) for label in groups]
    return figure.update_yaxes(categoryorder="array", categoryarray=labels).update_xaxes(type="log")


def _table(rows: Sequence[dict[str, str]]) -> Figure:
    shown, clear = rows[:MOST_ROWS], "rgba(0,0,0,0)"
    columns = [name for name in rows[0] if name not in ("name", "job", "status", "kind", "role")]
    trace = {
        "type": "table", "meta": "table", "columnwidth": [max(len(name), *(len(row[name]) for row in shown), 6)
                                                          for name in columns],
        "header": {"values": columns, "align": "left", "fill": {"color": see_through("#808080", 0.15)},
                   "line": {"color": clear}, "font": {"size": 11}},
        "cells": {"values": [[escape(row[name]) for row in shown] for name in columns], "align": "left",
                  "fill": {"color": clear}, "font": {"size": 11}, "line": {"color": GRID}, "height": 22},
    }  # fmt: skip
    note = f"the first {len(shown)} of {len(rows)}" if len(shown) < len(rows) else ""
    title = "runs, those that keep what they have grokked the longest first"
    figure = plain_figure(title, [trace], "", note=note, height=min(700, 130 + 24 * len(shown)), wide=True)
    figure.layout.margin.update(l=8, r=8, b=8)
    figure.layout.font.color = INK
    return figure


TAB = Tab("grokking", "Grokking", "python tune_specs/grokking_sweep.py", figures)

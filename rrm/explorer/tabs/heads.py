"""Heads: what they look at, how far a training changes them, and the maps of those that change most."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from plotly.graph_objects import Figure

from rrm.explorer.palette import DASHES, colours_of
from rrm.explorer.selection import Selection
from rrm.explorer.tabs.style import INK, escape, plain_figure
from rrm.explorer.tabs.tab import Tab
from rrm.explorer.view import View
from rrm.tasks.head_summary import HEADS, PASS, HeadSummary, load_heads

if TYPE_CHECKING:  # scipy, which it needs, takes a second to import and is no part of curves
    from rrm.statistics.head_seeds import Measure

KIND = "heads"
MOST_STUDIES, MOST_MAPS = 3, 4
# Marks of the models, beside their colours.
_SYMBOLS = ("circle", "square", "diamond", "cross", "x", "triangle-up")
# Log lifts are shown up to so many nats: six times a uniform row.
_MOST = 1.8


def figures(selection: Selection, view: View) -> list[Figure]:
    """Of the newest study of a sweep in a selection, and of the newest MOST_STUDIES studies of single trainings."""
    from rrm.statistics.head_seeds import SEEDS, load_measures

    swept = [(run.name, load_measures(file)) for run in selection.jobs
             if run.kind == KIND and (file := selection.file(run, SEEDS))][:1]  # fmt: skip
    found = [
        (run.name, load_heads(file))
        for run in selection.jobs
        if run.kind == KIND and (file := selection.file(run, HEADS))
    ][:MOST_STUDIES]
    over_seeds = [figure for name, measures in swept for figure in seed_figures(measures, view, f", {name}")]
    several = len(found) + len(swept) > 1
    return over_seeds + [
        figure for name, summary in found for figure in head_figures(summary, view, f", {name}" * several)
    ]


def seed_figures(measures: "Sequence[Measure]", view: View, words: str = "") -> list[Figure]:
    """A figure for each group of numbers over seeds: seeds, their mean with its 95 % interval, and the null."""
    one, other, third = colours_of(3, view.dark)
    drawn = []
    for group in dict.fromkeys(measure.group for measure in measures):
        of = [measure for measure in measures if measure.group == group]
        names = [escape(measure.words) for measure in of]
        seeds = [(name, seed, m.factor * value) for name, m in zip(names, of, strict=True)
                 for seed, value in m.values.items()]  # fmt: skip
        means = [m.mean * m.factor for m in of]
        known = [(name, m) for name, m in zip(names, of, strict=True) if m.null]
        traces: list[dict] = [
            {"type": "scatter", "mode": "markers", "name": "seed", "meta": "points",
             "y": [name for name, _, _ in seeds], "x": [value for _, _, value in seeds],
             "customdata": [seed for _, seed, _ in seeds],
             "marker": {"color": third, "size": 5},
             "hovertemplate": "seed %{customdata}: %{x:.3g}<extra>%{y}</extra>"},
            {"type": "scatter", "mode": "markers", "name": "mean", "meta": "points", "y": names,
             "x": [mean.estimate for mean in means], "marker": {"color": one, "size": 9},
             "error_x": {"type": "data", "symmetric": False, "color": one, "thickness": 1.5,
                         "array": [mean.high - mean.estimate for mean in means],
                         "arrayminus": [mean.estimate - mean.low for mean in means]},
             "hovertemplate": "mean %{x:.3g}<extra>%{y}</extra>"},
            {"type": "scatter", "mode": "markers", "name": "null", "meta": "points", "y": [name for name, _ in known],
             "x": [m.factor * m.chance for _, m in known], "customdata": [escape(m.against) for _, m in known],
             "marker": {"color": other, "size": 8, "symbol": "diamond"},
             "hovertemplate": "%{customdata} %{x:.3g}<extra>%{y}</extra>"},
        ]  # fmt: skip
        title, _, note = group.partition(": ")
        unit = next((m.unit for m in of if m.unit), "")
        figure = plain_figure(
            f"{title[0].upper()}{title[1:]}{words}", traces, unit, note=note, height=150 + 22 * len(of)
        )
        drawn.append(
            figure.update_yaxes(type="category", autorange="reversed", categoryarray=names, tickmode="linear", dtick=1)
        )
    return drawn


def head_figures(summary: HeadSummary, view: View, words: str = "") -> list[Figure]:
    """Scores, changes, changes and scores over calls, and maps; `words` at the end of each title.

    In a notebook:

        for figure in head_figures(load_heads(Path("runs/heads-1/heads.npz")), View()):
            figure.show()
    """
    drawn = [_scores(summary, words), _changes(summary, view, words)]
    drawn += _over_calls(summary, view, words) if summary.calls != PASS else []
    return drawn + ([_maps(summary, words)] if summary.maps.size else [])


TAB = Tab("heads", "Heads", "python analysis/heads.py --run RUN_ID", figures)


def _names(summary: HeadSummary) -> list[str]:
    return [f"{layer}.{head}" for layer in summary.layer_names for head in range(summary.lift.shape[3])]


def _scores(summary: HeadSummary, words: str) -> Figure:
    patterns, names = summary.pattern_names, _names(summary)
    lift = summary.log_lift(summary.names[0]).reshape(len(names), -1)
    mean = summary.mean_lift(summary.names[0]).reshape(lift.shape)
    low, high = summary.low[0].reshape(lift.shape), summary.high[0].reshape(lift.shape)
    marks = np.where((mean < low) | (mean > high), "*", "")
    with np.errstate(divide="ignore"):
        band = np.stack([np.log(low), np.log(high)], -1)
    trace = {
        "type": "heatmap", "z": np.where(np.isfinite(lift), lift, -_MOST), "x": patterns, "y": names, "zmid": 0,
        "zmin": -_MOST, "zmax": _MOST, "colorscale": "RdBu", "reversescale": True, "text": marks, "meta": "points",
        "texttemplate": "%{text}", "customdata": band, "colorbar": {"title": {"text": "nats"}, "thickness": 12},
        "hovertemplate": "head %{y}, %{x}: %{z:.2f} nats<br>null %{customdata[0]:.2f} to %{customdata[1]:.2f}"
        "<extra></extra>", "showlegend": False,
    }  # fmt: skip
    note = "log of the attention over that of a uniform row; * outside of the 95 % band of the null"
    height = max(320, 140 + 18 * len(names))
    figure = plain_figure(f"What heads look at{words}", [trace], "", "layer.head", note=note, height=height)
    return figure.update_yaxes(type="category", autorange="reversed", tickmode="linear", dtick=1)


def _changes(summary: HeadSummary, view: View, words: str) -> Figure:
    others, names = summary.names[1:], _names(summary)
    first = np.nanmean(summary.change(others[0]), 0).ravel()
    order = np.argsort(-first, kind="stable")
    traces = []
    for number, (other, colour) in enumerate(zip(others, colours_of(len(others), view.dark), strict=True)):
        look = {"color": colour, "size": 8, "symbol": _SYMBOLS[number % len(_SYMBOLS)]}
        values = np.nanmean(summary.change(other), 0).ravel()[order]
        traces.append({
            "type": "scatter", "x": [names[place] for place in order], "y": values, "mode": "markers", "meta": "points",
            "name": escape(f"from {other}"), "marker": look,
            "hovertemplate": "head %{x}: %{y:.3f} nats<extra>" + escape(other) + "</extra>",
        })  # fmt: skip
    figure = plain_figure(f"Which heads change{words}", traces, "layer.head", "divergence (nats)")
    return figure.update_xaxes(type="category")


def _over_calls(summary: HeadSummary, view: View, words: str) -> list[Figure]:
    x = 1 + np.arange(summary.lift.shape[1])
    others, patterns = summary.names[1:], summary.pattern_names
    with np.errstate(divide="ignore"):
        lines = {
            ("Change by call", "divergence (nats)"): [
                (f"from {other}", np.nanmean(summary.change(other), (1, 2))) for other in others
            ],
            ("Patterns by call", "log lift (nats)"): [
                (name, np.log(np.nanmean(summary.lift[0, ..., p], (1, 2)))) for p, name in enumerate(patterns)
            ],
        }
    drawn = []
    for (title, unit), series in lines.items():
        traces = [
            {"type": "scatter", "x": x, "y": y, "mode": "lines", "name": escape(name), "meta": "line",
             "line": {"color": colour, "width": 1.8, "dash": DASHES[place % len(DASHES)]},
             "hovertemplate": "%{y:.3f} in call %{x}"}
            for place, ((name, y), colour) in enumerate(zip(series, colours_of(len(series), view.dark), strict=True))
        ]  # fmt: skip
        figure = plain_figure(f"{title}{words}", traces, "network call", unit, note="mean over heads")
        drawn.append(figure.add_hline(0, line={"color": INK, "width": 1, "dash": "dot"}))
    return drawn


def _maps(summary: HeadSummary, words: str) -> Figure:
    """The mean maps of the heads that change most, side by side: rows are cells, columns are positions."""
    change, names = np.nanmean(summary.change(summary.names[1]), 0), _names(summary)
    places = np.argsort(-change.ravel(), kind="stable")[:MOST_MAPS]
    chosen = summary.maps.reshape(len(summary.names), len(names), *summary.maps.shape[3:])[0, places]
    cells, positions = chosen.shape[1:]
    gap = np.full((cells, max(1, positions // 12)), np.nan)
    parts = [part for of_head in chosen for part in (of_head, gap)][:-1]
    ticks = [number * (positions + gap.shape[1]) + positions / 2 - 0.5 for number in range(len(places))]
    trace = {
        "type": "heatmap", "z": np.concatenate(parts, 1), "colorscale": "Viridis", "showlegend": False,
        "meta": "points", "colorbar": {"title": {"text": "share"}, "thickness": 12}, "hoverongaps": False,
        "hovertemplate": "cell %{y}: %{z:.3f}<extra></extra>",
    }  # fmt: skip
    note = "mean over puzzles and calls; of each head, cells below each other and what they look at side by side"
    figure = plain_figure(f"Maps of the heads that change most{words}", [trace], "layer.head", "cell", note=note)
    figure.update_xaxes(tickmode="array", tickvals=ticks, ticktext=[names[place] for place in places], showgrid=False)
    return figure.update_yaxes(autorange="reversed")

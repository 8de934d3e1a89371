"""Claims of the study: every effect in units of the smallest that counts, its verdict, its null, and its runs."""

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from textwrap import wrap
from urllib.parse import urlencode

from plotly.graph_objects import Figure

from rrm.explorer.palette import colours_of, see_through
from rrm.explorer.selection import Selection
from rrm.explorer.tabs.forest import Row, interval_trace, named, rows_upwards
from rrm.explorer.tabs.style import INK, plain_figure
from rrm.explorer.tabs.tab import Tab
from rrm.explorer.view import SHORT, View
from rrm.files import refusing
from rrm.tracking.reader import Run

KIND, FILE = "claims", "claims.csv"
REMEDY = "restore the file from a copy, or make the table again"
# Verdicts as `rrm.statistics.claims` has them, with their marks.
_LOOKS = {"holds": ("holds", "circle"), "does not hold": ("does not hold", "square"), "": ("cannot be said", "diamond")}
MOST = 6.0  # of the axis, in smallest effects that count
MOST_LINKS = 2  # of a claim, beside its row
_NUMBER = re.compile(r"[-+]?\d+\.?\d*(?:e[-+]?\d+)?")
_WIDTHS = {"claim": 300, "effect": 130, "unit": 70, "seeds": 40, "null": 110, "counts from": 60, "p corrected": 70,
           "would be found": 80, "verdict": 90, "values by seed": 150}  # fmt: skip

Cells = Mapping[str, str]


def figures(selection: Selection, view: View) -> list[Figure]:
    """The forest and the table of each run of the study."""
    studies = [run for run in selection.jobs if run.kind == KIND]
    drawn = []
    for run in studies:
        if path := selection.file(run, FILE):
            with refusing(path, "table of claims", REMEDY):
                rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
                placed = [(row, _numbers(row)) for row in rows]
            drawn += [
                _forest(named(run, studies, "claims"), placed, {one.id: one for one in selection.jobs}, view),
                _table(named(run, studies, "claims in numbers"), rows),
            ]
    return drawn


def _numbers(row: Cells) -> dict[str, float]:
    """Effect, low, high, null, control, smallest and detectable of a row, nan where it has none."""
    effect = [float(text) for text in _NUMBER.findall(row["effect"])] + [math.nan] * 3
    null = [float(text) for text in _NUMBER.findall(row["null"])] + [math.nan] * 2
    least = float(row["counts from"]) - null[0] if row["counts from"] else math.nan
    found = [float(text) for text in _NUMBER.findall(row["would be found"])]
    return {"effect": effect[0], "low": effect[1], "high": effect[2], "null": null[0], "control": null[1],
            "smallest": least, "detectable": found[0] if found else math.nan}  # fmt: skip


def _place(numbers: Mapping[str, float], name: str) -> float:
    """On the axis: 0 is the null of the claim and 1 the smallest effect that counts; what lies beyond at the edge."""
    value = (numbers[name] - numbers["null"]) / numbers["smallest"]
    return min(max(value, -MOST), MOST) if math.isfinite(value) else math.nan


def _forest(
    title: str, placed: Sequence[tuple[Cells, Mapping[str, float]]], known: Mapping[str, Run], view: View
) -> Figure:
    names = ["<br>".join(escape(line) for line in wrap(row["claim"], 60)) for row, _ in placed]
    traces = []
    for (verdict, (word, symbol)), colour in zip(_LOOKS.items(), colours_of(3, view.dark), strict=True):
        mine = [
            (row, numbers, name)
            for (row, numbers), name in zip(placed, names, strict=True)
            if (row["verdict"] if row["verdict"] in _LOOKS else "") == verdict
        ]
        rows = [Row(name, _place(of, "effect"), _place(of, "low"), _place(of, "high")) for _, of, name in mine]
        said = [
            f"{row['effect']} {row['unit']}, {row['seeds']} seeds<br>null {row['null']}, counts from "
            f"{row['counts from']}<br>p corrected {row['p corrected']}<br>{'<br>'.join(wrap(row['test'], 70))}"
            for row, *_ in mine
        ]
        traces.append({
            **interval_trace(rows, colour), "y": [row.name for row in rows], "name": word, "customdata": said,
            "marker": {"color": colour, "size": 9, "symbol": symbol}, "hovertemplate": "%{customdata}<extra></extra>",
        })  # fmt: skip
    # A null that stands where the claim does means that the test finds it anywhere.
    marks = {
        "null through the same code": ("control", "line-ns-open", 12),
        "would be found": ("beyond", "x-thin-open", 7),
    }
    for word, (part, symbol, size) in marks.items():
        values = [_place({**of, "beyond": of["null"] + of["detectable"]}, part) for _, of in placed]
        traces.append({
            "type": "scatter", "mode": "markers", "x": values, "y": names, "name": word, "meta": "points",
            "marker": {"color": INK, "size": size, "symbol": symbol, "line": {"width": 1.5}},
            "hovertemplate": "%{x:.3g}<extra>" + word + "</extra>",
        })  # fmt: skip
    note = "0 is the null of each claim, 1 the smallest effect that counts; 95 % intervals over training seeds"
    axis = "(effect − null) / smallest effect that counts"
    figure = plain_figure(title, traces, axis, note=note, height=max(360, 150 + 38 * len(placed)), wide=True)
    rows_upwards(figure)
    figure.update_yaxes(categoryorder="array", categoryarray=names, tickfont={"size": 10})
    figure.update_xaxes(range=[-1.1 * MOST, 1.1 * MOST])
    figure.add_vrect(1, 1.1 * MOST, line_width=0, fillcolor=see_through("#808080", 0.12), layer="below")
    links = {"xref": "paper", "x": 1.005, "xanchor": "left", "showarrow": False, "font": {"size": 10}}
    figure.layout.annotations = [
        {**links, "y": name, "text": link}
        for (row, _), name in zip(placed, names, strict=True)
        if (link := _links(row["runs"], known))
    ]
    figure.layout.margin.r = 90
    return figure.add_vline(0, line={"color": INK, "width": 1})


def _table(title: str, rows: Sequence[Cells]) -> Figure:
    columns = [[escape(row[name]) for row in rows] for name in _WIDTHS]
    clear = "rgba(0,0,0,0)"
    trace = {
        "type": "table", "columnwidth": list(_WIDTHS.values()), "meta": "table",
        "header": {"values": list(_WIDTHS), "align": "left", "fill": {"color": see_through("#808080", 0.15)},
                   "line": {"color": clear}, "font": {"size": 11}},
        "cells": {"values": columns, "align": "left", "fill": {"color": clear}, "font": {"size": 11}, "height": 22,
                  "line": {"color": see_through("#808080", 0.25)}},
    }  # fmt: skip
    figure = plain_figure(title, [trace], "", height=min(900, 120 + 44 * len(rows)), wide=True)
    figure.layout.margin.update(l=8, r=8, b=8)
    return figure


def _links(ids: str, known: Mapping[str, Run]) -> str:
    """The first MOST_LINKS runs of a claim as links: to all trainings of a job that is known, else to the run."""
    found = []
    for one in ids.split()[:MOST_LINKS]:
        pairs = {"jobs": known[one].group} if one in known else {"runs": one[:SHORT]}
        found.append(f'<a href="?{escape(urlencode(pairs))}" target="_self">{escape(one[:SHORT])}</a>')
    return "<br>".join(found)


TAB = Tab("claims", "Claims", "python analysis/claims.py --preset quick", figures)

"""Settling of recursive reasoners: is a state that rests a right one, and how long do puzzles stay unsolved?"""

from collections.abc import Iterator, Sequence
from html import escape

import numpy as np
from plotly.graph_objects import Figure

from rrm.explorer.palette import colours_of, see_through
from rrm.explorer.results import Measured, measurements
from rrm.explorer.selection import Selection
from rrm.explorer.tabs.stability import COMMAND, MOST, OUTCOMES, medians
from rrm.explorer.tabs.style import INK, plain_figure
from rrm.explorer.tabs.tab import Tab
from rrm.explorer.view import View

# The four classes by letter as in `rrm.statistics.settling.SettlingTable`: name, outcome, and pattern in grey.
CLASSES = {
    "A": ("settled, solved", "solved", ""),
    "B": ("settled, failed", "failed", ""),
    "C": ("moving, solved", "solved", "/"),
    "D": ("moving, failed", "failed", "/"),
}
MOST_CLOUDS = 2  # models whose puzzles are drawn one by one


def figures(selection: Selection, view: View) -> list[Figure]:
    """Settled against right, how the state comes to rest by segment, and how long puzzles stay unsolved."""
    found = measurements(selection, MOST)
    panels = {"drift of z_H, median": ("drift_H", True), "drift of z_L, median": ("drift_L", True),
              "halting logit, median": ("q_halt", False), "margin, median": ("margin", False),
              "entropy (nats), median": ("entropy", False)}  # fmt: skip
    drawn = []
    for title, (name, log) in panels.items():
        having = [one for one in found if name in one.arrays and np.isfinite(one.arrays[name]).any()]
        traces = list(medians(having, view, lambda one, rows, name=name: one.arrays[name][rows]))
        if traces:
            drawn.append(plain_figure(title, traces, "segment", log=log))
    if survival := list(_survival(found, view)):
        drawn.append(plain_figure("share of puzzles not solved yet", survival, "segment"))
    return [*_settled(found, view), *drawn, *_deep(found, view)]


def _survival(found: Sequence[Measured], view: View) -> Iterator[dict]:
    having = [one for one in found if "solved_at" in one.arrays]
    colours = colours_of(len(having), view.dark)
    for one, colour in zip(having, colours, strict=True):
        reached = np.maximum.accumulate(one.arrays["solved_at"].astype(bool), axis=1)
        y = 1 - reached.mean(0)
        yield {
            "type": "scatter", "x": np.arange(1, len(y) + 1), "y": y, "mode": "lines+markers", "meta": "line",
            "name": escape(one.label), "line": {"color": colour, "width": 1.8, "shape": "hv"}, "marker": {"size": 4},
            "showlegend": False, "legendgroup": escape(one.label), "customdata": np.full(len(y), len(reached)),
        }  # fmt: skip


def _settled(found: Sequence[Measured], view: View) -> Iterator[Figure]:
    """The 2x2 of settled against solved of each model, and the puzzles themselves of a few models."""
    # scipy, which these need, takes a second to import and is no part of curves.
    from rrm.statistics.settling import SettlingTable, late_drift, settling_table

    tables: list[tuple[Measured, SettlingTable]] = []
    clouds: list[Figure] = []
    for one in found:
        late = late_drift(one.arrays["drift_H"]) if "drift_H" in one.arrays else np.full(len(one.solved), np.nan)
        rows = one.finite & np.isfinite(late)
        if np.unique(late[rows & (late > 0)]).size < 2:  # nothing to split
            continue
        table = settling_table(late[rows], one.solved[rows])
        tables.append((one, table))
        if len(clouds) < MOST_CLOUDS:
            clouds.append(_cloud(one, late, rows, table.tau, view))
    if not tables:
        return
    labels = [escape(one.label).replace(", ", ",<br>") for one, _ in tables]
    bars = []
    for letter, (name, outcome, pattern) in CLASSES.items():
        counts = np.array([getattr(table, letter) for _, table in tables])
        of = np.array([table.A + table.B + table.C + table.D for _, table in tables])
        _, light, dark = OUTCOMES[outcome]
        colour = dark if view.dark else light
        bars.append({
            "type": "bar", "orientation": "h", "x": 100 * counts / of, "y": labels,
            "name": name, "text": [str(count) if count else "" for count in counts], "customdata": counts,
            "meta": "points", "textposition": "inside", "insidetextanchor": "middle",
            "marker": {"color": see_through(colour, 0.35), "line": {"color": colour, "width": 1},
                       "pattern": {"shape": pattern, "fgcolor": colour, "solidity": 0.1}},
            "hovertemplate": "%{customdata} puzzles, %{x:.1f} %<extra>" + name + "</extra>",
        })  # fmt: skip
    note = "; ".join(f"settled: late drift at most {table.tau:.3g}" for _, table in tables) if len(tables) < 3 else (
        "settled: late drift below the split of each model's puzzles"
    )  # fmt: skip
    height = max(320, 150 + 56 * len(tables))
    figure = plain_figure("settled against solved", bars, "share of puzzles (%)", note=note, height=height)
    figure.update_layout(barmode="stack")
    figure.update_yaxes(type="category", autorange="reversed")
    yield figure
    yield from clouds


def _cloud(one: Measured, late: np.ndarray, rows: np.ndarray, tau: float, view: View) -> Figure:
    """Late drift and leading exponent of every puzzle of a model; a drift of 0 stands at the smallest other one."""
    late = np.maximum(late, late[rows & (late > 0)].min())
    traces = []
    for number, (name, (outcome, *hues)) in enumerate(OUTCOMES.items()):
        part = rows & (one.solved == outcome)
        traces.append({
            "type": "scatter", "mode": "markers", "x": late[part], "y": one.arrays["lambda_per_call"][part, 0],
            "name": name, "meta": "points",
            "marker": {"color": hues[view.dark], "symbol": ("circle", "x")[number], "size": 6, "opacity": 0.6},
        })  # fmt: skip
    title = f"late drift and λ₁ of each puzzle: {one.label}"
    figure = plain_figure(title, traces, "late drift (state units per segment)", one.unit)
    figure.update_xaxes(type="log", exponentformat="power", dtick=1)
    return figure.add_vline(tau, line={"color": INK, "width": 1, "dash": "dot"})


def _deep(found: Sequence[Measured], view: View) -> Iterator[Figure]:
    """Rollouts far past the training depth: the share that is not solved yet, with its 95 % interval."""
    colours = colours_of(len(found), view.dark)
    having = [(one, one.deep, colour) for one, colour in zip(found, colours, strict=True) if one.deep is not None]
    if not having:
        return
    from rrm.statistics.survival import kaplan_meier

    traces: list[dict] = []
    for one, solved, colour in having:
        escaped = solved.any(1)
        curve = kaplan_meier(np.where(escaped, solved.argmax(1) + 1, solved.shape[1]), escaped)
        step = {"type": "scatter", "mode": "lines", "x": curve.time, "legendgroup": escape(one.label)}
        shape = {"shape": "hv", "color": colour}
        traces += [
            {**step, "y": curve.low, "line": {**shape, "width": 0}, "hoverinfo": "skip", "showlegend": False},
            {**step, "y": curve.high, "line": {**shape, "width": 0}, "hoverinfo": "skip", "showlegend": False,
             "fill": "tonexty", "fillcolor": see_through(colour, 0.2)},
            {**step, "y": curve.survival, "line": {**shape, "width": 1.8}, "name": escape(one.label), "meta": "line",
             "customdata": curve.at_risk, "showlegend": False,
             "hovertemplate": "%{y:.1%} at %{x}, %{customdata} at risk<extra>" + escape(one.label) + "</extra>"},
        ]  # fmt: skip
    counts = "; ".join(f"{int(solved.any(1).sum())} of {len(solved)} puzzles solved" for _, solved, _ in having[:2])
    figure = plain_figure("not solved yet in deep rollouts", traces, "segments", note=counts)
    figure.update_xaxes(type="log", dtick=float(np.log10(2)))
    for depth in sorted({one.segments for one, *_ in having}):
        figure.add_vline(depth, line={"color": INK, "width": 1, "dash": "dot"})
    yield figure


TAB = Tab("settling", "Settling", COMMAND, figures)

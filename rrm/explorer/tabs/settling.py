"""Settling of recursive reasoners: is a state that rests a right one, and how long do puzzles stay unsolved?"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from plotly.graph_objects import Figure

from rrm.explorer.palette import see_through
from rrm.explorer.results import Measured, MeasuredGroup, measurements
from rrm.explorer.selection import Selection
from rrm.explorer.tabs.stability import COMMAND, MOST, OUTCOMES, Values, band, hues, limit_words, medians
from rrm.explorer.tabs.style import INK, escape, plain_figure
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
    found, left_out = measurements(selection, MOST)
    if not found:
        return []
    colours = hues(found, view)
    panels = {"drift of z_H, median": ("drift_H", True), "drift of z_L, median": ("drift_L", True),
              "halting logit, median": ("q_halt", False), "margin, median": ("margin", False),
              "entropy (nats), median": ("entropy", False)}  # fmt: skip
    drawn = []
    for title, (name, log) in panels.items():
        having = [part for group in found if (part := group.having(name))]
        traces = list(medians(having, colours, view, _array(name)))
        if traces:
            drawn.append(plain_figure(title, traces, "segment", log=log))
    if survival := list(_survival(found, colours, view)):
        drawn.append(plain_figure("share of puzzles not solved yet", survival, "segment"))
    return [*_settled(found, limit_words(found, left_out), view), *drawn, *_deep(found, colours)]


def _array(name: str) -> Values:
    return lambda one, rows: one.arrays[name][rows]


def _survival(found: Sequence[MeasuredGroup], colours: Mapping[str, str], view: View) -> Iterator[dict]:
    for group in (part for group in found if (part := group.having("solved_at"))):
        reached = [np.maximum.accumulate(one.arrays["solved_at"].astype(bool), axis=1) for one in group.models]
        look = {"color": colours[group.label], "width": 1.8, "shape": "hv"}
        count = sum(map(len, reached))
        yield from band(group.label, group.label, [1 - one.mean(0) for one in reached], look, f"{count} puzzles", view)


def _settled(found: Sequence[MeasuredGroup], limit: str, view: View) -> Iterator[Figure]:
    """The 2x2 of settled against solved of each group, and the puzzles themselves of a few models.

    Every model of a group has a split of its own; the counts are added up.
    """
    # scipy, which these need, takes a second to import and is no part of curves.
    from rrm.statistics.settling import SettlingTable, late_drift, settling_table

    tables: list[tuple[MeasuredGroup, list[SettlingTable]]] = []
    clouds: list[Figure] = []
    for group in found:
        mine: list[SettlingTable] = []
        for one in group.models:
            late = late_drift(one.arrays["drift_H"]) if "drift_H" in one.arrays else np.full(len(one.solved), np.nan)
            rows = one.finite & np.isfinite(late)
            if np.unique(late[rows & (late > 0)]).size < 2:  # nothing to split
                continue
            mine.append(settling_table(late[rows], one.solved[rows]))
            if len(clouds) < 2 * MOST_CLOUDS and len(mine) == 1:
                label = group.label if len(group.models) == 1 else f"{group.label}, {one.label}"
                clouds.append(_cloud(label, one, late, rows, mine[0].tau, view))
                clouds.append(_thresholds(label, one, late, rows, mine[0].tau, view))
        if mine:
            tables.append((group, mine))
    if not tables:
        return
    labels = [escape(one.label).replace(", ", ",<br>") for one, _ in tables]
    bars = []
    for letter, (name, outcome, pattern) in CLASSES.items():
        counts = np.array([sum(getattr(table, letter) for table in mine) for _, mine in tables])
        of = np.array([sum(table.A + table.B + table.C + table.D for table in mine) for _, mine in tables])
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
    splits = [table.tau for _, mine in tables for table in mine]
    said = (f"late drift at most {tau:.3g}" for tau in splits)
    note = "settled: " + ("; ".join(said) if len(splits) < 3 else "late drift below the split of each model's puzzles")
    note = "; ".join(filter(None, [note, limit]))
    height = max(320, 150 + 56 * len(tables))
    figure = plain_figure("settled against solved", bars, "share of puzzles (%)", note=note, height=height)
    figure.update_layout(barmode="stack")
    figure.update_yaxes(type="category", autorange="reversed")
    yield figure
    yield from clouds


def _cloud(label: str, one: Measured, late: np.ndarray, rows: np.ndarray, tau: float, view: View) -> Figure:
    """Late drift and leading exponent of every puzzle of a model; a drift of 0 stands at the smallest other one."""
    late = np.maximum(late, late[rows & (late > 0)].min())
    traces = []
    for number, (name, (outcome, *both)) in enumerate(OUTCOMES.items()):
        part = rows & (one.solved == outcome)
        traces.append({
            "type": "scatter", "mode": "markers", "x": late[part], "y": one.arrays["lambda_per_call"][part, 0],
            "name": name, "meta": "points",
            "marker": {"color": both[view.dark], "symbol": ("circle", "x")[number], "size": 6, "opacity": 0.6},
        })  # fmt: skip
    title = f"late drift and λ₁ of each puzzle: {label}"
    figure = plain_figure(title, traces, "late drift (state units per segment)", one.unit)
    figure.update_xaxes(type="log", exponentformat="power", dtick=1)
    return figure.add_vline(tau, line={"color": INK, "width": 1, "dash": "dot"})


def _thresholds(label: str, one: Measured, late: np.ndarray, rows: np.ndarray, tau: float, view: View) -> Figure:
    """The 2x2 for every threshold of the late drift, so that one sees how much hangs on the split."""
    from rrm.statistics.settling import settling_sweep

    sweep = settling_sweep(late[rows], one.solved[rows])
    traces = []
    for letter, (name, outcome, pattern) in CLASSES.items():
        counts = getattr(sweep, letter)
        traces.append({
            "type": "scatter", "mode": "lines", "x": sweep.percentile, "y": 100 * counts / rows.sum(), "name": name,
            "line": {"color": OUTCOMES[outcome][1 + view.dark], "dash": "dash" if pattern else "solid", "width": 1.8},
            "meta": "line", "customdata": sweep.tau,
            "hovertemplate": "%{y:.1f} % at a threshold of %{customdata:.3g}<extra>" + name + "</extra>",
        })  # fmt: skip
    title = f"2x2 at other thresholds: {label}"
    figure = plain_figure(title, traces, "percentile of late drift that is the threshold", "share of puzzles (%)")
    split = 100 * float((late[rows] <= tau).mean())
    return figure.add_vline(split, line={"color": INK, "width": 1, "dash": "dot"})


def _deep(found: Sequence[MeasuredGroup], colours: Mapping[str, str]) -> Iterator[Figure]:
    """Rollouts far past the training depth: the share that is not solved yet, with its 95 % interval.

    A dotted line falls from the training depth on as it would with a constant chance to escape in every segment.
    """
    having = [(group, one, one.deep) for group in found for one in group.models if one.deep is not None]
    if not having:
        return
    from rrm.statistics.survival import escape_probability, kaplan_meier

    traces: list[dict] = []
    chances = []
    for group, one, solved in having:
        colour, name, last = colours[group.label], escape(group.label), solved.shape[1]
        escaped = np.asarray(solved.any(1))
        time = np.where(escaped, solved.argmax(1) + 1, last)
        curve = kaplan_meier(time, escaped)
        step = {"type": "scatter", "mode": "lines", "x": curve.time, "legendgroup": name, "showlegend": False}
        shape = {"shape": "hv", "color": colour}
        traces += [
            {**step, "y": curve.low, "line": {**shape, "width": 0}, "hoverinfo": "skip"},
            {**step, "y": curve.high, "line": {**shape, "width": 0}, "hoverinfo": "skip", "fill": "tonexty",
             "fillcolor": see_through(colour, 0.2)},
            {**step, "y": curve.survival, "line": {**shape, "width": 1.8}, "name": name, "meta": "line",
             "customdata": curve.at_risk,
             "hovertemplate": "%{y:.1%} at %{x}, %{customdata} at risk<extra>" + name + "</extra>"},
        ]  # fmt: skip
        late = np.asarray(time > one.segments)
        chance = escape_probability(time[late] - one.segments, escaped[late]) if late.any() else None
        if chance is not None and 0 < one.segments < last:
            x = np.unique(np.geomspace(one.segments, last, 60).round())
            share = late.mean() * (1 - chance.estimate) ** (x - one.segments)
            said = f"{name}: constant chance {chance.estimate:.2g} per segment"
            chances.append(f"p = {chance.estimate:.2g} [{chance.low:.2g}, {chance.high:.2g}]")
            traces.append({
                **step, "x": x, "y": share, "line": {"color": colour, "dash": "dot", "width": 1.4}, "name": said,
                "meta": "line", "hovertemplate": "%{y:.1%} at %{x}<extra>" + said + "</extra>",
            })  # fmt: skip
    look = {"color": INK, "dash": "dot", "width": 1.4}
    traces.append({"type": "scatter", "x": [None], "y": [None], "mode": "lines", "line": look,
                   "name": "constant chance p to escape, per segment"})  # fmt: skip
    counts = [f"{int(solved.any(1).sum())} of {len(solved)} puzzles solved" for *_, solved in having]
    note = "; ".join([*counts, *chances][:4]) if len(having) < 3 else ""
    figure = plain_figure("not solved yet in deep rollouts", traces, "segments", note=note)
    figure.update_xaxes(type="log", dtick=float(np.log10(2)))
    for depth in sorted({one.segments for _, one, _ in having}):
        figure.add_vline(depth, line={"color": INK, "width": 1, "dash": "dot"})
    yield figure


TAB = Tab("settling", "Settling", COMMAND, figures)

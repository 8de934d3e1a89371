"""Tabs that are panels of series: one figure a panel, a colour a group, a dash a series."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import numpy as np
from plotly.graph_objects import Figure

from rrm.curves import Curves
from rrm.explorer.groups import RunGroup, collapse
from rrm.explorer.palette import DASHES, colours_of, see_through
from rrm.explorer.selection import Selection
from rrm.explorer.series import AXES, Line, fewer, line, needed, smooth, within
from rrm.explorer.tabs.style import INK, escape, plain_figure
from rrm.explorer.tabs.tab import Tab
from rrm.explorer.view import View
from rrm.panels import Panel

# Points of one line at most: two a pixel. Many lines share a figure's points, but keep some each.
MOST_OF_LINE, MOST_OF_FIGURE, LEAST_OF_LINE = 1000, 5000, 20
# Lines with few points have marks, so that one with a single point is seen.
_FEW = 30


@dataclass
class _Told:
    """What a figure has to say about its lines."""

    shown: int = 0
    of: int = 0
    left_out: set[str] = field(default_factory=set)
    not_positive: int = 0
    low: float = math.inf
    high: float = -math.inf

    def words(self, view: View, log: bool) -> str:
        notes = [f"mean of {view.smooth} points"] * (view.smooth > 1)
        if self.shown < self.of:
            notes.append(f"{self.shown:,} of {self.of:,} points, extremes kept")
        if self.left_out:
            notes.append(f"{len(self.left_out)} runs have no {AXES[view.x].title}")
        if log and self.not_positive:
            notes.append(f"{self.not_positive:,} points at or below 0 left out")
        return "; ".join(notes)


def panel_tab(name: str, title: str, panels: Sequence[Panel], command: str) -> Tab:
    """The tab of these panels."""

    def figures(selection: Selection, view: View) -> list[Figure]:
        wanted = {pattern for panel in panels for pattern in panel.series.values()}
        curves = selection.curves((*wanted, *needed(view.x)))
        found = [panel_figure(panel, selection, curves, view) for panel in panels]
        return [figure for figure in found if figure is not None]

    def layers(selection: Selection) -> list[str]:
        patterns = [pattern for panel in panels for pattern in panel.series.values() if "*" in pattern]
        found = {_star(series, pattern) for pattern in patterns for series in selection.names
                 if fnmatchcase(series, pattern)}  # fmt: skip
        return sorted(found - {""})

    series = tuple(dict.fromkeys(pattern for panel in panels for pattern in panel.series.values()))
    return Tab(name, title, command, figures, layers, series=series)


def panel_figure(panel: Panel, selection: Selection, curves: dict[str, Curves], view: View) -> Figure | None:
    """The series of a panel: median and range of each group, None where no run has one of them.

    Where there is one group, its series have a colour each.

    Args:
        curves: by id of the run, with what the axis needs.
    """
    names = list(_series(panel, curves, view))
    log = panel.log if view.scale_y == "panel" else view.scale_y == "log"
    groups = [group for group in selection.groups if any(curves[run.id] for run in group.runs)]
    labels = [group.label for group in selection.groups]
    colours = dict(zip(labels, colours_of(len(labels), view.dark), strict=True))
    hues = colours_of(len(names), view.dark)
    count = sum(len(group.runs) if view.lines else 1 for group in groups) * len(names)
    few = min(MOST_OF_LINE, max(LEAST_OF_LINE, MOST_OF_FIGURE // max(count, 1)))
    most = math.inf if selection.whole else few
    told = _Told()
    traces: list[dict] = []
    for group in groups:
        for number, (label, series) in enumerate(names):
            colour = hues[number] if len(labels) == 1 else colours[group.label]
            look = {"color": colour, "dash": DASHES[number % len(DASHES)]}
            traces += _traces(group, label, series, curves, view, log, look, most, told)
    if not traces:
        return None
    if len(names) > 1:
        for number, (label, series) in enumerate(names):
            colour = hues[number] if len(labels) == 1 else INK
            shape: dict[str, str | int] = {"color": colour, "dash": DASHES[number % len(DASHES)], "width": 2}
            traces.append({"x": [None], "y": [None], "mode": "lines", "line": shape, "name": escape(label or series)})
    figure = _figure(panel, traces, view, log, told.words(view, log))
    meta = {"ranged": True, "thinned": told.shown < told.of, "extent": [told.low, told.high],
            "scale": "log" if panel.log else "linear", "aligned": bool(AXES[view.x].event)}  # fmt: skip
    figure.update_layout(meta={**figure.layout.meta, **meta})
    return figure


def _series(panel: Panel, curves: dict[str, Curves], view: View) -> Iterator[tuple[str, str]]:
    """(name in the panel, series) of the series that some run has."""
    known = list(dict.fromkeys(name for of in curves.values() for name in of))
    for name, pattern in panel.series.items():
        if "*" not in pattern:
            yield from [(name, pattern)] * (pattern in known)
            continue
        for series in (found for found in known if fnmatchcase(found, pattern)):
            if not view.layers or _star(series, pattern) in view.layers:
                yield _star(series, pattern), series


def _star(series: str, pattern: str) -> str:
    return series[pattern.index("*") :]


def _traces(
    group: RunGroup,
    label: str,
    series: str,
    curves: dict[str, Curves],
    view: View,
    log: bool,
    look: dict[str, str],
    most: float,
    told: _Told,
) -> Iterator[dict]:
    lines: dict[str, Line] = {}
    for run in group.runs:
        if series in curves[run.id]:
            found = line(curves[run.id], series, view.x)
            if found is None:
                told.left_out.add(run.id)
            elif len(found[0]):
                lines[run.name] = found[0], smooth(found[1], view.smooth)
    if not lines:
        return
    name = escape(f"{group.label}: {label}" if label else group.label)
    if len(lines) > 1:
        whole = most == math.inf
        band = collapse(list(lines.values()), *[most] * whole)
        if view.lines:
            for run_name, (x, y) in lines.items():
                x, y = _kept(x, y, view, most, log, told)
                thin = {**look, "width": 0.8}
                yield _line(x, y, group.label, escape(f"{group.label}, {run_name}"), thin, None, opacity=0.55)
        yield from _range(band.x, band.low, band.high, view, most, log, look["color"])
        x, y = _kept(band.x, band.median, view, most, log, told)
        n = np.stack([band.n, band.low, band.high], 1) if whole else band.n[np.searchsorted(band.x, x)]
        yield _line(x, y, group.label, name, {**look, "width": 2}, n)
    else:
        for x, y in lines.values():
            x, y = _kept(x, y, view, most, log, told)
            yield _line(x, y, group.label, name, {**look, "width": 1.6}, None)


def _kept(x: np.ndarray, y: np.ndarray, view: View, most: float, log: bool, told: _Told) -> Line:
    """The points that are drawn."""
    few, kept = _thinned(x, y, view, most)
    told.low, told.high = min(told.low, float(x[0])), max(told.high, float(x[-1]))
    told.of += len(x)
    told.shown += len(few)
    if log:
        told.not_positive += int((kept <= 0).sum())
        kept = np.where(kept > 0, kept, np.nan)
    return few, kept


def _thinned(x: np.ndarray, y: np.ndarray, view: View, most: float) -> Line:
    """All points where there are few, so that a narrower range needs no others; else those of the range."""
    if len(x) <= most:
        return x, y
    part = within(x, view.begin, view.end)
    return fewer(x[part], y[part], int(most))


def _line(
    x: np.ndarray, y: np.ndarray, group: str, name: str, look: dict, n: np.ndarray | None, opacity: float = 1.0
) -> dict:
    over = "" if n is None else "<br>median of %{customdata}"
    alone = len(x) <= _FEW
    return {
        "type": "scatter", "x": x, "y": y, "legendgroup": group, "customdata": n, "name": name, "line": look,
        "opacity": opacity,
        "mode": "lines+markers" if alone else "lines", "marker": {"size": 4, "color": look["color"]},
        "showlegend": False, "meta": "line", "hovertemplate": f"%{{y:.5g}} at %{{x:.6g}}{over}<extra>{name}</extra>",
    }  # fmt: skip


def _range(
    x: np.ndarray, low: np.ndarray, high: np.ndarray, view: View, most: float, log: bool, colour: str
) -> Iterator[dict]:
    """The band between lowest and highest value, one outline for each stretch without a gap."""
    if len(x) > most:
        part = within(x, view.begin, view.end)
        x, low, high = x[part], low[part], high[part]
    if log:
        least = np.min(low[low > 0], initial=np.inf)
        low = np.where(high > 0, np.maximum(low, least), np.nan)
    xs: list[np.ndarray] = []
    ys: list[np.ndarray] = []
    few = int(min(most, 2 * len(x)) // 2)
    known = np.isfinite(low) & np.isfinite(high)
    edges = np.flatnonzero(np.diff(np.r_[False, known, False].astype(int)))
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        below, above = (fewer(x[begin:end], of[begin:end], few) for of in (low, high))
        xs += [above[0], below[0][::-1], np.array([np.nan])]
        ys += [above[1], below[1][::-1], np.array([np.nan])]
    if xs:
        yield {
            "type": "scatter", "x": np.concatenate(xs), "y": np.concatenate(ys), "fill": "toself", "mode": "lines",
            "fillcolor": see_through(colour, 0.15), "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False,
            "meta": "range",
        }  # fmt: skip


def _heights(traces: list[dict], log: bool) -> list[float] | None:
    """The range of the upward axis where all values are one, which plotly would show between -1 and 1."""
    lines = [trace["y"][np.isfinite(trace["y"])] for trace in traces if trace.get("meta") == "line"]
    values = np.concatenate(lines) if lines else np.array([])
    if log or not len(values) or np.ptp(values) > 1e-6 * abs(values[0]) or values[0] == 0:
        return None
    return sorted([0.0, 2 * float(values[0])])


def _figure(panel: Panel, traces: list[dict], view: View, log: bool, note: str) -> Figure:
    log_x = view.scale_x == "log" and not AXES[view.x].event
    ends: list[float | None] = [view.begin, view.end]
    if log_x:
        ends = [None if end is None or end <= 0 else float(np.log10(end)) for end in ends]
    figure = plain_figure(panel.title, traces, AXES[view.x].title, note=note, log=log)
    figure.update_xaxes(type="log" if log_x else "linear", range=ends if ends != [None, None] else None)
    figure.update_yaxes(range=_heights(traces, log))
    figure.update_layout(uirevision=f"{panel.title} {view.x} {log_x}")
    for level in panel.levels:
        figure.add_hline(level, line={"color": INK, "width": 1, "dash": "dot"})
    return figure

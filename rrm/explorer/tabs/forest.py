"""Forests: values with their intervals, a row each."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from plotly.graph_objects import Figure

from rrm.explorer.palette import colours_of
from rrm.explorer.runs import short
from rrm.explorer.tabs.style import INK, escape, plain_figure
from rrm.explorer.view import View
from rrm.tracking.reader import Run

ROW = 26  # pixels


@dataclass(frozen=True)
class Row:
    """A value with the ends of its interval, which are nan for a value without one; points are drawn beside it."""

    name: str
    value: float
    low: float = math.nan
    high: float = math.nan
    points: tuple[float, ...] = ()


def forest(
    title: str, rows: Sequence[Row], what: str, view: View, *, none_at: float | None = None, points: str = ""
) -> Figure:
    """A row a value; a dotted line at `none_at`, where there is no effect.

    Args:
        what: title of the axis.
        points: what the points beside a value are, "single seeds"; nothing where no row has some.
    """
    colour, other = colours_of(2, view.dark)
    traces = [{**interval_trace(rows, colour), "name": what, "showlegend": False}]
    beside = [(row.name, point) for row in rows for point in row.points]
    if beside:
        traces.append({
            "type": "scatter", "mode": "markers", "y": [escape(name) for name, _ in beside], "name": points,
            "x": [point for _, point in beside], "meta": "points",
            "marker": {"color": other, "size": 6, "symbol": "line-ns-open"},
            "hovertemplate": "%{x:.4g}<extra>%{y}</extra>",
        })  # fmt: skip
    figure = plain_figure(title, traces, what, height=max(320, 120 + ROW * len(rows)))
    rows_upwards(figure)
    return figure if none_at is None else figure.add_vline(none_at, line={"color": INK, "width": 1, "dash": "dot"})


def interval_trace(rows: Sequence[Row], colour: str) -> dict:
    """The values and their intervals as a trace without a name."""
    reach = {
        "type": "data", "symmetric": False, "array": [row.high - row.value for row in rows],
        "arrayminus": [row.value - row.low for row in rows], "thickness": 1.5,
    }  # fmt: skip
    said = [f"[{row.low:.3g}, {row.high:.3g}]" if math.isfinite(row.low) else "" for row in rows]
    return {
        "type": "scatter", "x": [row.value for row in rows], "y": [escape(row.name) for row in rows], "error_x": reach,
        "mode": "markers", "marker": {"color": colour, "size": 8}, "meta": "points", "customdata": said,
        "hovertemplate": "%{x:.4g} %{customdata}<extra>%{y}</extra>",
    }  # fmt: skip


def rows_upwards(figure: Figure) -> None:
    """The first row on top, and a name at every row."""
    figure.update_yaxes(type="category", autorange="reversed", tickmode="linear", dtick=1)


def with_interval(metrics: Mapping[str, float], name: str, subject: str) -> Row:
    """The row of a metric that may have NAME_low and NAME_high beside it."""
    low, high = (metrics.get(f"{name}_{end}", math.nan) for end in ("low", "high"))
    return Row(subject, metrics[name], low, high)


def is_end(name: str, metrics: Iterable[str]) -> bool:
    """Whether a metric is an end of another one's interval."""
    return name.removesuffix("_low").removesuffix("_high") in metrics and name.endswith(("_low", "_high"))


def metric_name(name: str) -> str:
    """A name as metrics have it, see `rrm.reports.metrics`."""
    return re.sub(r"[^\w./-]+", "_", name)


def named(run: Run, among: Sequence[Run], title: str) -> str:
    """The title of a figure of a job; with the job where there are several, and with the run where one ran twice."""
    if len(among) < 2:
        return title
    again = f" ({short(run)})" if [other.group for other in among].count(run.group) > 1 else ""
    return f"{run.group}{again}: {title}"

"""Arms and claims: differences and effects with their intervals, from the metrics of a sweep or a study."""

import math
from collections.abc import Callable, Sequence
from html import escape

from plotly.graph_objects import Figure

from rrm.explorer.palette import colours_of
from rrm.explorer.runs import short
from rrm.explorer.selection import Selection
from rrm.explorer.tabs.style import INK, plain_figure
from rrm.explorer.tabs.tab import Tab
from rrm.explorer.view import View


def interval_figures(head: str, what: str, none_at: float | None) -> Callable[[Selection, View], Sequence[Figure]]:
    """Figures of metrics "HEAD/.../NAME" that have "NAME_low" and "NAME_high", one a NAME and job.

    Args:
        head: the first part of the metrics.
        what: title of the axis.
        none_at: where a dotted line says that there is no effect.
    """

    def figures(selection: Selection, view: View) -> list[Figure]:
        drawn = []
        jobs = [run.group for run in selection.jobs]
        for run in selection.jobs:
            rows: dict[str, list[tuple[str, float, float, float]]] = {}
            for name, value in run.metrics.items():
                low, high = (run.metrics.get(f"{name}_{end}", math.nan) for end in ("low", "high"))
                if name.startswith(f"{head}/") and math.isfinite(low) and math.isfinite(high):
                    subject, _, number = name.removeprefix(f"{head}/").rpartition("/")
                    rows.setdefault(number, []).append((subject, value, low, high))
            for number, found in rows.items():
                title = number.replace("_", " ")
                if len(jobs) > 1:  # a job that was run twice has two runs of one name
                    again = f" ({short(run)})" if jobs.count(run.group) > 1 else ""
                    title = f"{run.group}{again}: {title}"
                drawn.append(_forest(title, found, what, none_at, view))
        return drawn

    return figures


def _forest(
    title: str, rows: Sequence[tuple[str, float, float, float]], what: str, none_at: float | None, view: View
) -> Figure:
    names, values, lows, highs = zip(*rows, strict=True)
    (colour,) = colours_of(1, view.dark)
    reach = {
        "type": "data", "symmetric": False, "array": [high - value for value, high in zip(values, highs, strict=True)],
        "arrayminus": [value - low for value, low in zip(values, lows, strict=True)], "thickness": 1.5,
    }  # fmt: skip
    trace = {
        "type": "scatter", "x": list(values), "y": [escape(name) for name in names], "error_x": reach, "name": what,
        "mode": "markers", "marker": {"color": colour, "size": 8}, "showlegend": False, "meta": "points",
        "customdata": [f"[{low:.3g}, {high:.3g}]" for low, high in zip(lows, highs, strict=True)],
        "hovertemplate": "%{x:.4g} %{customdata}<extra>%{y}</extra>",
    }  # fmt: skip
    figure = plain_figure(title, [trace], "", note=what, height=max(320, 120 + 26 * len(rows)))
    figure.update_yaxes(type="category", autorange="reversed", tickmode="linear", dtick=1)
    return figure if none_at is None else figure.add_vline(none_at, line={"color": INK, "width": 1, "dash": "dot"})


ARMS = Tab(
    "arms", "Arms", "python tune_specs/perturb_sweep.py",
    interval_figures("arms", "paired difference from the baseline, 95 % interval", 0.0),
)  # fmt: skip
CLAIMS = Tab(
    "claims", "Claims", "python analysis/claims.py --preset quick",
    interval_figures("claims", "effect with its interval", None),
)  # fmt: skip

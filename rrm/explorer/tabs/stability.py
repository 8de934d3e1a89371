"""Exponents of recursive reasoners: solved puzzles against failed ones."""

from collections.abc import Callable, Iterator, Sequence
from html import escape

import numpy as np
from plotly.graph_objects import Figure

from rrm.explorer.palette import DASHES, colours_of
from rrm.explorer.results import Measured, measurements
from rrm.explorer.selection import Selection
from rrm.explorer.tabs.style import INK, plain_figure
from rrm.explorer.tabs.tab import Tab
from rrm.explorer.view import View

MOST = 12  # models at a time
COMMAND = "python analysis/lyapunov.py --run RUN_ID"
# Outcomes by the colours of `rrm.figures.style`, on light and on dark ground.
OUTCOMES = {"solved": (True, "#0b3c6f", "#8ab8f5"), "failed": (False, "#e0701a", "#ffb27a")}


def exponents(selection: Selection, view: View) -> list[Figure]:
    """Leading exponents of solved and failed puzzles, spectra, and leading exponents by segment."""
    found = measurements(selection, MOST)
    if not found:
        return []
    figures = [_distributions(found, view)]
    lines = {
        "spectrum, median": ("exponent", lambda one, rows: one.arrays["lambda_per_call"][rows]),
        "λ₁ by segment, median": ("segment", lambda one, rows: _first(one, rows)),
    }
    for title, (x, values) in lines.items():
        traces = list(medians(found, view, values, one_by_one=lambda one: one.finite))
        if traces:
            figures.append(plain_figure(title, traces, x, found[0].unit))
    return figures


def _first(one: Measured, rows: np.ndarray) -> np.ndarray:
    """[rows, segments] the leading exponent in each segment."""
    return one.arrays["lambda_segments"][rows][:, :, 0] if "lambda_segments" in one.arrays else np.zeros((0, 0))


def _distributions(found: Sequence[Measured], view: View) -> Figure:
    traces = []
    for name, (outcome, *hues) in OUTCOMES.items():
        rows = [one.finite & (one.solved == outcome) for one in found]
        values = [one.arrays["lambda_per_call"][row, 0] for one, row in zip(found, rows, strict=True)]
        labels = [escape(one.label) for one, value in zip(found, values, strict=True) for _ in value]
        traces.append({
            "type": "box", "x": np.concatenate(values), "y": labels, "name": name, "orientation": "h", "meta": "points",
            "marker": {"color": hues[view.dark], "size": 3}, "line": {"width": 1.2}, "boxpoints": "outliers",
        })  # fmt: skip
    counts = [f"{escape(one.label)}: {int(one.solved.sum())} of {len(one.solved)} solved" for one in found]
    note, height = "; ".join(counts) if len(found) < 3 else "", max(320, 150 + 44 * len(found))
    figure = plain_figure("λ₁ of solved and failed puzzles", traces, found[0].unit, note=note, height=height)
    figure.update_layout(boxmode="group", boxgap=0.25)
    figure.update_yaxes(type="category", autorange="reversed")
    return figure.add_vline(0, line={"color": INK, "width": 1, "dash": "dot"})


def medians(
    found: Sequence[Measured],
    view: View,
    values: Callable[..., np.ndarray],
    one_by_one: Callable[[Measured], np.ndarray] | None = None,
) -> Iterator[dict]:
    """A line a model and outcome: the median over puzzles at every place, solved ones solid, failed ones dashed."""
    colours = colours_of(len(found), view.dark)
    drawn = False
    for one, colour in zip(found, colours, strict=True):
        for number, (name, (outcome, *_)) in enumerate(OUTCOMES.items()):
            rows = (one.solved == outcome) & (one_by_one(one) if one_by_one else True)
            part = values(one, rows).astype(float)
            if not part.size:
                continue
            drawn = True
            part = np.where(np.isfinite(part), part, np.nan)
            part = part[:, np.isfinite(part).any(0)]
            y = np.nanmedian(part, 0) if part.size else np.array([])
            label = escape(f"{one.label}, {name}")
            yield {
                "type": "scatter", "x": np.arange(1, len(y) + 1), "y": y, "mode": "lines+markers", "name": label,
                "line": {"color": colour, "dash": DASHES[number], "width": 1.8}, "marker": {"size": 4}, "meta": "line",
                "customdata": np.full(len(y), len(part)), "showlegend": False, "legendgroup": escape(one.label),
                "hovertemplate": "%{y:.4g} at %{x}<br>median of %{customdata} puzzles<extra>" + label + "</extra>",
            }  # fmt: skip
    if drawn:
        for number, name in enumerate(OUTCOMES):
            look = {"color": INK, "dash": DASHES[number], "width": 2}
            yield {"type": "scatter", "x": [None], "y": [None], "mode": "lines", "name": name, "line": look}


EXPONENTS = Tab("exponents", "Exponents", COMMAND, exponents)

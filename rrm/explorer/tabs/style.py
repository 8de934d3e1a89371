"""The look that the figures of all tabs share. Text and ground are those of the page."""

from collections.abc import Sequence
from html import escape

import numpy as np
from plotly.graph_objects import Figure

HEIGHT = 320
GRID, INK = "rgba(128, 128, 128, 0.25)", "#6b6b6b"


def plain_figure(
    title: str, traces: Sequence[dict], x: str, y: str = "", *, note: str = "", log: bool = False, height: int = HEIGHT
) -> Figure:
    """A figure with a title, a note under the title, a legend of the traces that have one, and titles of the axes."""
    axis = {"gridcolor": GRID, "zeroline": False, "linecolor": GRID, "ticks": "outside", "tickcolor": GRID}
    values = [np.asarray(trace["y"], float) for trace in traces if trace.get("meta") == "line"] if log else []
    positive = np.concatenate([of[of > 0] for of in values] or [np.array([])])
    # Plotly names 2 and 5 of every decade, also where those names lie upon each other.
    decades = float(np.log10(positive.max() / positive.min())) if len(positive) else 0.0
    ticks = {"dtick": max(1, round(decades / 5))} if decades > 1.5 else {"nticks": 7}
    top = 40 + 18 * bool(note) + 20 * any(trace.get("showlegend", True) for trace in traces)
    return Figure(
        list(traces),
        {
            "title": {"text": escape(title), "subtitle": {"text": note, "font": {"size": 11}}, "x": 0.01,
                      "xanchor": "left", "y": 1 - 10 / height, "yanchor": "top", "font": {"size": 14}},
            "xaxis": {**axis, "title": {"text": x, "standoff": 6}, "automargin": True},
            "yaxis": {**axis, "title": {"text": y}, "type": "log" if log else "linear", "exponentformat": "power",
                      "automargin": True, **ticks},
            "height": height, "margin": {"l": 56, "r": 12, "t": top, "b": 42}, "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)", "font": {"color": INK, "size": 12}, "hovermode": "closest",
            "hoverlabel": {"namelength": -1}, "showlegend": True, "meta": {"thinned": False, "ranged": False},
            "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.0, "yanchor": "bottom",
                       "font": {"size": 11}, "itemclick": False, "itemdoubleclick": False, "traceorder": "normal"},
            "template": None,
        },
    )  # fmt: skip

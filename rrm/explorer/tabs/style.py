"""The look that the figures of all tabs share. Text and ground are those of the page."""

import html
from collections.abc import Sequence
from textwrap import wrap

import numpy as np
from plotly.graph_objects import Figure

HEIGHT = 320
TITLE = 48  # characters of a line of a title, beside the buttons of a plot
SMALL = 60  # of a title that takes more than two such lines, in small letters: plotly puts a note under two lines alone
# Pixels that a legend has at least, in a figure of one column and in one of all, and those of an entry beside its name.
_NARROW, _WIDE, _SWATCH, _LETTER, _LINE = 330, 900, 45, 6, 18
GRID, INK = "rgba(128, 128, 128, 0.25)", "#6b6b6b"


def escape(text: str) -> str:
    """A name as plotly shows it: without tags. Plotly does not read the escape of a quote."""
    return html.escape(text, quote=False)


def plain_figure(
    title: str,
    traces: Sequence[dict],
    x: str,
    y: str = "",
    *,
    note: str = "",
    log: bool = False,
    height: int = HEIGHT,
    wide: bool = False,
) -> Figure:
    """A figure with a title, a note under the title, a legend of the traces that have one, and titles of the axes.

    height: in pixels; further lines of title and legend add to it.
    wide: whether the figure is as wide as the page.
    """
    lines, size = wrap(title, 2 * TITLE if wide else TITLE) or [""], 14
    if len(lines) > 2:
        lines, size = wrap(title, SMALL), 12
    legend = _lines_of_legend(traces, wide)
    height += _LINE * (len(lines) - 1 + max(legend - 1, 0))
    axis = {"gridcolor": GRID, "zeroline": False, "linecolor": GRID, "ticks": "outside", "tickcolor": GRID}
    values = [np.asarray(trace["y"], float) for trace in traces if trace.get("meta") == "line"] if log else []
    positive = np.concatenate([of[of > 0] for of in values] or [np.array([])])
    # Plotly names 2 and 5 of every decade, also where those names lie upon each other.
    decades = float(np.log10(positive.max() / positive.min())) if len(positive) else 0.0
    ticks = {"dtick": max(1, round(decades / 5))} if decades > 1.5 else {"nticks": 7}
    top = 42 + _LINE * (len(lines) - 1 + bool(note) + legend)
    return Figure(
        list(traces),
        {
            "title": {"text": "<br>".join(map(escape, lines)), "subtitle": {"text": note, "font": {"size": 11}},
                      "x": 0.01, "xanchor": "left", "y": 1 - (10 if len(lines) == 1 else 22) / height, "yanchor": "top",
                      "font": {"size": size}},
            "xaxis": {**axis, "title": {"text": x, "standoff": 6}, "automargin": True},
            "yaxis": {**axis, "title": {"text": y}, "type": "log" if log else "linear", "exponentformat": "power",
                      "automargin": True, **ticks},
            "height": height, "margin": {"l": 56, "r": 12, "t": top, "b": 42}, "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)", "font": {"color": INK, "size": 12}, "hovermode": "closest",
            "hoverlabel": {"namelength": -1}, "showlegend": True,
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": INK, "activecolor": INK},
            "meta": {"thinned": False, "ranged": False, "wide": wide},
            "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.0, "yanchor": "bottom",
                       "font": {"size": 11}, "itemclick": False, "itemdoubleclick": False, "traceorder": "normal"},
            "template": None,
        },
    )  # fmt: skip


def _lines_of_legend(traces: Sequence[dict], wide: bool) -> int:
    """About the lines that a legend takes: where one is not enough, all entries are as wide as the widest."""
    known = [trace for trace in traces if trace.get("type") not in ("table", "heatmap")]
    widths = [_SWATCH + _LETTER * len(trace.get("name") or "") for trace in known if trace.get("showlegend", True)]
    room = _WIDE if wide else _NARROW
    if sum(widths) <= room:
        return bool(widths)
    return -(-len(widths) // max(1, room // max(widths)))

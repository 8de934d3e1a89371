"""The importance of every axis of a search for success, beside the range of chance."""

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from rrm.figures.style import COLUMN, GREY, SMALL, SOLVED, legend_below, paper_style
from rrm.statistics.axes import AxisImportance

_CHANCE, _UNPROVEN = "0.88", "0.62"


def importance_figure(found: Sequence[AxisImportance]) -> Figure:
    """Importance of every axis as a bar, from the top down, over the range that shuffled objectives reach.

    The pale bar ends at the importance that no axis exceeds in 95 % of the shuffles; the bar of an axis beyond that end
    is dark. Each bar has its p-value beside it.

    Args:
        found: of `rrm.reports.importance.axis_importance`, at least one.
    """
    if not found:
        raise ValueError("a figure of importances needs at least one axis")
    found = sorted(found, key=lambda axis: axis.importance)
    at = np.arange(len(found))
    with paper_style():
        figure = Figure(figsize=(COLUMN, 0.9 + 0.28 * len(found)))
        ax = figure.subplots()
        nulls = [axis.null_95 for axis in found]
        ax.barh(at, nulls, height=0.8, color=_CHANCE)
        ax.vlines(nulls, at - 0.4, at + 0.4, color=GREY, linewidth=0.8)
        colours = [SOLVED.colour if axis.important else _UNPROVEN for axis in found]
        ax.barh(at, [axis.importance for axis in found], height=0.4, color=colours)
        ax.set_yticks(at, [axis.name.replace("_", " ") for axis in found])
        ax.tick_params(axis="y", length=0)
        ax.set(xlabel="importance (PED-ANOVA)", xlim=(0, 1.3 * max(*nulls, *(axis.importance for axis in found))))
        for y, axis in enumerate(found):
            ax.text(
                max(axis.importance, axis.null_95) + 0.02 * ax.get_xlim()[1], y, f"p = {axis.p_value:.2g}",
                va="center", fontsize=SMALL,
            )  # fmt: skip
        entries: dict[str, Artist | tuple[Artist, ...]] = {}
        if found[-1].important:
            entries["stands out"] = Patch(color=SOLVED.colour)
        if not all(axis.important for axis in found):
            entries["does not"] = Patch(color=_UNPROVEN)
        entries["chance, 95 %"] = (Patch(color=_CHANCE), Line2D([], [], color=GREY, linewidth=0.8))
        legend_below(figure, entries, columns=3, columnspacing=1.2)
        figure.draw_without_rendering()
    return figure

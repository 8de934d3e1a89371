"""Numbers of heads over training seeds beside their nulls."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rrm.figures.style import COLOURS, GREY, SMALL, headline, legend_below, panel_grid, paper_style
from rrm.statistics.head_seeds import Measure

_DOT, _ROW = 2.5, 0.19  # size of a seed, and inches of a measure


def seeds_figure(label: str, measures: Sequence[Measure], lines: Mapping[str, Sequence[float]] | None = None) -> Figure:
    """A panel a group: every measure is a row with a dot a seed, the mean with its 95 % interval, and its null.

    Args:
        label: of the sweep.
        measures: in order; those of a group have one unit or none.
        lines: by group, values that are marked by dotted lines.
    """
    groups = list(dict.fromkeys(one.group for one in measures))
    titles = [group.partition(":")[0] for group in groups]
    most = max(sum(one.group == group for one in measures) for group in groups)
    seeds = max(len(one.values) for one in measures)
    with paper_style():
        figure, axes = panel_grid(titles, 2, height=max(1.6, 0.7 + _ROW * most))
        for ax, group in zip(axes, groups, strict=True):
            _panel(ax, [one for one in measures if one.group == group])
            for value in (lines or {}).get(group, ()):
                ax.axvline(100 * value, color=GREY, linewidth=0.7, linestyle=":")
        headline(figure, f"{label}: heads over {seeds} seeds")
        entries = {
            "mean and 95 % interval over seeds": Line2D([], [], color=COLOURS[0], marker="o"),
            "seed": Line2D([], [], color=COLOURS[3], marker="o", linestyle="", markersize=_DOT),
            "its null": Line2D([], [], color=COLOURS[1], marker="D", linestyle=""),
        }
        legend_below(figure, entries, columns=3)
        figure.draw_without_rendering()
    return figure


def _panel(ax: Axes, measures: Sequence[Measure]) -> None:
    for y, one in enumerate(measures):
        values = one.factor * np.array([*one.values.values()])
        mean = one.mean * one.factor
        ax.plot(values, np.full(len(values), y - 0.22), "o", color=COLOURS[3], markersize=_DOT)
        ax.plot(mean.estimate, y, "o", color=COLOURS[0], markersize=3.5)
        if np.isfinite(mean.low):
            ax.hlines(y, mean.low, mean.high, color=COLOURS[0], linewidth=1)
        if one.null:
            ax.plot(one.factor * one.chance, y + 0.22, "D", color=COLOURS[1], markersize=3)
    ax.set_yticks(range(len(measures)), [one.words for one in measures], fontsize=SMALL - 1)
    ax.set_ylim(len(measures) - 0.4, -0.6)
    ax.set_xlabel(next((one.unit for one in measures if one.unit), ""))
    ax.grid(axis="y", linewidth=0.3, color="0.9")

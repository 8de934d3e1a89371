"""Arms of training against their baseline: differences by seed, with intervals."""

import math
from collections.abc import Sequence
from textwrap import wrap

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from rrm.figures.style import COLUMN, SMALL, Keywords, Look, legend_below, panel_grid, paper_style
from rrm.statistics.arms import ArmComparison, Contrast

_LOOKS = {
    "peak": Look("peak (test)", "#0b3c6f", "-", "o"),
    "final": Look("final (test)", "#d55e00", "-", "s"),
    "final at halting": Look("final, at halting (test)", "#cc79a7", "-", "^"),
    "easy": Look("easy tier", "#56b4e9", "-", "v"),
    "middle": Look("middle tier", "#e69f00", "-", "^"),
    "hard": Look("hard tier", "#d55e00", "-", "s"),
    "worst tenth": Look("worst tenth", "#cc79a7", "-", "P"),
    "area": Look("area under the curve (validation)", "#009e73", "-", "D"),
    "cells": Look("right cells (test)", "#56b4e9", "-", "*"),
    "shortest": Look("any shortest path", "#0b3c6f", "-", "X"),
    "easy, shortest": Look("easy tier, any shortest path", "#56b4e9", "-", "<"),
    "middle, shortest": Look("middle tier, any shortest path", "#e69f00", "-", ">"),
    "hard, shortest": Look("hard tier, any shortest path", "#d55e00", "-", "p"),
}
_BAND = "0.88"

# Of a row, the height of all lanes, one a measure.
_LANES = 0.81

# Inches: a row at the least, a line of a name, and everything above and below the rows.
_ROW, _LINE, _FRAME = 0.48, 0.15, 1.25

# Characters of an arm's name in a line.
_NAME = 20

# Percentage points that an axis spans at the least, on either side of 0.
_LEAST = 1.0


def arm_differences(comparisons: Sequence[ArmComparison]) -> Figure:
    """Difference of every arm from its baseline, in percentage points; one panel a model type, one row an arm.

    Model types share their rows, unless no arm is common to two of them.

    Markers are means of the differences by seed, with 95 % intervals of Student's t over seeds, each by itself: filled
    where the difference is told from 0 after Holm's correction over all comparisons, open where it is not. Dots are
    single seeds. The grey bar behind them is one standard deviation of the baseline over its seeds on either side of 0.
    The number of seeds stands on the right, with the compute in units of the baseline's where that differs by more than
    2 %.

    Args:
        comparisons: at least one, as from `rrm.statistics.compare_arms`.
    """
    models = list(dict.fromkeys(comparison.model for comparison in comparisons))
    arms = list(dict.fromkeys(comparison.arm for comparison in comparisons))
    # Arms that a search has chosen differ from model to model: each panel then has its own rows.
    apart = len(arms) == len(comparisons) and len(models) > 1
    rows = {model: [c.arm for c in comparisons if c.model == model] if apart else arms for model in models}
    names = {arm: wrap(arm.replace(" = ", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}"), _NAME) for arm in arms}
    measures = [name for name in _LOOKS if any(name in comparison.contrasts for comparison in comparisons)]
    row = max(_ROW, _LINE * max(map(len, names.values()), default=1))
    most = max(map(len, rows.values()), default=1)
    with paper_style():
        figure, axes = panel_grid(models, columns=2 if apart else 3, height=row * most + _FRAME, sharey=not apart)
        for ax, model in zip(axes, models, strict=True):
            mine = [comparison for comparison in comparisons if comparison.model == model]
            for comparison in mine:
                _draw_row(ax, comparison, rows[model].index(comparison.arm), measures)
            _draw_frame(ax, mine)
            if apart or ax is axes[0]:
                ax.set_ylim(most - 0.5, -0.5)
                ax.set_yticks(range(len(rows[model])), ["\n".join(names[arm]) for arm in rows[model]])
        _add_legend(figure, comparisons, measures)
        figure.draw_without_rendering()
    return figure


def _draw_row(ax: Axes, comparison: ArmComparison, row: int, measures: Sequence[str]) -> None:
    lane = _LANES / len(measures)
    for place, measure in enumerate(measures):
        if measure in comparison.contrasts:
            y = row + (place - (len(measures) - 1) / 2) * lane
            _draw_contrast(ax, comparison.contrasts[measure], _LOOKS[measure], y, lane)
    note = f"n = {len(comparison.seeds)}"
    if comparison.equal_compute is False:
        note += f"\n{comparison.compute_ratio:.2f} \N{MULTIPLICATION SIGN}\ncompute"
    along = ax.get_yaxis_transform()
    ax.text(1.02, row, note, transform=along, va="center", fontsize=SMALL - 1, linespacing=1.0)


def _draw_contrast(ax: Axes, contrast: Contrast, look: Look, y: float, lane: float) -> None:
    spread = 100 * contrast.baseline_sd
    if math.isfinite(spread):
        ax.barh(y, 2 * spread, lane, -spread, color=_BAND, linewidth=0, zorder=0)
    difference = contrast.difference
    ax.plot([100 * difference.low, 100 * difference.high], [y, y], color=look.colour, linewidth=1.1)
    singles = contrast.differences if len(contrast.arm) > 1 else []
    ax.plot([100 * d for d in singles], [y] * len(singles), ".", color=look.colour, markersize=3.5, alpha=0.5, zorder=3)
    face = look.colour if contrast.different else "white"
    ax.plot(
        100 * difference.estimate, y, look.marker, color=look.colour, markerfacecolor=face, markersize=4.5, zorder=2.5
    )


def _draw_frame(ax: Axes, comparisons: list[ArmComparison]) -> None:
    ax.axvline(0, color="black", linewidth=0.7, zorder=1)
    drawn = [0.0]
    for contrast in (contrast for comparison in comparisons for contrast in comparison.contrasts.values()):
        ends = (contrast.difference.low, contrast.difference.high, contrast.baseline_sd, -contrast.baseline_sd)
        drawn += [100 * end for end in (*ends, *contrast.differences) if math.isfinite(end)]
    low, high = min(-_LEAST, *drawn), max(_LEAST, *drawn)
    ax.set_xlim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    ax.set_xlabel("arm \N{MINUS SIGN} baseline (points)")
    ax.tick_params(axis="y", length=0)
    ax.spines.left.set_visible(False)


def _add_legend(figure: Figure, comparisons: Sequence[ArmComparison], measures: Sequence[str]) -> None:
    contrasts = [(name, contrast) for comparison in comparisons for name, contrast in comparison.contrasts.items()]
    entries: dict[str, Artist] = {}
    for look in (_LOOKS[measure] for measure in measures):
        entries[look.name] = Line2D([], [], color=look.colour, marker=look.marker, linewidth=1.1)
    grey: Keywords = {"color": "0.3", "linestyle": "", "marker": "o"}
    if not all(contrast.different for _, contrast in contrasts):
        entries["not told from 0 after correction"] = Line2D([], [], **grey, markerfacecolor="white")
    if any(len(contrast.arm) > 1 for _, contrast in contrasts):
        entries["single seed"] = Line2D([], [], **grey | {"marker": "."}, markersize=3.5, alpha=0.5)
    if any(math.isfinite(contrast.baseline_sd) for _, contrast in contrasts):
        entries["± SD of the baseline over seeds"] = Patch(color=_BAND, linewidth=0)
    columns = 1 if figure.get_figwidth() == COLUMN else 3
    figure.set_figheight(figure.get_figheight() + 0.165 * -(-len(entries) // columns))
    legend_below(figure, entries, columns, columnspacing=1.2)

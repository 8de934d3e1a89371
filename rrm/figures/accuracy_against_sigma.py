"""Figure 3: exact accuracy against the size of the perturbation in training."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedFormatter, FixedLocator

from rrm.figures.style import COLUMN, GREY, SOLVED, panel_grid, paper_style
from rrm.statistics.proportions import wilson_interval
from rrm.statistics.sweep import SweepPoint, by_model, select

_COLOUR = SOLVED.colour
_STOPPED = "0.62"
_BAND = "0.9"

# Per cent that the accuracy axis spans at the least.
_LEAST_SPAN = 10

# Decades between sigma = 0, which a log axis does not have, and the smallest decade drawn.
_ZERO_OFFSET = 0.8

# Decades by which the two checkpoints of a run stand left and right of its sigma, to keep their error bars apart.
_DODGE = 0.035


def accuracy_against_sigma(arms: Sequence[SweepPoint]) -> Figure:
    """Test accuracy of the best and of the final checkpoint against sigma on a log axis, one panel a model type.

    Filled markers are checkpoints selected on validation, open ones the last checkpoint of the same run, joined by a
    thin line; error bars are 95 % Wilson intervals over test puzzles. The sigma = 0 baseline (among several the one
    that `select` takes) is continued across the panel as a line with its interval; its own marker stands at "0", left
    of a break in the axis. Panels share sigma but not accuracy: model types differ by more than a perturbation does.

    Args:
        arms: at least one trained model; accuracies as fractions.
    """
    models = by_model(arms)
    with paper_style():
        figure, axes = panel_grid(list(models), columns=3, height=2.5, sharex=True)
        axes[0].set_ylabel("exact accuracy on test (%)")
        zero = _sigma_axis(axes, [point.sigma for point in arms])
        for ax, points in zip(axes, models.values(), strict=True):
            _draw_baseline(ax, [point for point in points if point.baseline])
            for point in points:
                _draw_run(ax, point, point.sigma or zero)
            # Runs that solve nothing would otherwise spread the width of one interval over the whole axis.
            low, high = ax.get_ylim()
            ax.set_ylim(low, max(high, low + _LEAST_SPAN))
        _add_legend(figure, arms)
        figure.draw_without_rendering()
    return figure


def _draw_baseline(ax: Axes, baselines: list[SweepPoint]) -> None:
    point, _ = select(baselines)
    if point:
        interval = wilson_interval(round(point.best * point.n), point.n)
        ax.axhspan(100 * interval.low, 100 * interval.high, color=_BAND, linewidth=0, zorder=0)
        ax.axhline(100 * interval.estimate, color=GREY, linewidth=0.8, linestyle="--", zorder=1)


def _draw_run(ax: Axes, point: SweepPoint, x: float) -> None:
    colour, size = (_STOPPED, 3) if point.stopped_early else (_COLOUR, 4.5)
    pair = [x / 10**_DODGE, x * 10**_DODGE]
    ax.plot(pair, [100 * point.best, 100 * point.final], color=colour, linewidth=0.6)
    for at, accuracy, marker, face in zip(pair, (point.best, point.final), "os", (colour, "white"), strict=True):
        interval = wilson_interval(round(accuracy * point.n), point.n)
        ax.errorbar(
            at,
            100 * interval.estimate,
            yerr=[[100 * (interval.estimate - interval.low)], [100 * (interval.high - interval.estimate)]],
            fmt=marker,
            color=colour,
            markerfacecolor=face,
            markersize=size,
            elinewidth=0.8,
            capsize=1.5,
        )


def _add_legend(figure: Figure, arms: Sequence[SweepPoint]) -> None:
    entries = {
        "best checkpoint": Line2D([], [], color=_COLOUR, linestyle="", marker="o"),
        "final checkpoint": Line2D([], [], color=_COLOUR, linestyle="", marker="s", markerfacecolor="white"),
    }
    if any(point.stopped_early for point in arms):
        entries["stopped early"] = Line2D([], [], color=_STOPPED, linestyle="", marker="o", markersize=3)
    if any(point.baseline for point in arms):
        line = Line2D([], [], color=GREY, linewidth=0.8, linestyle="--")
        entries[r"$\sigma = 0$ with 95 % interval"] = (Patch(color=_BAND, linewidth=0), line)
    columns = 2 if figure.get_figwidth() == COLUMN else 4
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=columns)


def _sigma_axis(axes: list[Axes], sigmas: list[float]) -> float:
    """Scale and ticks of the common x axis; returns where sigma = 0 is drawn."""
    axes[0].set_xscale("log")
    positive = [sigma for sigma in sigmas if sigma > 0]
    decades = range(math.floor(math.log10(min(positive))), math.ceil(math.log10(max(positive))) + 1) if positive else []
    ticks, names = [10.0**decade for decade in decades], [f"$10^{{{decade}}}$" for decade in decades]
    zero = ticks[0] / 10**_ZERO_OFFSET if ticks else 1.0
    if 0 in sigmas:
        ticks, names = [zero, *ticks], ["0", *names]
    for ax in axes:
        ax.set_xlabel(r"perturbation $\sigma$ (state RMS = 1)")
        ax.xaxis.set_minor_locator(FixedLocator([]))
        ax.xaxis.set_major_locator(FixedLocator(ticks))
        ax.xaxis.set_major_formatter(FixedFormatter(names))
        ax.set_xlim(ticks[0] / 10**0.35, ticks[-1] * 10**0.35)
        if 0 in sigmas and positive:
            _break_axis(ax, zero * 10 ** (_ZERO_OFFSET / 2))
    return zero


def _break_axis(ax: Axes, x: float) -> None:
    """Two strokes across the bottom spine at `x`, with the spine between them gone."""
    along = ax.get_xaxis_transform()
    strokes, stroke = [x / 10**0.06, x * 10**0.06], [(-0.5, -1), (0.5, 1)]
    ax.plot(strokes, [0, 0], color="white", linewidth=2, transform=along, clip_on=False, zorder=5)
    ax.plot(strokes, [0, 0], "k", linestyle="", marker=stroke, markersize=7, transform=along, clip_on=False, zorder=6)

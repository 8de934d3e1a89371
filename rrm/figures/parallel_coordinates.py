"""All trials of a search at once: one vertical line an axis, one curve a trial, its colour the accuracy reached."""

from collections.abc import Callable, Sequence
from textwrap import fill

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, MaxNLocator
from matplotlib.typing import ColorType

from rrm.figures.style import FAILED, FULL, SMALL, Keywords, legend_below, paper_style
from rrm.statistics.axes import Axis, axes_of

# Mark of a configuration without a value on an axis, at the foot of the axis, and the height of that foot. A zero that
# a logarithmic scale does not reach stands there too.
_ABSENT = "–"
_FOOT = 0.13

# Curves that meet in a choice stand apart by at most this much of the axis, and together take up this much of a choice.
_APART, _SHARE = 0.025, 0.6

# Least range of the accuracy axis, in per cent.
_LEAST_SPAN = 2.0

_HALO = [withStroke(linewidth=2, foreground="white")]


def parallel_coordinates(drawn: Sequence[tuple[dict, float]], baselines: Sequence[tuple[dict, float]] = ()) -> Figure:
    """Configurations and exact accuracies of the trials; curves that share a choice fan out in order of accuracy.

    The axes are the keys in which the configurations differ, except "trial" and "seed"; positive numbers over more
    than a decade stand on a logarithmic axis. Baselines are dashed; a value that an axis does not reach (sigma = 0) or
    that a configuration does not have ("–") stands at its foot.

    Args:
        drawn, baselines: configuration and exact accuracy as a fraction, at least one in all.
    """
    records = sorted([*drawn, *baselines], key=lambda record: record[1])
    if not records:
        raise ValueError("a figure of a search needs at least one trial")
    reference = {id(config) for config, _ in baselines}
    percent = np.array([100 * accuracy for _, accuracy in records])
    configs = [config for config, _ in records]
    axes = _axes([config for config, _ in drawn], [config for config, _ in baselines])
    with paper_style():
        figure = Figure(figsize=(FULL, 3.2))
        ax = figure.subplots()
        columns = [
            _draw_axis(ax, x, axis, [config.get(axis.name) for config in configs]) for x, axis in enumerate(axes)
        ]
        low, high = _range(percent)
        cmap = _accuracy_axis(ax, len(axes), low, high)
        columns.append((percent - low) / (high - low))
        for config, accuracy, heights in zip(configs, columns[-1], np.array(columns).T, strict=True):
            _draw_trial(ax, heights, cmap(accuracy), id(config) in reference)
        ax.set(xlim=(-0.1, len(axes) + 0.35), ylim=(-0.03, 1.03))
        ax.axis("off")
        entries = {"drawn": Line2D([], [], color=cmap(0.7), linewidth=1.2)} if drawn else {}
        if baselines:
            entries["baseline"] = Line2D([], [], **_BASELINE)
        legend_below(figure, entries, columns=2)
        figure.draw_without_rendering()
    return figure


def _axes(drawn: list[dict], baselines: list[dict]) -> list[Axis]:
    """The axes in the order of the drawn configurations, their choices in the order of the baselines."""
    scales = {axis.name: axis for axis in axes_of(drawn)}
    both = {axis.name: axis for axis in axes_of([*baselines, *drawn])}
    names = [axis.name for axis in axes_of([*drawn, *baselines])]
    # The scale of numbers is that of the search: a baseline at zero would make it linear.
    return [both[name] if both[name].choices else scales.get(name, both[name]) for name in names]


_BASELINE: Keywords = {
    "color": FAILED.colour, "linestyle": FAILED.line, "linewidth": 1.2, "marker": "o", "markersize": 3,
}  # fmt: skip


def _draw_axis(ax: Axes, x: int, axis: Axis, values: list) -> np.ndarray:
    """Draw one axis with its labels; -> heights [n] of the values, given in order of accuracy."""
    ax.plot([x, x], [0, 1], color="black", linewidth=0.7, zorder=1)
    ax.text(x, 1.06, axis.name, ha="center", va="bottom")
    if axis.choices:
        levels = ([None] if None in values else []) + list(axis.choices[::-1])
        for level, value in enumerate(levels):
            _label(ax, x, (level + 0.5) / len(levels), _ABSENT if value is None else str(value))
        return _fanned(np.array([levels.index(value) + 0.5 for value in values]) / len(levels), len(levels))
    scale, ticks = _scale(axis)
    at_foot = [value is None or not axis.low <= value <= axis.high for value in values]
    foot = _FOOT if any(at_foot) else 0.0
    for tick in ticks:
        _label(ax, x, foot + (1 - foot) * scale(tick), f"$10^{{{round(np.log10(tick))}}}$" if axis.log else f"{tick:g}")
    if foot:
        names = {_ABSENT if value is None else f"{value:g}" for value, low in zip(values, at_foot, strict=True) if low}
        _label(ax, x, 0.0, ", ".join(sorted(names)))
        ax.plot([x, x], [0.35 * foot, 0.65 * foot], color="white", linewidth=2, zorder=1)
    return np.array(
        [0.0 if low else foot + (1 - foot) * scale(value) for value, low in zip(values, at_foot, strict=True)]
    )


def _scale(axis: Axis) -> tuple[Callable[[float], float], list[float]]:
    """Numbers to [0, 1], and the ticks between."""
    if axis.log:
        # Whole decades, so that the ends of the axis have a name.
        low, high = np.floor(np.log10(axis.low)), np.ceil(np.log10(axis.high))
        ticks = LogLocator(numticks=6).tick_values(10**low, 10**high)
        return lambda v: (np.log10(v) - low) / (high - low), [
            t for t in ticks if low <= np.round(np.log10(t), 6) <= high
        ]
    ticks = MaxNLocator(4).tick_values(axis.low, axis.high)
    return lambda v: (v - ticks[0]) / (ticks[-1] - ticks[0]), list(ticks)


def _fanned(heights: np.ndarray, levels: int) -> np.ndarray:
    """The heights with equal ones spread apart, in their order."""
    fanned = heights.copy()
    for height in np.unique(heights):
        rows = np.flatnonzero(heights == height)
        apart = min(_APART, _SHARE / (levels * len(rows)))
        fanned[rows] += apart * (np.arange(len(rows)) - (len(rows) - 1) / 2)
    return fanned


def _label(ax: Axes, x: float, y: float, text: str) -> None:
    ax.plot([x - 0.02, x], [y, y], color="black", linewidth=0.7, zorder=3)
    ax.text(
        x + 0.03, y, fill(text, 14), va="center", fontsize=SMALL, path_effects=_HALO, zorder=4,
        linespacing=0.9,
    )  # fmt: skip


def _range(percent: np.ndarray) -> tuple[float, float]:
    """Ends of the accuracy axis, on round numbers."""
    low, high = percent.min(), percent.max()
    spare = max(0.0, _LEAST_SPAN - (high - low)) / 2
    ticks = MaxNLocator(5).tick_values(max(0.0, low - spare), min(100.0, high + spare))
    return float(max(ticks[0], 0.0)), float(min(ticks[-1], 100.0))


def _accuracy_axis(ax: Axes, x: int, low: float, high: float) -> Colormap:
    """The last axis, a strip of the colours; -> the colours of [0, 1]."""
    # Without the palest tones, which are lost on white.
    colours = matplotlib.colormaps["YlGnBu"](np.linspace(0.3, 1.0, 256))
    cmap = LinearSegmentedColormap.from_list("accuracy", colours)
    ax.imshow(
        np.linspace(0, 1, 256)[:, None], cmap=cmap, aspect="auto", origin="lower", extent=(x, x + 0.06, 0, 1), zorder=2
    )
    ax.text(x, 1.06, "exact (%)", ha="center", va="bottom")
    for tick in MaxNLocator(5).tick_values(low, high):
        if low <= tick <= high:
            y = (tick - low) / (high - low)
            ax.text(x + 0.09, y, f"{tick:g}", va="center", fontsize=SMALL)
    return cmap


def _draw_trial(ax: Axes, heights: np.ndarray, colour: ColorType, baseline: bool) -> None:
    """A curve that crosses every axis level, so that it can be followed."""
    points, codes = [(0.0, heights[0])], [Path.MOVETO]
    for x, (here, there) in enumerate(zip(heights[:-1], heights[1:], strict=True)):
        points += [(x + 0.5, here), (x + 0.5, there), (x + 1.0, there)]
        codes += [Path.CURVE4] * 3
    look: Keywords = _BASELINE if baseline else {"color": colour, "linestyle": "-", "linewidth": 1.2}
    ax.add_patch(
        PathPatch(
            Path(points, codes), facecolor="none", edgecolor=look["color"], linestyle=look["linestyle"],
            linewidth=look["linewidth"], zorder=2.5 if baseline else 2,
        )
    )  # fmt: skip
    if baseline:
        ax.plot(range(len(heights)), heights, color=look["color"], linestyle="", marker="o", markersize=3, zorder=2.6)

"""Exact accuracy against the size of the perturbation in training."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, SupportsFloat

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedFormatter, FixedLocator

from rrm.figures.style import COLUMN, GREY, Keywords, legend_below, panel_grid, paper_style
from rrm.statistics.proportions import wilson_interval
from rrm.statistics.sweep import SweepPoint, by_model, select

# Name and colour of each kind of perturbation; the colours stay apart in the common colour deficiencies.
_KINDS = {
    "none": ("no noise", "0.2"),
    "initial_state": ("noise on the initial state", "#0b3c6f"),
    "every_segment": ("noise every segment", "#009e73"),
    "every_call": ("noise every call", "#d55e00"),
    "multi4": ("multi4", "#56b4e9"),
    "single": ("single", "#cc79a7"),
    "ptrm_segment": ("PTRM, in training", "#e69f00"),
    "eqr": ("EqR", "#7b3294"),
    "clean_copies": ("copies without noise", "#8c6d46"),
}
_OTHER = "#b2182b"

_LOCATIONS = {"both": ("on both halves", "o"), "z_H": ("on $z_H$", "^"), "z_L": ("on $z_L$", "v")}

_RING: Keywords = {
    "color": "black", "marker": "o", "linestyle": "", "markersize": 8, "markeredgewidth": 0.7, "fillstyle": "none",
}  # fmt: skip
_STOPPED = "0.62"
_BAND = "0.9"
_FAINT = 0.35  # opacity of single seeds

# Inches that a row of the legend takes.
_LEGEND_ROW = 0.165

# Per cent that the accuracy axis spans at the least.
_LEAST_SPAN = 10

# Decades between sigma = 0, which a log axis does not have, and the smallest decade drawn; and beyond the last marks.
_ZERO_OFFSET, _MARGIN = 0.8, 0.35

# Decades with a name of their own, in the narrowest panel.
_MOST_TICKS = 6

# As shares of the axis: between arms of one sigma, and from a run's sigma to either of its two checkpoints.
_SLOT, _DODGE = 0.065, 0.011


def accuracy_against_sigma(arms: Sequence[SweepPoint]) -> Figure:
    """Test accuracy of the best and of the final checkpoint against sigma on a log axis, one panel a model type.

    Filled markers are checkpoints selected on validation, open ones the last checkpoint of the same run, joined by a
    thin line; error bars are 95 % Wilson intervals over test puzzles. Colour is the kind of perturbation, shape the
    half of the state that it acts on; a ring marks flossing. Where an arm has several seeds, they are faint and their
    mean is drawn without an error bar.

    Marks at "0", left of a break in the axis, have no noise: the baseline first, and then the arms that change
    something else. Arms of one sigma stand side by side. The baseline is continued across the panel as a line: its mean
    with a band of one standard deviation over seeds, or with a single seed (among several runs the one that `select`
    takes) its 95 % interval over puzzles. Panels share sigma but not accuracy: model types differ by more than a
    perturbation does.

    Args:
        arms: at least one trained model; accuracies as fractions. Of their settings sigma, kind, location and flossing
            are drawn; without them an arm stands beside the baseline.
    """
    panels = {model: _by_arm(points) for model, points in by_model(arms).items()}
    with paper_style():
        figure, axes = panel_grid(list(panels), columns=3, height=2.5, sharex=True)
        axes[0].set_ylabel("exact accuracy on test (%)")
        axis = _SigmaAxis(axes, panels.values())
        for ax, groups in zip(axes, panels.values(), strict=True):
            _draw_baseline(ax, [point for group in groups for point in group if point.baseline])
            for group, x in zip(groups, axis.places(groups), strict=True):
                _draw_arm(ax, group, x, axis.dodge)
            # Runs that solve nothing would otherwise spread the width of one interval over the whole axis.
            low, high = ax.get_ylim()
            ax.set_ylim(low, max(high, low + _LEAST_SPAN))
        _add_legend(figure, arms)
        figure.draw_without_rendering()
    return figure


def _by_arm(points: Iterable[SweepPoint]) -> list[list[SweepPoint]]:
    """The runs of each arm, the baseline before others of its sigma; the run of a search apart from fresh seeds."""
    groups: dict[tuple, list[SweepPoint]] = {}
    for point in points:
        groups.setdefault((_sigma(point), not point.baseline, point.arm, point.drawn), []).append(point)
    return [groups[key] for key in sorted(groups, key=lambda key: key[:2])]


def _seeds(points: Iterable[SweepPoint]) -> int:
    return len({point.seed for point in points if not point.stopped_early})


def _draw_baseline(ax: Axes, baselines: list[SweepPoint]) -> None:
    chosen, _ = select(baselines)
    if chosen is None:
        return
    if _seeds(baselines) > 1:
        values = [point.best for point in baselines if not point.stopped_early]
        centre, spread = float(np.mean(values)), float(np.std(values, ddof=1))
        low, high = centre - spread, centre + spread
    else:
        interval = wilson_interval(round(chosen.best * chosen.puzzles), chosen.puzzles)
        centre, low, high = interval.estimate, interval.low, interval.high
    ax.axhspan(100 * low, 100 * high, color=_BAND, linewidth=0, zorder=0)
    ax.axhline(100 * centre, color=GREY, linewidth=0.8, linestyle="--", zorder=1)


def _draw_arm(ax: Axes, runs: list[SweepPoint], x: float, dodge: float) -> None:
    several = _seeds(runs) > 1
    for run in runs:
        _draw_run(ax, run, [x / dodge, x * dodge], faint=several and not run.stopped_early)
    if several:
        complete = [run for run in runs if not run.stopped_early]
        means = [float(np.mean([getattr(run, which) for run in complete])) for which in ("best", "final")]
        _draw_pair(ax, complete[0], [x / dodge, x * dodge], means)


def _draw_run(ax: Axes, run: SweepPoint, pair: list[float], faint: bool) -> None:
    accuracies = [run.best, run.final]
    if faint:
        _draw_pair(ax, run, pair, accuracies, size=3, alpha=_FAINT, linewidth=0)
        return
    colour = _STOPPED if run.stopped_early else _colour(_kind(run))
    for at, accuracy in zip(pair, accuracies, strict=True):
        interval = wilson_interval(round(accuracy * run.puzzles), run.puzzles)
        below, above = interval.estimate - interval.low, interval.high - interval.estimate
        ax.errorbar(
            at, 100 * accuracy, yerr=[[100 * below], [100 * above]], fmt="none", ecolor=colour, elinewidth=0.8,
            capsize=1.5, zorder=2,
        )  # fmt: skip
    _draw_pair(ax, run, pair, accuracies, size=3 if run.stopped_early else 4.5)


def _draw_pair(
    ax: Axes,
    run: SweepPoint,
    pair: list[float],
    accuracies: list[float],
    size: float = 4.5,
    alpha: float = 1.0,
    linewidth: float = 0.6,
) -> None:
    """The markers of a best and a final checkpoint, with the looks of `run`, and the line that joins them."""
    colour = _STOPPED if run.stopped_early else _colour(_kind(run))
    heights = [100 * accuracy for accuracy in accuracies]
    ax.plot(pair, heights, color=colour, linewidth=linewidth, zorder=2.5)
    for at, height, face in zip(pair, heights, (colour, "white"), strict=True):
        marker = _LOCATIONS.get(_location(run), _LOCATIONS["both"])[1]
        ax.plot(at, height, marker, color=colour, markerfacecolor=face, markersize=size, alpha=alpha, zorder=3)
    if _flossed(run) and alpha == 1:
        ax.plot(pair[0], heights[0], **_RING, zorder=3.5)


def _sigma(point: SweepPoint) -> float:
    sigma = point.settings.get("sigma")
    return float(sigma) if isinstance(sigma, SupportsFloat) else 0.0


def _kind(point: SweepPoint) -> str:
    return str(point.settings.get("kind", "none"))


def _location(point: SweepPoint) -> str:
    return str(point.settings.get("location", "both"))


def _flossed(point: SweepPoint) -> bool:
    return point.settings.get("flossing", "none") != "none"


def _colour(kind: str) -> str:
    return _KINDS[kind][1] if kind in _KINDS else _OTHER


def _add_legend(figure: Figure, arms: Sequence[SweepPoint]) -> None:
    def mark(colour: str, **looks: Any) -> Line2D:
        return Line2D([], [], **{"color": colour, "linestyle": "", "marker": "o"} | looks)

    entries: dict[str, Artist | tuple[Artist, ...]] = {
        "best checkpoint": mark(_KINDS["none"][1]),
        "final checkpoint": mark(_KINDS["none"][1], markerfacecolor="white"),
    }
    others = [point for point in arms if not point.baseline]
    groups = [group for points in by_model(arms).values() for group in _by_arm(points)]
    several = [_seeds(group) > 1 for group in groups if group[0].baseline]
    coloured = {_kind(point) for point in others if not point.stopped_early}
    for kind in sorted(coloured, key=[*_KINDS, *sorted(coloured)].index):
        entries[_KINDS.get(kind, (kind.replace("_", " "),))[0]] = mark(_colour(kind), marker="s", markersize=5)
    if any(_location(point) != "both" for point in others):
        for location, (name, marker) in _LOCATIONS.items():
            if any(_location(point) == location and _sigma(point) > 0 for point in others):
                entries[name] = mark(GREY, marker=marker)
    if any(_flossed(point) for point in others):
        entries["flossed"] = mark(**_RING | {"colour": "black"})
    if any(_seeds(group) > 1 for group in groups):
        entries["single seed"] = mark(_KINDS["none"][1], markersize=3, alpha=_FAINT)
    if any(point.stopped_early for point in arms):
        entries["stopped early"] = mark(_STOPPED, markersize=3)
    band = (Patch(color=_BAND, linewidth=0), Line2D([], [], color=GREY, linewidth=0.8, linestyle="--"))
    if not all(several):
        entries["baseline, 95 % interval"] = band
    if any(several):
        entries["baseline, mean ± SD"] = band
    columns = 2 if figure.get_figwidth() == COLUMN else 4
    rows = -(-len(entries) // columns)
    figure.set_figheight(figure.get_figheight() + _LEGEND_ROW * max(0, rows - 2))
    legend_below(figure, entries, columns, columnspacing=1.2)


class _SigmaAxis:
    """Scale and ticks of the common x axis, and the place of every arm on it."""

    def __init__(self, axes: list[Axes], panels: Iterable[list[list[SweepPoint]]]):
        sigmas = {_sigma(group[0]) for groups in panels for group in groups}
        positive = sorted(sigma for sigma in sigmas if sigma > 0)
        ends = [math.floor(math.log10(positive[0])), math.ceil(math.log10(positive[-1]))] if positive else [0, 0]
        every = -(-(ends[1] - ends[0] + 1) // _MOST_TICKS)
        ticks = [10.0**decade for decade in range(ends[0], ends[1] + 1, every)] if positive else []
        names = [f"$10^{{{round(math.log10(tick))}}}$" for tick in ticks]

        # Room for the arms that stand beside the baseline at 0.
        beside = max(sum(_sigma(group[0]) == 0 for group in groups) for groups in panels) - 1 if 0 in sigmas else 0
        gap = _ZERO_OFFSET if positive and 0 in sigmas else 0
        fixed = ends[1] - ends[0] + gap + 2 * _MARGIN
        self.span = fixed / (1 - _SLOT * min(beside, 8))
        self.slot = _SLOT * self.span * min(1, 8 / max(beside, 1))
        self.dodge = 10 ** (_DODGE * self.span)
        steps = np.diff(np.log10(positive))
        self.closest = float(steps.min()) if len(steps) else self.span
        self.zero = 10.0 ** (ends[0] - gap - beside * self.slot)
        if 0 in sigmas:
            ticks, names = [self.zero, *ticks], ["0", *names]

        axes[0].set_xscale("log")
        for ax in axes:
            ax.set_xlabel(r"perturbation $\sigma$ (state RMS = 1)")
            ax.xaxis.set_minor_locator(FixedLocator([]))
            ax.xaxis.set_major_locator(FixedLocator(ticks))
            ax.xaxis.set_major_formatter(FixedFormatter(names))
            last = 10.0 ** ends[1] if positive else self.zero * 10 ** (beside * self.slot)
            ax.set_xlim(ticks[0] / 10**_MARGIN, last * 10**_MARGIN)
            if gap:
                _break_axis(ax, 10 ** (ends[0] - gap / 2))

    def places(self, groups: list[list[SweepPoint]]) -> list[float]:
        """The place of each arm of a panel."""
        sigmas = [_sigma(group[0]) for group in groups]
        places = []
        for index, sigma in enumerate(sigmas):
            rank, count = sigmas[:index].count(sigma), sigmas.count(sigma)
            if sigma == 0:
                places.append(self.zero * 10 ** (rank * self.slot))
            else:
                # Clear of the other sigmas, unless these are so close that their arms overlap anyway.
                slot = min(self.slot, max(0.7 * self.closest / count, 0.6 * self.slot))
                places.append(sigma * 10 ** ((rank - (count - 1) / 2) * slot))
        return places


def _break_axis(ax: Axes, x: float) -> None:
    """Two strokes across the bottom spine at `x`, with the spine between them gone."""
    along = ax.get_xaxis_transform()
    strokes, stroke = [x / 10**0.06, x * 10**0.06], [(-0.5, -1), (0.5, 1)]
    ax.plot(strokes, [0, 0], color="white", linewidth=2, transform=along, clip_on=False, zorder=5)
    ax.plot(strokes, [0, 0], "k", linestyle="", marker=stroke, markersize=7, transform=along, clip_on=False, zorder=6)

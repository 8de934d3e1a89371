"""Histories of training runs that grok: losses, accuracies and probes against the step, with the events marked."""

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from rrm.curves import thin
from rrm.figures.style import DASHES, GREY, SMALL, Entries, colours_of, legend_below, minus, panel_grid, paper_style
from rrm.panels import LAYERS, Panel
from rrm.statistics.events import PHASES
from rrm.statistics.layer_names import layer_groups
from rrm.statistics.training_runs import TrainingRun, TrainingRuns

# Points of a series that are drawn at most.
_POINTS = 600
# Phases by lightness: the brighter, the later; grokking alone has a colour.
_SHADES = dict(zip(PHASES, ("0.86", "0.94", "#f6e3b4", "1.0"), strict=True))
# Points between a panel and its title, in which the steps of grokking are marked.
_PAD = 10
# Inches: a row of panels, and a line of the legend.
_ROW, _LINE = 2.2, 0.17
# Runs whose events have lines of their own; of more, the steps of grokking are ticks above the panel.
_FEW = 1


def layer_panels(runs: TrainingRuns) -> tuple[Panel, ...]:
    """Panels of the norms of all weight matrices, by block and part of a block, as the probe `layers` has them."""
    head = f"{LAYERS}/weight_norm/"
    names = [name.removeprefix(head) for name in runs.series if name.startswith(head)]
    groups = layer_groups(name for name in names if not name.endswith("bias"))
    return tuple(
        Panel(group, {label: head + name for label, name in members.items()}) for group, members in groups.items()
    )


def history_figure(runs: TrainingRuns, panels: Sequence[Panel]) -> Figure | None:
    """Series of all runs against the step, one colour an arm; None where no run has one of them.

    With one run, its phases are shaded and memorisation and grokking have lines. With several, a mark above each panel
    is the step at which a run of that colour groks; a run that never does has none. Horizontal lines are the levels of
    a panel. The axis of steps is logarithmic and leaves out step 0. Values of 0 and below are left out of a logarithmic
    axis.

    Args:
        runs: at least one.
        panels: those without a series in any run are left out.
    """
    shown = [panel for panel in panels if any(True for run in runs for _ in _drawn(run, panel))]
    if not shown:
        return None
    colours = dict(zip(runs.arms, colours_of(len(runs.arms)), strict=True))
    with paper_style():
        figure, axes = panel_grid([panel.title for panel in shown], columns=3 if len(shown) != 4 else 2, height=_ROW)
        for ax, panel in zip(axes, shown, strict=True):
            names = list(dict.fromkeys(name for run in runs for name, _, _ in _drawn(run, panel)))
            hues = colours_of(len(names))
            looks = {name: DASHES[i % len(DASHES)] for i, name in enumerate(names)}
            for run in runs:
                for name, steps, values in _drawn(run, panel):
                    few = len(runs) <= _FEW
                    # Layers of one run are told by colour, of several by dash alone.
                    colour = hues[names.index(name)] if few else colours[run.label]
                    width = 1.2 if few else 0.8
                    ax.plot(steps, values, color=colour, linestyle=looks[name], linewidth=width, alpha=0.75)
            ax.set_title(ax.get_title("left"), pad=_PAD)
            _frame(ax, panel, runs)
            _mark(ax, runs, colours)
            if len(names) > 1:
                _name_series(ax, names, looks, len(runs) <= _FEW)
        _legend(figure, runs, colours)
        figure.draw_without_rendering()
    return figure


def _drawn(run: TrainingRun, panel: Panel) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(name in the panel, steps, values) of the series of a run that have a value to draw."""
    for name, pattern in panel.series.items():
        for series in (found for found in run.curves if fnmatchcase(found, pattern)):
            steps, values = run.curves[series]
            kept = np.isfinite(values) & (steps > 0) & ((values > 0) | (not panel.log))
            if kept.any():
                steps, values = thin(steps[kept], values[kept], _POINTS)
                yield series[pattern.index("*") :] if "*" in pattern else name, steps, values


def _frame(ax: Axes, panel: Panel, runs: TrainingRuns) -> None:
    last = max(run.events.last for run in runs)
    first = min(
        (int(run.curves["train/accuracy"][0][run.curves["train/accuracy"][0] > 0][0]) for run in runs), default=1
    )
    ax.set_xscale("log")
    ax.set_xlim(first * 0.9, last * 1.1)
    ax.xaxis.set_minor_formatter(NullFormatter())
    if panel.log:
        ax.set_yscale("log")
        low, high = ax.get_ylim()
        if high < 30 * low:
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        else:
            ax.yaxis.set_major_locator(LogLocator(numticks=6))
        ax.yaxis.set_minor_formatter(NullFormatter())
    else:
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: minus(f"{value:g}")))
    for level in panel.levels:
        ax.axhline(level, color=GREY, linewidth=0.6, linestyle=(0, (1, 1)), zorder=0.5)
    ax.set_xlabel("step")


def _mark(ax: Axes, runs: TrainingRuns, colours: Mapping[str, str]) -> None:
    """The events of the runs; marker 2 is a tick upwards."""
    if len(runs) <= _FEW:
        for name, (begin, end) in runs[0].events.phases.items():
            ax.axvspan(
                max(begin, ax.get_xlim()[0]), min(end, ax.get_xlim()[1]), color=_SHADES[name], linewidth=0, zorder=0
            )
        return
    along = ax.get_xaxis_transform()
    for run in runs:
        if run.events.grokked is not None:
            ax.plot(
                run.events.grokked,
                1.0,
                marker=2,
                color=colours[run.label],
                markersize=5,
                transform=along,
                clip_on=False,
            )


def _name_series(ax: Axes, names: Sequence[str], looks: Mapping[str, object], few: bool) -> None:
    handles = [
        Line2D([], [], color=hue if few else "black", linestyle=looks[name], linewidth=1)  # type: ignore[arg-type]
        for hue, name in zip(colours_of(len(names)), names, strict=True)
    ]
    ax.legend(handles, names, fontsize=SMALL - 2, loc="best", handlelength=1.6, borderaxespad=0.2, labelspacing=0.2)


def _legend(figure: Figure, runs: TrainingRuns, colours: Mapping[str, str]) -> None:
    entries: Entries
    if len(runs) <= _FEW:
        phases = {name: end - begin for name, (begin, end) in runs[0].events.phases.items()}
        entries = {f"{name}, {steps} steps": Patch(facecolor=_SHADES[name], edgecolor="0.7", linewidth=0.5)
                   for name, steps in phases.items()}  # fmt: skip
        columns = 4
    else:
        entries = {}
        for arm, colour in colours.items():
            mine = [run for run in runs if run.label == arm]
            grok = sum(run.grokked for run in mine)
            entries[f"{arm} ({grok} of {len(mine)} grok)"] = Line2D([], [], color=colour)
        entries = {**entries, "a run groks": Line2D([], [], color="black", marker=2, linestyle="", markersize=5)}
        columns = 2 if figure.get_figwidth() > 4 else 1
    columns = columns if figure.get_figwidth() > 4 else 1
    figure.set_figheight(figure.get_figheight() + _LINE * -(-len(entries) // columns))
    legend_below(figure, entries, columns, columnspacing=1.2)

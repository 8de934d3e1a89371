"""Settled against correct: where the puzzles lie, and how much of the 2x2 the threshold decides."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from rrm.figures.style import (
    FAILED,
    GREY,
    NULL,
    SMALL,
    SOLVED,
    Keywords,
    headline,
    interval_line,
    legend_below,
    log_ticks,
    panel_grid,
    paper_style,
)
from rrm.statistics.proportions import wilson_interval
from rrm.statistics.settling import SettlingSweep, SettlingTable

# More puzzles than this are drawn as counts in hexagons.
_DENSE = 1500

# Share of the panel's height kept free of puzzles above and below them, for the counts in the corners.
_CORNERS = 0.2

_TAU: Keywords = {"color": "black", "linewidth": 0.8}
_FLOOR: Keywords = {"color": GREY, "linewidth": 1.2, "linestyle": (0, (1, 1.2))}
_UNRELATED: Keywords = {"color": GREY, "linewidth": 0.8, "linestyle": NULL.line}


def settling_figure(
    label: str,
    late_drift: ArrayLike,
    lambda_1: ArrayLike,
    solved: ArrayLike,
    table: SettlingTable,
    sweep: SettlingSweep,
    floor: float,
) -> Figure:
    """Exponent against late drift by outcome with the 2x2 in the corners, and both errors at every threshold.

    On the right: the share of failed puzzles that count as settled and of solved puzzles that do not, with 95 % Wilson
    bands. Dotted lines are the two shares if settling had nothing to do with the outcome.

    Args:
        label: name of the trained model.
        late_drift: [N] state units per segment; 0 is drawn, and counted, as the smallest positive drift.
        lambda_1: [N] nats per call.
        solved: [N] booleans.
        table: the 2x2 at the threshold tau.
        sweep: the 2x2 at many thresholds.
        floor: drift of rounding alone, state units per segment; drawn where it lies within the range of drifts.
    """
    drift, lambda_1, solved = np.asarray(late_drift, float), np.asarray(lambda_1, float), np.asarray(solved, bool)
    drift = np.maximum(drift, drift[drift > 0].min())
    with paper_style():
        figure, (left, right) = panel_grid(["where the puzzles lie", "what the threshold decides"], 2, height=3.5)
        headline(figure, f"{label}: {np.count_nonzero(~solved)} failed of {solved.size} puzzles")
        entries = _draw_puzzles(left, drift, lambda_1, solved)
        _write_table(left, table)
        left.axvline(table.tau, _CORNERS, 1 - _CORNERS, **_TAU)
        entries[f"threshold $\\tau$ = {table.tau:.3g}"] = Line2D([], [], **_TAU)
        if left.get_xlim()[0] <= floor <= left.get_xlim()[1]:
            left.axvline(floor, _CORNERS, 1 - _CORNERS, **_FLOOR)
            entries[f"drift of rounding alone, {floor:.2g}"] = Line2D([], [], **_FLOOR)
        errors = _draw_sweep(right, table, sweep)
        # One column of the legend below each panel.
        entries |= {" " * (i + 1): Line2D([], [], linestyle="") for i in range(len(errors) - len(entries))}
        legend_below(figure, entries | errors, columns=2, columnspacing=4)
        figure.draw_without_rendering()
    return figure


def _draw_puzzles(ax: Axes, drift: np.ndarray, lambda_1: np.ndarray, solved: np.ndarray) -> dict[str, Line2D]:
    """One mark a puzzle, or shaded hexagons, the smaller class on top; returns the entries of the legend."""
    low, high = lambda_1.min(), lambda_1.max()
    span = max(high - low, 1e-3) / (1 - 2 * _CORNERS)
    middle = (low + high) / 2
    width = np.log10(drift.max() / drift.min()) or 0.1
    edges = np.log10(drift.min()) - 0.06 * width, np.log10(drift.max()) + 0.06 * width
    ax.set_xscale("log")
    classes = sorted([(SOLVED, solved), (FAILED, ~solved)], key=lambda item: -np.count_nonzero(item[1]))
    entries = {}
    for look, members in classes:
        n = np.count_nonzero(members)
        entry = Line2D([], [], color=look.colour, linestyle="", marker=look.marker)
        if solved.size > _DENSE and n:
            shades = LinearSegmentedColormap.from_list("", [(look.colour, 0.4), (look.colour, 1.0)])
            cells = ax.hexbin(
                drift[members], lambda_1[members], gridsize=(36, 24), xscale="log", mincnt=1, linewidths=0.1,
                extent=(*edges, low - span / 24, high + span / 24), cmap=shades, norm=LogNorm(1, 2),
            )  # fmt: skip
            most = int(np.asarray(cells.get_array()).max())
            cells.set_norm(LogNorm(1, max(most, 2)))
            entries[f"{look.name}, darker for more, 1 to {most} in a cell"] = entry
        elif n:
            ax.scatter(
                drift[members], lambda_1[members], s=8, color=look.colour, marker=look.marker, alpha=0.55, linewidths=0
            )
            entries[look.name] = entry
    ax.set(xlim=(10 ** edges[0], 10 ** edges[1]), ylim=(middle - span / 2, middle + span / 2))
    ax.set(xlabel="late drift (state units per segment)", ylabel=r"$\lambda_1$ (nats per call)")
    log_ticks(ax)
    ax.axhline(0, color=GREY, linewidth=0.7, linestyle=":", zorder=0)
    return entries


def _write_table(ax: Axes, table: SettlingTable) -> None:
    corners = {
        "A": (0, 0, "settled", SOLVED),
        "B": (0, 1, "settled", FAILED),
        "C": (1, 0, "unsettled", SOLVED),
        "D": (1, 1, "unsettled", FAILED),
    }
    for name, (x, y, state, look) in corners.items():
        ax.annotate(
            f"$\\bf{{{name}}}$  {getattr(table, name)}\n{state}, {look.name}",
            (x, y), (4 - 8 * x, 3 - 6 * y), xycoords="axes fraction", textcoords="offset points", fontsize=SMALL,
            ha=("left", "right")[x], va=("bottom", "top")[y], color=look.colour,
        )  # fmt: skip


def _draw_sweep(ax: Axes, table: SettlingTable, sweep: SettlingSweep) -> dict[str, Line2D]:
    """Returns the entries of the legend."""
    entries = {}
    for look, name, wrong, right in (
        (FAILED, "failed that count as settled, B/(B + D)", sweep.B, sweep.D),
        (SOLVED, "solved that count as unsettled, C/(A + C)", sweep.C, sweep.A),
    ):
        n = int(wrong[0] + right[0])
        if n:
            shares = [wilson_interval(count, n) for count in wrong.tolist()]
            interval_line(ax, sweep.percentile, shares, look, scale=100)
            entries[name] = Line2D([], [], color=look.colour, linestyle=look.line, marker=look.marker)
    for end in (0, 100):
        ax.plot([0, 100], [end, 100 - end], zorder=0, **_UNRELATED)
    entries["if settling were unrelated to the outcome"] = Line2D([], [], **_UNRELATED)
    ax.axvline(100 * (table.A + table.B) / (table.A + table.B + table.C + table.D), **_TAU)
    ax.set(
        xlim=(0, 100), ylim=(-3, 103), xlabel="threshold (percentile of late drift)", ylabel="share of the class (%)"
    )
    return entries

"""Restarts from kicked initial states: is a failure decided by the start, or by the puzzle?"""

from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from rrm.figures.style import (
    FAILED,
    NULL,
    SMALL,
    SOLVED,
    Keywords,
    Look,
    interval_line,
    legend_below,
    log_ticks,
    panel_grid,
    paper_style,
)
from rrm.statistics.interval import Interval
from rrm.statistics.proportions import wilson_interval

_INDEPENDENT: Keywords = {
    "color": NULL.colour, "linestyle": NULL.line, "marker": NULL.marker, "linewidth": 1.0, "markersize": 2.5,
}  # fmt: skip


def kick_figure(
    realised: ArrayLike,
    copies: int,
    *,
    failed: int,
    succeeded: int,
    freed_puzzles: ArrayLike,
    freed_pairs: ArrayLike,
    lost_puzzles: ArrayLike,
    lost_pairs: ArrayLike,
) -> Figure:
    """Outcomes that a kick of the initial state reverses, against its size: failures freed and successes lost.

    Two lines, each with 95 % Wilson bands over puzzles: the share of puzzles with at least one reversed restart, and
    the share of pairs of puzzle and restart (the restarts of a puzzle are not independent, so that the band counts each
    puzzle once). The dotted line is the share of puzzles that the pairs would give if restarts were independent and all
    puzzles alike: a share below the dotted line says that puzzles differ, and that no start near some of them reverses
    the outcome. With one restart a puzzle the two lines agree, and the figure has one.

    Args:
        realised: [K] size of the kick that arrived in the state, RMS per entry, state units. A kick of 0, which is the
            plain rollout, is not drawn.
        copies: restarts of each puzzle at each kick.
        failed, succeeded: puzzles that the plain rollout fails and solves.
        freed_puzzles, freed_pairs, lost_puzzles, lost_pairs: [K] shares as in `rrm.dynamics.Freed`.
    """
    realised = np.asarray(realised, float)
    order = [i for i in np.argsort(realised) if np.isfinite(realised[i]) and realised[i] > 0]
    with paper_style():
        titles = [f"{failed} failed puzzles", f"{succeeded} solved puzzles"]
        figure, axes = panel_grid(titles, columns=2, height=2.7)
        shares = [(freed_puzzles, freed_pairs), (lost_puzzles, lost_pairs)]
        for ax, n, look, kinds in zip(axes, (failed, succeeded), (FAILED, SOLVED), shares, strict=True):
            _size_axis(ax, realised[order])
            if not n or not order:
                words = "no such puzzle" if order else "no kick arrived in the state"
                ax.text(0.5, 0.5, words, transform=ax.transAxes, ha="center", fontsize=SMALL)
            else:
                _draw(ax, realised[order], copies, n, look, *(np.asarray(kind, float)[order] for kind in kinds))
        axes[0].set_ylabel("solved after the kick (%)")
        axes[1].set_ylabel("failed after the kick (%)")
        entries = {"puzzles, one restart each": _sample("black")}
        if copies > 1:
            entries = {
                f"puzzles, at least one of {copies} restarts": _sample("black"),
                "pairs of puzzle and restart": _sample("white"),
                "puzzles, if restarts were independent and puzzles alike": Line2D([], [], **_INDEPENDENT),
            }
        legend_below(figure, entries, columns=2)
        figure.draw_without_rendering()
    return figure


def _draw(
    ax: Axes, realised: np.ndarray, copies: int, n: int, look: Look, puzzles: np.ndarray, pairs: np.ndarray
) -> None:
    interval_line(ax, realised, _wilson(puzzles, n), look, scale=100)
    if copies > 1:
        interval_line(ax, realised, _wilson(pairs, n), look, scale=100)
        ax.lines[-1].set_markerfacecolor("white")
        ax.plot(realised, 100 * (1 - (1 - pairs) ** copies), **_INDEPENDENT)


def _wilson(shares: np.ndarray, n: int) -> list[Interval]:
    # A share of pairs is not a whole number of puzzles; the ends for the nearest one hold it, too.
    return [replace(wilson_interval(round(share * n), n), estimate=float(share)) for share in shares]


def _size_axis(ax: Axes, realised: np.ndarray) -> None:
    ax.set_xscale("log")
    low, high = (realised[0], realised[-1]) if realised.size else (0.1, 10.0)
    margin = (high / low) ** 0.06 if high > 1.2 * low else 2.0
    ax.set(xlim=(low / margin, high * margin), ylim=(-3, 103), xlabel="realised kick (RMS per entry, state units)")
    log_ticks(ax)


def _sample(face: str) -> Line2D:
    return Line2D([], [], color="black", marker="o", markerfacecolor=face)

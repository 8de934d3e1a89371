"""Test-time settings of one model: accuracy against the noise, and many rollouts against a deep one at equal calls."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from rrm.figures.selection import LOOKS, ORACLE_LOOK
from rrm.figures.style import DRIFT, FAILED, GREY, LAMBDA, NULL, SOLVED, Look, headline, panel_grid, paper_style
from rrm.halves import SYMMETRY, current_name
from rrm.statistics.interval import Interval
from rrm.statistics.selection import ORACLE, RANDOM, AgainstDepth, Selected

_DEEP = Look("one deep rollout", "black", "-", "s")
_HALVES = {"z_H": (SOLVED, "noise on $z_H$"), "z_L": (FAILED, "noise on $z_L$"), "both": (LAMBDA, "noise on both")}
_COPIES = replace(DRIFT, line=""), "symmetric copies"
# The place of symmetric copies, which have no sigma, as a share of the least sigma.
_BESIDE = 0.4


def selector_sweep_figure(
    label: str,
    selector: str,
    depth: int,
    choice: Mapping[tuple[float, str], Interval],
    chosen: tuple[float, str],
    clean: Interval,
    table: Sequence[Selected],
    against: Sequence[AgainstDepth],
) -> Figure:
    """Two panels with 95 % intervals over puzzles.

    Panel a: accuracy of the selector against the noise, one line a half of the state, and on symmetric copies, on the
    puzzles that choose; the ring marks the choice, the star is the same setting on the other puzzles. Panel b: on the
    other puzzles, accuracy against the number of segments run, of K rollouts of `depth` segments and of one as long.

    Args:
        label: name of the trained model.
        selector: name of the selector that chooses.
        depth: of the K rollouts, in segments.
        choice: accuracy by (sigma, half "z_H", "z_L" or "both"), of the largest K; (0, "symmetry"): symmetric copies.
        chosen: one of the keys of `choice`.
        clean: accuracy of one rollout without noise on the same puzzles.
        table: of `selection` on the other puzzles.
        against: of `against_depth` on the other puzzles; empty without deep rollouts.

    Raises:
        ValueError: no setting, or a table without the selector.
    """
    rows = {name: [row for row in table if row.selector == name] for name in (selector, RANDOM, ORACLE)}
    if not choice or not rows[selector]:
        raise ValueError(f"a figure of the choice by {selector!r} needs settings and a table of that selector")
    with paper_style():
        figure, (noise, calls) = panel_grid(
            [f"{selector} of {rows[selector][-1].k}, by noise or copies", "breadth and depth at equal calls"],
            columns=2,
            height=3.4,
        )
        headline(figure, f"{label}: chosen on {clean.n} puzzles, compared on {table[0].accuracy.n}")
        _draw_choice(noise, choice, chosen, clean, rows[selector][-1].accuracy)
        _draw_calls(calls, selector, depth, rows, against)
        for ax in (noise, calls):
            ax.set_ylabel("puzzles solved (%)")
            ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), borderaxespad=0, ncols=2, labelspacing=0.3)
        figure.draw_without_rendering()
    return figure


def _draw_choice(ax: Axes, choice: Mapping, chosen: tuple[float, str], clean: Interval, other: Interval) -> None:
    ax.axhline(100 * clean.estimate, color=GREY, linewidth=0.7, label="no noise, one rollout")
    noise = [at for at in choice if at[1] != SYMMETRY]
    halves = list(dict.fromkeys(where for _, where in noise))
    beside = _BESIDE * min((sigma for sigma, _ in noise), default=1.0)
    # Side by side, so that no interval hides another.
    shift = {half: 1.06 ** (place - (len(halves) - 1) / 2) for place, half in enumerate(halves)}
    place_of = {at: at[0] * shift[at[1]] if at in noise else beside for at in choice}
    for half in dict.fromkeys(where for _, where in choice):
        settings = [at for at in choice if at[1] == half]
        look, name = _COPIES if half == SYMMETRY else _HALVES[current_name(half)]
        x, ends = [place_of[at] for at in settings], _percent([choice[at] for at in settings])
        ax.vlines(x, ends[1], ends[2], color=look.colour, linewidth=0.8)
        ax.plot(x, ends[0], color=look.colour, linestyle=look.line, marker=look.marker, label=name)
    ring = place_of[chosen], 100 * choice[chosen].estimate
    ax.plot(*ring, "o", markersize=10, markerfacecolor="none", color="black", label="chosen")
    star = (chosen[0] or beside) * 1.06 ** (len(halves) / 2 + 0.5)
    ax.vlines(star, 100 * other.low, 100 * other.high, color="black", linewidth=0.8)
    ax.plot(star, 100 * other.estimate, "*", markersize=8, color="black", label="the same, other puzzles")
    ticks = {beside: "copies"} if len(noise) < len(choice) else {}
    ticks |= {sigma: f"{sigma:g}" for sigma in sorted({sigma for sigma, _ in noise})}
    ax.set_xscale("log")
    _ticks(ax, list(ticks), list(ticks.values()))
    ax.set(xlim=(min(ticks) / 1.6, max(ticks) * 1.6), xlabel=r"noise $\sigma$ (state RMS = 1)")


def _draw_calls(ax: Axes, selector: str, depth: int, rows: Mapping, against: Sequence[AgainstDepth]) -> None:
    looks = {selector: LOOKS[selector], RANDOM: NULL, ORACLE: ORACLE_LOOK}
    drawn = [(name, looks[name], of_name, [row.accuracy for row in of_name]) for name, of_name in rows.items()]
    alone = {row.k: row for row in against}.values()
    counts = [row.k for row in rows[selector]]
    for name, look, of_name, values in drawn:
        x, ends = depth * np.array([row.k for row in of_name]), _percent(values)
        if name == selector:
            ax.vlines(x * 1.05, ends[1], ends[2], color=look.colour, linewidth=0.8)
            x = x * 1.05
        ax.plot(x, ends[0], color=look.colour, linestyle=look.line, marker=look.marker, label=f"{name} of $K$")
    if alone:
        x, ends = depth * np.array([row.k for row in alone]) / 1.05, _percent([row.deep for row in alone])
        ax.vlines(x, ends[1], ends[2], color=_DEEP.colour, linewidth=0.8)
        ax.plot(x, ends[0], color=_DEEP.colour, linestyle=_DEEP.line, marker=_DEEP.marker, label=_DEEP.name)
    ax.set_xscale("log")
    _ticks(ax, [depth * k for k in counts], [f"{depth * k}" for k in counts])
    ax.set(xlim=(depth * counts[0] / 1.6, depth * counts[-1] * 1.6), xlabel=f"segments in all, $K$ x {depth}")


def _ticks(ax: Axes, values: Sequence[float], names: Sequence[str]) -> None:
    ax.xaxis.set_major_locator(FixedLocator(values))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticks(values, names)


def _percent(values: Sequence[Interval]) -> np.ndarray:
    """[3, n]: estimates and ends."""
    return 100 * np.array([(value.estimate, value.low, value.high) for value in values]).T

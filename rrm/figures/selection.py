"""Choosing among noisy rollouts: accuracy against K, reliability of the Q head, Q against stability within problems."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator
from numpy.typing import ArrayLike

from rrm.figures.style import (
    DRIFT,
    FAILED,
    GREY,
    LAMBDA,
    NULL,
    SMALL,
    SOLVED,
    Look,
    headline,
    minus,
    panel_grid,
    paper_style,
    pretty,
)
from rrm.statistics.calibration import Calibration
from rrm.statistics.interval import Interval
from rrm.statistics.selection import MAJORITY, ORACLE, RANDOM, Selected

ORACLE_LOOK = Look(ORACLE, "black", (0, (1, 1.2)), "")
LOOKS = {
    MAJORITY: FAILED,
    "best Q": SOLVED,
    "lowest residual": DRIFT,
    "most stable": Look("most stable", "#c2185b", (0, (6, 1.5, 1, 1.5)), "v"),
    "lowest lambda_1": replace(LAMBDA, line=(0, (2, 1))),
    "first to halt": Look("first to halt", "#5d8aa8", (0, (3, 1)), "P"),
    "first settled": Look("first settled", "#8d6e63", (0, (5, 1, 1, 1, 1, 1)), "X"),
}
_WITHIN, _PARTIAL, _POOLED = SOLVED, replace(LAMBDA, line="-"), NULL

# Rows above the histogram, as shares of the height of the panel, and the share that the highest bar takes.
_ROW, _BARS = 0.085, 0.62


def selection_figure(
    label: str,
    table: Sequence[Selected],
    depth: int,
    clean: Interval,
    calibration: Calibration | None,
    within: Mapping[str, tuple[ArrayLike, Interval]],
    pooled: Mapping[str, Interval],
) -> Figure:
    """Three panels with 95 % intervals over puzzles.

    Panel a: accuracy of each selector against the number of rollouts to choose from; the grey area lies between a
    random choice and the oracle, the thin line is the rollout without noise. Panel b: share of right answers against
    the probability by the Q head, with the share of rollouts in each bin as bars. Panel c: rank correlation of Q and
    stability by problem, its mean with and without controls, and the pooled correlation, which difficulty inflates.

    Args:
        label: name of the trained model.
        table: of `selection`, at one depth; selectors are told apart by the names of LOOKS, all others are drawn in
            grey.
        depth: of the rollouts, in segments.
        clean: accuracy of the rollout without noise.
        calibration: of the Q head; None without one.
        within: name of each way to correlate, the correlations [n] of the mixed problems (nan where undefined) and
            their mean; the first is the plain one. Empty without Q head.
        pooled: correlations over all rollouts at once, by name.
    """
    if not table:
        raise ValueError("a selection figure needs at least one selector")
    titles = [f"accuracy after {depth} segments", "reliability of Q", "Q and stability"]
    with paper_style():
        figure, (accuracy, reliability, correlation) = panel_grid(titles, columns=3, height=3.6)
        headline(figure, f"{label}: {table[0].accuracy.n} puzzles")
        _draw_accuracy(accuracy, table, clean)
        _draw_reliability(reliability, calibration)
        _draw_correlations(correlation, within, pooled)
        for ax in (accuracy, reliability, correlation):
            if ax.get_legend_handles_labels()[0]:
                ax.legend(loc="upper center", bbox_to_anchor=(0.45, -0.3), borderaxespad=0, labelspacing=0.3)
        figure.draw_without_rendering()
    return figure


def _draw_accuracy(ax: Axes, table: Sequence[Selected], clean: Interval) -> None:
    rows = {name: [row for row in table if row.selector == name] for name in dict.fromkeys(r.selector for r in table)}
    counts = np.array([row.k for row in rows[RANDOM]], float)
    random, oracle = (np.array([row.accuracy.estimate for row in rows[name]]) for name in (RANDOM, ORACLE))
    ax.axhline(100 * clean.estimate, color=GREY, linewidth=0.7, label="no noise, one rollout")
    ax.fill_between(counts, 100 * random, 100 * oracle, color="0.93", linewidth=0, zorder=0)
    chosen = [name for name in rows if name not in (ORACLE, RANDOM)]
    for name in (ORACLE, *chosen, RANDOM):
        look = {ORACLE: ORACLE_LOOK, RANDOM: NULL}.get(name) or LOOKS.get(name, NULL)
        # Side by side, so that no interval hides another; the bounds stay where they are.
        x = counts * (1.08 ** (chosen.index(name) - (len(chosen) - 1) / 2) if name in chosen else 1.0)
        ends = 100 * np.array([(r.accuracy.estimate, r.accuracy.low, r.accuracy.high) for r in rows[name]]).T
        ax.vlines(x, ends[1], ends[2], color=look.colour, linewidth=0.8)
        ax.plot(x, ends[0], color=look.colour, linestyle=look.line, marker=look.marker, label=pretty(name))
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator(counts.tolist()))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticks(counts, [f"{count:g}" for count in counts])
    ax.set(xlim=(counts[0] / 1.5, counts[-1] * 1.5), xlabel="rollouts $K$ to choose from", ylabel="puzzles solved (%)")


def _draw_reliability(ax: Axes, found: Calibration | None) -> None:
    ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xlabel="probability by Q", ylabel="share solved")
    if found is None:
        ax.text(0.5, 0.5, "no Q head", ha="center", fontsize=SMALL)
        return
    ax.plot([0, 1], [0, 1], color="black", linewidth=0.7, zorder=0)
    x, y, low, high = np.array([(b.predicted, b.observed.estimate, b.observed.low, b.observed.high)
                                for b in found.bins]).T  # fmt: skip
    share = np.array([b.rollouts for b in found.bins]) / sum(b.rollouts for b in found.bins)
    ax.bar(x, share, width=0.05, color="0.85", zorder=0, label="share of rollouts")
    ax.vlines(x, low, high, color=SOLVED.colour, linewidth=1)
    ax.plot(x, y, color=SOLVED.colour, marker=SOLVED.marker, linestyle="", label="solved, by probability")
    parts = [("reliability", found.reliability), ("resolution", found.resolution), ("uncertainty", found.uncertainty)]
    ax.plot([], [], " ", label=f"Brier {found.brier:.3f}")
    for name, value in parts:
        ax.plot([], [], " ", label=f"{name} {value:.3f}")


def _draw_correlations(ax: Axes, within: Mapping, pooled: Mapping[str, Interval]) -> None:
    ax.set(xlim=(-1.05, 1.05), xlabel="rank correlation", ylabel="mixed problems")
    looks = [_WITHIN, _PARTIAL, replace(DRIFT, line=(0, (4, 1.5)))]
    edges, top = np.linspace(-1, 1, 21), 1
    marks = []
    for (name, (values, mean)), look in zip(within.items(), looks, strict=False):
        values = np.asarray(values, float)
        heights = np.histogram(np.clip(values[np.isfinite(values)], -1, 1), edges)[0]
        ax.stairs(heights, edges, color=look.colour, linestyle=look.line, linewidth=1.1, fill=look is _WITHIN,
                  alpha=0.3 if look is _WITHIN else 1)  # fmt: skip
        top = max(top, heights.max())
        marks.append((name, mean, look))
    marks += [(name, interval, replace(_POOLED, marker=marker))
              for (name, interval), marker in zip(pooled.items(), ("o", "s"), strict=False)]  # fmt: skip
    if not any(np.isfinite(mean.estimate) for _, mean, _ in marks):
        ax.text(0, 0.5, "too few mixed problems,\nor no Q head", ha="center", fontsize=SMALL)
        ax.set_yticks([])
        return
    ax.axvline(0, color="black", linewidth=0.7, zorder=0)
    ax.set_ylim(0, top / _BARS)
    ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    ax.set_yticks([tick for tick in ax.get_yticks() if 0 <= tick <= top * 1.05])
    for place, (name, mean, look) in enumerate(marks):
        y = 1 - _ROW * (place + 0.5)
        ax.plot([mean.low, mean.high], [y, y], color=look.colour, linewidth=1, transform=ax.get_xaxis_transform())
        words = minus(f"{name} {mean:.2f}") if np.isfinite(mean.estimate) else f"{name}: undefined"
        ax.plot(mean.estimate, y, color=look.colour, marker=look.marker, linestyle="", label=pretty(words),
                transform=ax.get_xaxis_transform())  # fmt: skip

"""The claims of the study as a forest: every effect on one axis, in units of the smallest effect that counts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from rrm.figures.style import FULL, GREY, SMALL, legend_below, minus, paper_style, pretty
from rrm.statistics.claims import DOES_NOT_HOLD, HOLDS, OPEN, Judged

_LOOKS = {HOLDS: ("#0b3c6f", "o"), DOES_NOT_HOLD: ("#d55e00", "s"), OPEN: (GREY, "D")}
# Characters in a line of a claim; inches of a line, between rows, and of the frame.
_WORDS, _LINE, _GAP, _FRAME = 52, 0.14, 0.12, 1.0
# Ends of the axis, in smallest effects that count. What lies beyond is drawn at the edge as an arrow.
_MOST = 6.0
_COUNTS = "0.92"


@dataclass(frozen=True)
class ForestRow:
    """words: of the claim.  effect: with its unit, as text.  judged: the claim.  control: its null, nan without one."""

    words: str
    effect: str
    judged: Judged
    control: float


def claims_figure(rows: Sequence[ForestRow]) -> Figure:
    """One row a claim: its effect with the 95 % interval over training seeds, single seeds, and the verdict.

    The axis is (effect - null) / smallest effect that counts: 0 is the null of each claim and 1 the smallest effect
    that counts, whatever its unit. The shaded part from 1 on is the part that speaks for a claim.

    Args:
        rows: at least one.
    """
    names = ["\n".join(wrap(pretty(row.words), _WORDS)) for row in rows]
    heights = [_LINE * (name.count("\n") + 1) + _GAP for name in names]
    places = [-sum(heights[:row]) - heights[row] / 2 for row in range(len(rows))]
    with paper_style():
        figure = Figure(figsize=(1.35 * FULL, sum(heights) + _FRAME))
        ax = figure.subplots()
        for row, place in zip(rows, places, strict=True):
            _draw(ax, row, place)
        ax.axvline(0, color="black", linewidth=0.7, zorder=1)
        ax.axvspan(1, 1.1 * _MOST, color=_COUNTS, linewidth=0, zorder=0)
        ax.set_xlim(-1.1 * _MOST, 1.1 * _MOST)
        ax.set_ylim(-sum(heights), 0)
        ax.set_yticks(places, names, fontsize=SMALL)
        ax.set_xlabel("(effect \N{MINUS SIGN} null) / smallest effect that counts")
        ax.tick_params(axis="y", length=0)
        ax.spines.left.set_visible(False)
        _add_legend(figure, rows)
        figure.draw_without_rendering()
    return figure


def _draw(ax: Axes, row: ForestRow, y: float) -> None:
    judged = row.judged
    colour, marker = _LOOKS[judged.verdict]

    def scaled(value: float) -> float:
        return (value - judged.null) / judged.smallest

    def place(value: float) -> float:
        return max(-_MOST, min(_MOST, scaled(value)))

    along = ax.get_yaxis_transform()
    n = len(judged.values)
    ax.text(1.01, y, f"{minus(row.effect)}, n = {n}" if n else "no seed", transform=along, va="center", fontsize=SMALL)
    if not n:
        return
    if math.isfinite(judged.effect.low):
        ax.plot([place(judged.effect.low), place(judged.effect.high)], [y, y], color=colour, linewidth=1.2, zorder=2)
    if n > 1:
        ax.plot([place(v) for v in judged.values.values()], [y] * n, ".", color=colour, markersize=3, alpha=0.5)
    if math.isfinite(row.control):
        ax.plot(place(row.control), y, "|", color="black", markersize=8, zorder=3)
    estimate = scaled(judged.effect.estimate)
    if abs(estimate) > _MOST:
        marker = ">" if estimate > 0 else "<"
    ax.plot(place(judged.effect.estimate), y, marker, color=colour, markersize=5, zorder=4)


def _add_legend(figure: Figure, rows: Sequence[ForestRow]) -> None:
    entries: dict[str, Artist] = {
        verdict: Line2D([], [], color=colour, marker=marker, linewidth=1.2)
        for verdict, (colour, marker) in _LOOKS.items()
        if any(row.judged.verdict == verdict for row in rows)
    }
    entries["single seed"] = Line2D([], [], color="0.3", linestyle="", marker=".", markersize=3, alpha=0.5)
    if any(math.isfinite(row.control) for row in rows):
        entries["null through the same code"] = Line2D([], [], color="black", linestyle="", marker="|", markersize=8)
    entries["effects that count"] = Patch(color=_COUNTS, linewidth=0)
    legend_below(figure, entries, columns=3)

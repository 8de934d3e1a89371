"""Share of runs that have not grokked, by arm: Kaplan and Meier's curves, in which runs that never do are censored."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from rrm.figures.numbers_below import numbers_below
from rrm.figures.style import COLUMN, DASHES, Look, colours_of, legend_below, log_ticks, paper_style
from rrm.statistics.grok_times import GrokTimes

# Inches: the panel with its axis and names, and a line of the rows below it.
_PANEL, _LINE = 2.6, 0.17


def grokking_survival(arms: Sequence[GrokTimes]) -> Figure:
    """Runs not grokked yet against the step, one curve an arm, with the runs at risk below; bars are censored runs.

    Args:
        arms: at least one, each with a run.
    """
    looks = [
        Look(arm.arm, colour, DASHES[i % len(DASHES)], "")
        for i, (arm, colour) in enumerate(zip(arms, colours_of(len(arms)), strict=True))
    ]
    events = [step for arm in arms for step in (*arm.grokked.values(), *arm.memorised.values(), *arm.censored.values())]
    with paper_style():
        figure = Figure(figsize=(COLUMN, _PANEL + _LINE * (2 * len(arms) + 2)))
        ax = figure.subplots()
        ax.set_xscale("log")
        first, last = max(1, min(events)), max(events)
        ax.set_xlim(first / 1.5, max(last, 2 * first) * 1.15)
        log_ticks(ax)
        for arm, look in zip(arms, looks, strict=True):
            curve = arm.curve
            time, share = np.r_[ax.get_xlim()[0], curve.time], 100 * np.r_[1, curve.survival]
            ax.step(time, share, where="post", color=look.colour, linestyle=look.line, linewidth=1.6, alpha=0.8)
            ended = np.array(sorted(arm.censored.values()))
            if ended.size:
                left = 100 * np.r_[1, curve.survival][np.searchsorted(curve.time, ended, side="right")]
                ax.plot(ended, left, "|", color=look.colour, markersize=8)
        ax.set(xlabel="step", ylabel="not grokked yet (% of runs)", ylim=(-3, 104))
        figure.draw_without_rendering()
        low, high = ax.get_xlim()
        ticks = [tick for tick in ax.get_xticks() if low <= tick <= high]
        ax.xaxis.set_minor_formatter(NullFormatter())
        numbers_below(ax, "runs at risk", ticks, [(look, [_at_risk(arm, t) for t in ticks])
                                                  for arm, look in zip(arms, looks, strict=True)])  # fmt: skip
        entries = {f"{arm.arm}: {arm.median_words}": Line2D([], [], color=look.colour, linestyle=look.line)
                   for arm, look in zip(arms, looks, strict=True)}  # fmt: skip
        legend_below(figure, entries)
        figure.legends[0].set_title("median step")
        figure.draw_without_rendering()
    return figure


def _at_risk(arm: GrokTimes, step: float) -> int:
    """Runs neither grokked nor ended before a step."""
    return sum(time >= step for time in (*arm.grokked.values(), *arm.censored.values()))

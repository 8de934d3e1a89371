"""Rounds of dream loops: what was kept, what it yielded, and the noise."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from rrm.figures.style import Look, colours_of, interval_line, legend_below, panel_grid, paper_style
from rrm.statistics.rounds import Rounds

_PANELS = {
    "p_hat": "attempts accepted",
    "yield": "yield",
    "pass_1": "pass@1, fresh puzzles",
    "exact_1": "the label's answer, fresh puzzles",
    "pass_K": "pass@K, fresh puzzles",
    "corrections": "corrections, fresh puzzles",
    "kept_tier_1": "kept that are easy",
    "kept_tier_3": "kept that are hard",
    "sigma": "noise (state units)",
    "false_accepts": "false accepts",
    "kept_exact": "kept that are the label",
}


def rounds_figure(arms: Sequence[Rounds]) -> Figure:
    """A panel a number, a line an arm against the round; bands are 95 % intervals over seeds.

    Args:
        arms: at least one.
    """
    names = [name for name in _PANELS if all(name in arm.series for arm in arms)]
    looks = [Look(arm.arm, colour, "-", "o") for arm, colour in zip(arms, colours_of(len(arms)), strict=True)]
    with paper_style():
        figure, axes = panel_grid([_PANELS[name] for name in names], columns=3, height=1.75)
        for ax, name in zip(axes, names, strict=True):
            for arm, look in zip(arms, looks, strict=True):
                means = [arm.mean(name, number) for number in range(arm.count)]
                interval_line(ax, np.arange(1, arm.count + 1), means, look)
            ax.set_xlabel("round")
            ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            if name == "sigma":
                ax.set_yscale("log")
        entries = {look.name: Line2D([], [], color=look.colour, marker=look.marker) for look in looks}
        legend_below(figure, entries, columns=4)
    return figure

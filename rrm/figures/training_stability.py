"""How fast nearby trainings go apart, against the step and against the training loss."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from rrm.figures.style import DRIFT, FAILED, GREY, NULL, SOLVED, legend_below, panel_grid, paper_style

# In the order of the arms.
_LOOKS = (SOLVED, FAILED, NULL, DRIFT)


def training_stability_figure(arms: Mapping[str, Sequence[tuple[ArrayLike, ArrayLike, ArrayLike]]]) -> Figure:
    """A line a training, panel a against the step, panel b against the training loss, which falls to the right.

    Args:
        arms: by name, at most four, a training a triple: step, training loss in nats and growth rate in nats per step,
            [T] each; a rate that is nan leaves a gap.
    """
    with paper_style():
        figure, (by_step, by_loss) = panel_grid(["growth of |dw| by step", "by training loss"], columns=2, height=2.6)
        entries = {}
        for (arm, trainings), look in zip(arms.items(), _LOOKS, strict=False):
            for step, loss, rate in trainings:
                for ax, x in ((by_step, step), (by_loss, loss)):
                    (entries[arm],) = ax.plot(
                        x, 1e3 * np.asarray(rate), color=look.colour, linestyle=look.line, linewidth=0.8, alpha=0.8
                    )
        by_loss.set_xscale("log")
        by_loss.invert_xaxis()
        by_step.set(xlabel="step", ylabel=r"growth ($10^{-3}$ nats per step)")
        by_loss.set(xlabel="training loss (nats)")
        for ax in (by_step, by_loss):
            ax.axhline(0, color=GREY, linewidth=0.7, linestyle=":", zorder=0)
        legend_below(figure, entries, columns=4)
    return figure

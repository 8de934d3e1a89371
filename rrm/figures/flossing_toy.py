"""The toy of gradient flossing: accuracy of every arm, and the spectra before and after."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from rrm.figures.style import FAILED, GREY, LAMBDA, NULL, SOLVED, panel_grid, paper_style

# In the order of the arms; the first is the arm without flossing.
_LOOKS = (FAILED, SOLVED, LAMBDA, NULL)
# Training steps that a point of an accuracy curve averages over.
SMOOTH = 25


def flossing_toy_figure(curves: Mapping[str, tuple[ArrayLike, ArrayLike]], spectra: Mapping[str, ArrayLike]) -> Figure:
    """Panel a: accuracy against the budget spent, a line a seed; panel b: exponents against their index, a line a seed.

    Args:
        curves: by arm, at most four: budget spent [E] and share of right bits [seeds, E], chance being one half.
        spectra: by moment, at most four: exponents [seeds, N] in nats per step.
    """
    with paper_style():
        titles = ["learning, each seed", "exponents, each seed"]
        figure, (learning, exponents) = panel_grid(titles, columns=2, height=2.6)
        for (arm, (spent, accuracy)), look in zip(curves.items(), _LOOKS, strict=False):
            for number, line in enumerate(np.atleast_2d(accuracy)):
                points = len(line) // SMOOTH
                x, y = (np.reshape(v[: points * SMOOTH], (points, SMOOTH)).mean(1) for v in (np.asarray(spent), line))
                learning.plot(x, y, color=look.colour, linewidth=0.9, alpha=0.8, label=None if number else arm)
        learning.axhline(0.5, color=GREY, linewidth=0.7, linestyle=":", zorder=0)
        learning.set(xlabel="budget spent (training steps)", ylabel="share of right bits", ylim=(0.45, 1.03))
        learning.set_xlim(left=0)
        for (moment, values), look in zip(spectra.items(), _LOOKS, strict=False):
            for number, line in enumerate(np.atleast_2d(values)):
                index = np.arange(1, len(line) + 1)
                name = None if number else moment
                exponents.plot(
                    index, line, color=look.colour, linestyle=look.line, linewidth=0.9, alpha=0.8, label=name
                )
        exponents.axhline(0, color=GREY, linewidth=0.7, linestyle=":", zorder=0)
        exponents.set(xlabel="index $i$", ylabel=r"exponent $\lambda_i$ (nats per step)")
        for ax in (learning, exponents):
            # Below the axis: the lines of many seeds leave no free corner.
            ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2)
        figure.draw_without_rendering()
    return figure

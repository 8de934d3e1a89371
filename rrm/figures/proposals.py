"""How often a model solves new puzzles, by the way they were made, and useful ones a second of the solver."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from rrm.figures.style import DASHES, GREY, colours_of, legend_below, panel_grid, paper_style


def proposals_figure(
    solved: Mapping[str, np.ndarray], rates: Mapping[str, float], useful: tuple[float, float]
) -> Figure:
    """Cumulative shares of puzzles against the share of attempts that solve them, and useful puzzles a CPU-second.

    Args:
        solved: by way, [N] shares of attempts that solve each puzzle.
        rates: by way, useful puzzles a CPU-second; ways without one have no bar.
        useful: bounds between which a puzzle is useful, shaded.
    """
    colours = dict(zip(solved, colours_of(len(solved)), strict=True))
    with paper_style():
        figure, (left, right) = panel_grid(["attempts that solve a puzzle", "useful puzzles"], 2, 2.7)
        left.axvspan(*(100 * bound for bound in useful), color="0.93", linewidth=0)
        lines = {}
        for number, (name, shares) in enumerate(solved.items()):
            ordered = np.sort(shares) * 100
            (lines[name],) = left.step(
                np.r_[0, ordered, 100], np.r_[0, np.arange(len(ordered)) + 1, len(ordered)] * 100 / len(ordered),
                where="post", color=colours[name], linestyle=DASHES[number % len(DASHES)],
            )  # fmt: skip
        left.set(xlabel="solved, % of attempts", ylabel="puzzles up to there, %", xlim=(0, 100), ylim=(0, 100))
        drawn = [name for name in rates if rates[name] > 0]
        right.barh(range(len(drawn)), [rates[name] for name in drawn], color=[colours[name] for name in drawn])
        right.set_yticks(range(len(drawn)), drawn)
        right.invert_yaxis()
        right.set(xlabel="useful puzzles a CPU-second")
        right.axvline(0, color=GREY, linewidth=0.7)
        legend_below(figure, lines, columns=3)
    return figure

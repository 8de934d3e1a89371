"""The horizon curve: when does the exponent tell failed from solved, and does it do so before the answer?"""

import math
from collections.abc import Sequence
from dataclasses import replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from rrm.figures.numbers_below import numbers_below
from rrm.figures.style import DRIFT, LAMBDA, NULL, SMALL, SOLVED, Look, headline, interval_line, panel_grid, paper_style
from rrm.statistics.horizon import HorizonPoint
from rrm.statistics.outcomes import MIN_CLASS

_EXPONENT = replace(LAMBDA, name=r"$\lambda_1$ over the first $w$ segments")
_DRIFT = replace(DRIFT, name="drift of segment $w$")
_TOY = replace(NULL, name="null, knows only when the search ended")

# More windows than this are drawn without markers, and at most so many are named on the axis.
_MARKED, _NAMED = 12, 8


def horizon_figure(label: str, points: Sequence[HorizonPoint]) -> Figure:
    """AUC of exponent and drift against the window, with 95 % bands, for three outcomes, and the share solved.

    Panel a: failure at the end of the window, beside the null that knows only when the search ended. Panel b: failure
    at the last segment. Panel c: failure at the last segment among the puzzles that are unsolved at w, with their
    number below the axis: is there a signal before the answer? 0.5 is the null. Panel d: share of puzzles solved at w.

    Args:
        label: name of the trained model.
        points: at least one window, as from `horizon_curve`.
    """
    if not points:
        raise ValueError("a horizon curve needs at least one window")
    points = sorted(points, key=lambda point: point.window)
    windows = [point.window for point in points]
    titles = [
        "failure at $w$",
        "failure at the last segment",
        "the same, among puzzles unsolved at $w$",
        "solved at $w$",
    ]
    with paper_style():
        figure, (at_window, at_last, antecedent, solved) = panel_grid(titles, columns=2, height=2.35)
        headline(figure, f"{label}: {points[-1].solved.n} puzzles")
        _draw_aucs(at_window, points, {"transient_chaos": _TOY, "drift_window": _DRIFT, "lambda_window": _EXPONENT})
        _draw_aucs(at_last, points, {"drift_last": _DRIFT, "lambda_last": _EXPONENT})
        _draw_aucs(antecedent, points, {"drift_antecedent": _DRIFT, "lambda_antecedent": _EXPONENT})
        interval_line(solved, windows, [point.solved for point in points], SOLVED, scale=100)
        solved.set(ylim=(-3, 103), ylabel="puzzles solved (%)")
        bottom = min(0.45, *(ax.get_ylim()[0] for ax in (at_window, at_last, antecedent)))
        for ax in (at_window, at_last, antecedent):
            ax.set(ylim=(max(bottom, -0.02), 1.02), ylabel="AUC for failure")
        for ax in figure.axes:
            ax.set_xlabel("window $w$ (segments from the start)")
            ax.set_xlim(windows[0] - _margin(windows), windows[-1] + _margin(windows))
            ax.xaxis.set_major_locator(FixedLocator(_named(windows)))
            if len(points) > _MARKED:
                for line in ax.lines:
                    line.set_marker("")
        unsolved = {point.window: round((1 - point.solved.estimate) * point.solved.n) for point in points}
        named = _named(windows)
        numbers_below(antecedent, "puzzles unsolved at $w$", named, [(None, [unsolved[window] for window in named])])
        handles, names = at_window.get_legend_handles_labels()
        figure.legend(handles[::-1], names[::-1], loc="outside lower center", ncols=3)
        figure.draw_without_rendering()
    return figure


def _draw_aucs(ax: Axes, points: Sequence[HorizonPoint], looks: dict[str, Look]) -> None:
    ax.axhline(0.5, color="black", linewidth=0.7, zorder=0)
    for field, look in looks.items():
        intervals = [getattr(point, field) for point in points]
        interval_line(ax, [point.window for point in points], intervals, look, label=look.name)
    if all(math.isnan(getattr(point, field).estimate) for point in points for field in looks):
        words = f"fewer than {MIN_CLASS} solved or failed\nin every window"
        ax.text(0.5, 0.6, words, transform=ax.transAxes, ha="center", fontsize=SMALL)


def _named(windows: Sequence[int]) -> list[int]:
    """The windows that are named on the axis, the last one always."""
    return [*windows][::-1][:: -(-len(windows) // _NAMED)][::-1]


def _margin(windows: Sequence[int]) -> float:
    return 0.04 * (windows[-1] - windows[0]) or 1.0

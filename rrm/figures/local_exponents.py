"""The exponent segment by segment: when do solved and failed rollouts part?"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from rrm.figures.style import FAILED, GREY, SOLVED, Look, headline, panel_grid, paper_style
from rrm.statistics.outcomes import MIN_CLASS

# Interquartile ranges beyond the quartiles at which the histogram ends: a tangent that died would else fill the axis.
_TAILS = 6

# Values closer together than this (nats per segment) are drawn at this width: the rest would be rounding noise.
_MIN_SPAN = 1e-3

# More segments than this are drawn without markers.
_MARKED = 32


def local_exponents(label: str, lambda_segments: ArrayLike, solved: ArrayLike) -> Figure:
    """lambda_1 of each segment by outcome: median and quartile band against the segment, and all values together.

    A class with fewer than 5 puzzles is drawn as one thin line a puzzle on the left and as single ticks on the right.

    Args:
        label: name of the trained model.
        lambda_segments: [N, T] nats per segment, N and T at least 1.
        solved: [N] booleans, at the last segment.

    Raises:
        ValueError: shapes that do not match, or values that are not finite.
    """
    values, solved = np.asarray(lambda_segments, float), np.asarray(solved, bool)
    if values.ndim != 2 or not values.size or solved.shape != values.shape[:1]:
        raise ValueError(f"needs lambda_segments [N, T] and solved [N]; got shapes {values.shape} and {solved.shape}")
    if not np.isfinite(values).all():
        bad = np.count_nonzero(~np.isfinite(values).all(axis=1))
        raise ValueError(f"exponents of {bad} of {len(values)} puzzles are not finite; leave them out, counted")
    classes = [(SOLVED, values[solved]), (FAILED, values[~solved])]
    with paper_style():
        figure, (left, right) = panel_grid(["by segment", "all segments"], columns=2, height=2.7)
        rollout = f"{values.shape[1]} segments" if values.shape[1] > 1 else "1 segment"
        headline(figure, f"{label}: {len(values)} puzzles, {rollout}")
        edges, note = _bins(values)
        for look, members in classes:
            if len(members):
                _draw_course(left, look, members)
                _draw_histogram(right, look, members, edges)
        left.axhline(0, color=GREY, linewidth=0.7, linestyle=":", zorder=0)
        if edges[0] < 0 < edges[-1]:
            right.axvline(0, color=GREY, linewidth=0.7, linestyle=":", zorder=0)
        left.set(xlabel="segment", ylabel=r"$\lambda_1$ (nats per segment)", xlim=(0.5, values.shape[1] + 0.5))
        left.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
        right.set(xlabel=r"$\lambda_1$ (nats per segment)" + note, ylabel="segments (% of class)", xlim=edges[[0, -1]])
        right.xaxis.set_major_locator(MaxNLocator(5))
        right.set_ylim(0, None if any(len(members) >= MIN_CLASS for _, members in classes) else 100)
        figure.legend(
            [_sample(*item) for item in classes],
            [_entry(*item) for item in classes],
            loc="outside lower center",
            ncols=2,
        )
        figure.draw_without_rendering()
    return figure


def _draw_course(ax: Axes, look: Look, members: np.ndarray) -> None:
    segment = np.arange(1, members.shape[1] + 1)
    marker = look.marker if segment.size <= _MARKED else ""
    if len(members) < MIN_CLASS:
        ax.plot(
            segment, members.T, color=look.colour, linestyle=look.line, marker=marker, linewidth=0.6, markersize=2.5
        )
        return
    low, median, high = np.quantile(members, [0.25, 0.5, 0.75], axis=0)
    # The edge keeps a band of a single segment visible.
    ax.fill_between(segment, low, high, facecolor=(look.colour, 0.2), edgecolor=(look.colour, 0.5), linewidth=0.6)
    ax.plot(segment, median, color=look.colour, linestyle=look.line, marker=marker)


def _draw_histogram(ax: Axes, look: Look, members: np.ndarray, edges: np.ndarray) -> None:
    if len(members) < MIN_CLASS:
        ax.plot(members.ravel(), 0 * members.ravel(), color=look.colour, linestyle="", marker="|", markersize=8)
        return
    heights = 100 * np.histogram(members, edges)[0] / members.size
    ax.stairs(heights, edges, fill=True, color=look.colour, alpha=0.18, linewidth=0)
    ax.stairs(heights, edges, color=look.colour, linestyle=look.line, linewidth=1.2)


def _bins(values: np.ndarray) -> tuple[np.ndarray, str]:
    """Edges common to both classes, with one bin to spare on either side, and words on the values beyond the edges."""
    lower, upper = np.quantile(values, [0.25, 0.75])
    tails = _TAILS * (upper - lower) or np.inf
    within = values[(values >= lower - tails) & (values <= upper + tails)]
    low, high = within.min(), within.max()
    n_bins = int(np.clip(np.sqrt(values.size), 8, 40))
    width = max(high - low, _MIN_SPAN) / (n_bins - 1)
    edges = (low + high) / 2 + width * (np.arange(n_bins + 3) - (n_bins + 2) / 2)
    beyond = values.size - within.size
    return edges, f"\n{beyond} of {values.size} values lie beyond the axis" if beyond else ""


def _sample(look: Look, members: np.ndarray) -> Line2D:
    return Line2D([], [], color=look.colour, linestyle=look.line, marker=look.marker)


def _entry(look: Look, members: np.ndarray) -> str:
    if not len(members):
        return f"none {look.name}"
    return f"{len(members)} {look.name}" + (", median and quartiles" if len(members) >= MIN_CLASS else ", each puzzle")

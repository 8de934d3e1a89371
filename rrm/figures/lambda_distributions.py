"""The leading exponents of solved and failed puzzles."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rrm.figures.style import FAILED, GREY, SMALL, SOLVED, Keywords, Look, minus, panel_grid, paper_style
from rrm.statistics.outcomes import MIN_CLASS, OutcomePanel, class_shortage, separation

# Share of a panel's height kept free of data, for its four lines of text.
_HEADROOM = 0.42

# Exponents closer together than this (nats per call) are drawn at this width: the rest would be rounding noise.
_MIN_SPAN = 1e-3


def lambda_distributions(panels: Sequence[OutcomePanel]) -> Figure:
    """Distribution of lambda_1 over solved and over failed puzzles, one panel a trained model.

    Histograms are in per cent of the class, on bins common to both classes; triangles and lines mark the medians. Each
    panel states the AUCs of lambda_1 and of late drift for "failed" with 95 % intervals over puzzles. A class
    with fewer than 5 puzzles is drawn as single ticks, and words take the place of the AUCs.

    Args:
        panels: at least one; exponents in nats per call.
    """
    with paper_style():
        figure, axes = panel_grid([panel.label for panel in panels], columns=2, height=2.6)
        for ax, panel in zip(axes, panels, strict=True):
            _draw(ax, panel)
        figure.draw_without_rendering()
    return figure


def _draw(ax: Axes, panel: OutcomePanel) -> None:
    edges = _bin_edges(panel.lambda_1)
    classes = [(SOLVED, panel.lambda_1[panel.solved]), (FAILED, panel.lambda_1[panel.failed])]
    heights = {look.name: 100 * np.histogram(values, edges)[0] / max(values.size, 1) for look, values in classes}
    tall = [heights[look.name].max() for look, values in classes if values.size >= MIN_CLASS]
    top = 1.08 * max(tall, default=100.0)
    ax.set(
        xlim=(edges[0], edges[-1]),
        ylim=(0, top / (1 - _HEADROOM)),
        xlabel=r"leading exponent $\lambda_1$ (nats per call)",
    )
    ax.set_ylabel("puzzles (% of class)", y=(1 - _HEADROOM) / 2)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    if edges[0] < 0 < edges[-1]:
        ax.plot([0, 0], [0, top], color=GREY, linewidth=0.7, linestyle=":", zorder=0)
    for look, values in classes:
        _draw_class(ax, look, values, edges, heights[look.name], top)
    ax.set_yticks([tick for tick in ax.get_yticks() if 0 <= tick <= top])
    ax.spines.left.set_bounds(0, top)
    ax.legend(loc="upper left", bbox_to_anchor=(0, 1), borderaxespad=0, borderpad=0, labelspacing=0.3)
    below_legend: Keywords = {"xytext": (0, -25), "textcoords": "offset points", "va": "top", "fontsize": SMALL}
    ax.annotate(_auc_text(panel), xy=(0, 1), xycoords="axes fraction", **below_legend)


def _draw_class(ax: Axes, look: Look, values: np.ndarray, edges: np.ndarray, heights: np.ndarray, top: float) -> None:
    median = minus(f"{np.median(values):+.3f}") if values.size else ""
    label = f"{values.size} {look.name}" + (f", median {median}" if median else "")
    if values.size >= MIN_CLASS:
        ax.stairs(heights, edges, fill=True, color=look.colour, alpha=0.18, linewidth=0)
        ax.stairs(heights, edges, color=look.colour, linestyle=look.line, linewidth=1.2, label=label)
        ax.plot(2 * [np.median(values)], [0, top], color=look.colour, linestyle=look.line, linewidth=0.9)
        ax.plot(np.median(values), top, marker="v", color=look.colour, clip_on=False)
    else:
        marker = "|" if values.size else ""
        ax.plot(values, 0 * values, color=look.colour, linestyle="", marker=marker, markersize=8, label=label)


def _bin_edges(values: np.ndarray) -> np.ndarray:
    """Edges common to both classes, about sqrt(N) bins, with one to spare on either side."""
    low, high = (values.min(), values.max()) if values.size else (0.0, 0.0)
    n_bins = int(np.clip(np.sqrt(values.size), 8, 32))
    width = max(high - low, _MIN_SPAN) / (n_bins - 1)
    return (low + high) / 2 + width * (np.arange(n_bins + 3) - (n_bins + 2) / 2)


def _auc_text(panel: OutcomePanel) -> str:
    found = separation(panel)
    if found is None:
        return f"{class_shortage(panel)}: too few for an AUC"
    return f"AUC($\\lambda_1$) = {found.lambda_1:.2f}\nAUC(late drift) = {found.late_drift:.2f}"

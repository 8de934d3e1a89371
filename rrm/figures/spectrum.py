"""The leading spectrum of solved and failed puzzles."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rrm.figures.style import FAILED, GREY, SMALL, SOLVED, Keywords, panel_grid, paper_style
from rrm.statistics.outcomes import MIN_CLASS, OutcomePanel


def leading_spectrum(panels: Sequence[OutcomePanel]) -> Figure:
    """Exponent against its index: median over puzzles and 25 to 75 % band, one panel a trained model, one y axis.

    A class with fewer than 5 puzzles is drawn as one thin line a puzzle, without a median or a band.

    Args:
        panels: at least one; exponents in nats per call.
    """
    with paper_style():
        figure, axes = panel_grid([panel.label for panel in panels], columns=3, height=2.3, sharey=True)
        axes[0].set_ylabel(r"exponent $\lambda_i$ (nats per call)")
        for ax, panel in zip(axes, panels, strict=True):
            _draw(ax, panel)
        for ax, panel in zip(axes, panels, strict=True):
            _name_lines(ax, panel)
        figure.draw_without_rendering()
    return figure


def _draw(ax: Axes, panel: OutcomePanel) -> None:
    k = panel.lambda_spectrum.shape[1]
    index = np.arange(1, k + 1)
    ax.axhline(0, color=GREY, linewidth=0.7, linestyle=":", zorder=0)
    for look, members in ((SOLVED, panel.solved), (FAILED, panel.failed)):
        spectra = panel.lambda_spectrum[members]
        if len(spectra) >= MIN_CLASS:
            low, median, high = np.quantile(spectra, [0.25, 0.5, 0.75], axis=0)
            # The edge keeps a band of a single exponent visible.
            band: Keywords = {"facecolor": (look.colour, 0.2), "edgecolor": (look.colour, 0.5), "linewidth": 0.6}
            ax.fill_between(index, low, high, **band)
            ax.plot(index, median, color=look.colour, linestyle=look.line, marker=look.marker)
        elif len(spectra):
            thin: Keywords = {"linewidth": 0.6, "markersize": 2.5}
            ax.plot(index, spectra.T, color=look.colour, linestyle=look.line, marker=look.marker, **thin)
    ax.set(xlabel="index $i$", xlim=(0.6, k + 0.4), xticks=index[:: -(-k // 8)])


def _name_lines(ax: Axes, panel: OutcomePanel) -> None:
    """Size and name of each class beside the right end of its line, pushed apart where the lines meet."""
    k = panel.lambda_spectrum.shape[1]
    bottom, top = ax.get_ylim()
    gap = 0.2 * (top - bottom)  # two lines of small print
    ends = [
        (np.median(panel.lambda_spectrum[members, -1]) if members.any() else -np.inf, np.count_nonzero(members), look)
        for look, members in ((SOLVED, panel.solved), (FAILED, panel.failed))
    ]
    (upper, *_), (lower, *_) = ends = sorted(ends, key=lambda end: end[0], reverse=True)
    if upper - lower < gap or not np.isfinite(lower):
        # An absent class has no line to stand beside; its name goes below the other one.
        centre = (upper + lower) / 2 if np.isfinite(lower) else upper - gap / 2
        centre = np.clip(centre, bottom + gap, top - gap)
        upper, lower = centre + gap / 2, centre - gap / 2
    for y, (_, n, look) in zip((upper, lower), ends, strict=True):
        name = f"{n or 'none'}\n{look.name}"
        ax.annotate(
            name, (k + 0.4, y), (2, 0), textcoords="offset points", color=look.colour, fontsize=SMALL, va="center"
        )

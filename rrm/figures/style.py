"""The style that all figures share, the grid of panels, the legend below them, and the file."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator
from matplotlib.typing import LineStyleType
from numpy.typing import ArrayLike

from rrm.statistics.interval import Interval

# Widths of one and of two columns, in inches.
COLUMN, FULL = 3.4, 7.0

# Type sizes in points: labels, and the smaller print inside a panel.
LABEL, SMALL = 9, 8

GREY = "0.45"

# The muted scheme of Paul Tol, safe for the colour-blind; none of its colours stands for an outcome or a score.
COLOURS = ("#332288", "#cc6677", "#117733", "#88ccee", "#999933", "#aa4499")
DASHES: tuple[LineStyleType, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (5, 1, 1.5, 1)))


def colours_of(count: int) -> Sequence[str]:
    """A colour for each of `count` things: those of `COLOURS`, or of viridis where there are not as many."""
    if count <= len(COLOURS):
        return COLOURS[:count]
    return [to_hex(colour) for colour in matplotlib.colormaps["viridis"](np.linspace(0, 0.92, count))]


# Keyword arguments of an artist, such as {"color": "black", "linewidth": 0.8}.
Keywords = dict[str, Any]

# Artists of a legend by their names; the artists of a tuple lie upon each other.
Entries = Mapping[str, Artist | tuple[Artist, ...]]


@dataclass(frozen=True)
class Look:
    """The look of one outcome class or one score; looks differ in lightness, dash and marker as well as in hue."""

    name: str
    colour: str
    line: LineStyleType
    marker: str


SOLVED = Look("solved", "#0b3c6f", "-", "o")
FAILED = Look("failed", "#e0701a", (0, (4, 1.5)), "s")

# Purple stands for an exponent, grey for a null model.
LAMBDA = Look(r"$\lambda_1$", "#6a1b9a", "-", "D")
DRIFT = Look("drift", "#00897b", (0, (4, 1.5)), "^")
NULL = Look("null model", GREY, (0, (1, 1.2)), "o")


def paper_style() -> AbstractContextManager:
    """The settings of all figures as a context; nothing global changes."""
    return matplotlib.rc_context(
        {
            # Ships with matplotlib, so that a figure is the same on every machine.
            "font.family": "DejaVu Sans",
            "font.size": LABEL,
            "axes.labelsize": LABEL,
            "axes.titlesize": LABEL,
            "axes.titlelocation": "left",
            "xtick.labelsize": SMALL,
            "ytick.labelsize": SMALL,
            "legend.fontsize": SMALL,
            "legend.frameon": False,
            "legend.handlelength": 1.8,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.linewidth": 0.7,
            "xtick.major.width": 0.7,
            "ytick.major.width": 0.7,
            "lines.linewidth": 1.3,
            "lines.markersize": 4,
            "figure.constrained_layout.use": True,
            "figure.constrained_layout.w_pad": 0.06,
        }
    )


def panel_grid(
    labels: list[str], columns: int, height: float, *, sharex: bool = False, sharey: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure with one titled and lettered panel a label; one column wide for one panel, two columns for more.

    Args:
        labels: title of each panel, at least one.
        columns: most panels in a row.
        height: of one row, in inches.
        sharex, sharey: as in `Figure.subplots`.
    """
    if not labels:
        raise ValueError("a figure needs at least one panel")
    rows = -(-len(labels) // columns)
    columns = -(-len(labels) // rows)  # as few as fill the rows: four panels make a square
    figure = Figure(figsize=(COLUMN if columns == 1 else FULL, height * rows))
    axes: list[Axes] = figure.subplots(rows, columns, sharex=sharex, sharey=sharey, squeeze=False).ravel().tolist()
    for unused in axes[len(labels) :]:
        unused.remove()
    axes = axes[: len(labels)]
    for index, (ax, label) in enumerate(zip(axes, labels, strict=True)):
        letter = f"$\\bf{{{chr(ord('a') + index)}}}$  " if len(labels) > 1 else ""
        ax.set_title(letter + label)
        # A shared axis hides its tick labels above the last row, also where no panel stands below.
        ax.tick_params(labelbottom=True)
    return figure, axes


def headline(figure: Figure, text: str) -> None:
    """`text` above all panels, from the left; the figure grows by the lines that it needs beyond the first."""
    # About 0.074 inches a character, and 0.15 a line.
    lines = fill(pretty(text), int(figure.get_figwidth() * 13.5))
    figure.set_figheight(figure.get_figheight() + 0.15 * lines.count("\n"))
    figure.suptitle(lines, x=0.01, horizontalalignment="left", fontsize=LABEL)


def interval_line(
    ax: Axes, x: ArrayLike, intervals: Sequence[Interval], look: Look, *, scale: float = 1.0, label: str = ""
) -> None:
    """The estimates as a line with markers and the intervals as a band, both times `scale`; nan leaves a gap."""
    ends = np.array([(interval.estimate, interval.low, interval.high) for interval in intervals]) * scale
    estimate, low, high = ends.T
    ax.fill_between(
        x, low, high, facecolor=(look.colour, 0.18), edgecolor=(look.colour, 0.45), linewidth=0.5, zorder=1.5
    )
    # A point without neighbours has no band.
    known = np.isfinite(np.r_[np.nan, estimate, np.nan])
    alone = known[1:-1] & ~known[:-2] & ~known[2:]
    ax.vlines(np.asarray(x)[alone], low[alone], high[alone], color=look.colour, linewidth=1)
    ax.plot(x, estimate, color=look.colour, linestyle=look.line, marker=look.marker, label=label)


def legend_below(figure: Figure, entries: Entries, columns: int = 1, columnspacing: float | None = None) -> None:
    """The legend of the whole figure, below its panels."""
    # Any: the stub of `legend` does not know that a tuple of artists is an entry, too.
    handles: list[Any] = list(entries.values())
    figure.legend(handles, list(entries), loc="outside lower center", ncols=columns, columnspacing=columnspacing)


def log_ticks(ax: Axes) -> None:
    """Few and plain numbers on a logarithmic x axis, also where it spans less than a decade; limits come first."""
    low, high = ax.get_xlim()
    decades = np.log10(high / low)
    if decades > 2.5:
        ax.xaxis.set_major_locator(LogLocator(numticks=5))
    else:
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if decades > 0.8 else MaxNLocator(4, steps=[1, 2, 5, 10]))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.10g}"))
    if decades > 0.8:
        ax.xaxis.set_minor_formatter(NullFormatter())
    else:
        ax.xaxis.set_minor_locator(NullLocator())


def pretty(text: str) -> str:
    """`text` with the names of exponents as symbols."""
    return text.replace("lambda_1", r"$\lambda_1$")


def minus(text: str) -> str:
    """`text` with typographic minus signs, as on the axes."""
    return text.replace("-", "\N{MINUS SIGN}")


def save(figure: Figure, path: str | Path) -> None:
    """Write `figure` as a PNG, 200 dots per inch, cropped to its content."""
    with paper_style():
        figure.savefig(path, format="png", dpi=200, bbox_inches="tight")

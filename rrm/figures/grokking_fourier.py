"""Fourier structure of one network: spectra, the plane of frequencies, and what the key frequencies carry."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from rrm.figures.style import COLOURS, GREY, SMALL, headline, legend_below, panel_grid, paper_style
from rrm.statistics.fourier import Fourier

_KEY, _OTHER = COLOURS[0], "0.7"
_PARTS = {"all": "0.6", "train": COLOURS[1], "test": COLOURS[2]}
# Of the plane, the smallest share of power that is told from none.
_LEAST = 1e-6
_CHANCE = (0, (4, 1.5))
_SIGNS = {"add": "+", "subtract": "\N{MINUS SIGN}", "multiply": "\N{MULTIPLICATION SIGN}", "divide": "/"}


def fourier_figure(label: str, found: Fourier) -> Figure:
    """Power of embedding and logits by frequency, the plane of the logits' frequencies, and the ablations.

    Key frequencies are dark. On the plane, circles are the characters of the operation at the key frequencies. Panel d
    is the loss of the full logits, of those restricted to the key frequencies, and of those without them.

    Args:
        label: name of the network.
        found: from `rrm.statistics.fourier.fourier`.
    """
    titles = ["embedding, share of power", "logits, variance explained", "logits, share of power", "loss (nats)"]
    with paper_style():
        figure, (embedding, logits, plane, ablations) = panel_grid(titles, columns=2, height=2.4)
        keys = ", ".join(map(str, found.keys))
        headline(
            figure,
            f"{label}: a {_SIGNS[found.operation]} b explains {100 * found.fve:.1f} % of the variance of the logits, "
            f"the inverse operation {100 * found.inverse:.1f} %; key frequencies {keys}",
        )
        if found.embedding_power is None:
            embedding.text(0.5, 0.5, "no embedding", transform=embedding.transAxes, ha="center", fontsize=SMALL)
        else:
            embedding.set_title(f"{embedding.get_title(loc='left')}, Gini {found.gini:.2f}")
            _bars(embedding, found.frequency, found.embedding_power, found.embedding_keys, found.threshold)
        _bars(logits, found.frequency, found.explained, found.keys, found.threshold)
        _draw_plane(plane, found)
        _draw_ablations(ablations, found)
        entries = {
            "key frequency": Line2D([], [], color=_KEY, linewidth=4),
            f"threshold, {found.threshold:g} of the largest": Line2D([], [], color=GREY, linestyle=(0, (1, 1))),
            "characters of the operation": Line2D(
                [], [], marker="o", color="red", linestyle="", markerfacecolor="none"
            ),
            "loss of a guess": Line2D([], [], color="black", linewidth=0.8, linestyle=_CHANCE),
            **{
                f"{part} pairs": Patch(color=colour)
                for part, colour in _PARTS.items()
                if ("full", part) in found.ablations
            },
        }
        figure.set_figheight(figure.get_figheight() + 0.17 * (len(entries) // 3))
        legend_below(figure, entries, columns=3)
        figure.draw_without_rendering()
    return figure


def _bars(ax: Axes, frequency: np.ndarray, share: np.ndarray, keys: np.ndarray, threshold: float) -> None:
    ax.bar(frequency, share, width=0.85, color=[_KEY if k in keys else _OTHER for k in frequency])
    ax.axhline(threshold * share.max(), color=GREY, linewidth=0.8, linestyle=(0, (1, 1)))
    ax.set(xlabel="frequency $k$", xlim=(0, frequency[-1] + 1))
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _draw_plane(ax: Axes, found: Fourier) -> None:
    n = len(found.logit_power)
    # Frequency 0 stands in the middle.
    half = n // 2
    shown = np.roll(found.logit_power, (half, half), (0, 1)).clip(_LEAST)
    extent = (-half - 0.5, n - half - 0.5, -half - 0.5, n - half - 0.5)
    image = ax.imshow(shown, origin="lower", extent=extent, norm=LogNorm(_LEAST, 1), cmap="Greys", aspect="equal")
    sign = 1 if found.operation in ("add", "multiply") else -1
    for k in found.keys.tolist():
        ax.plot(
            [sign * k, -sign * k], [k, -k], "o", color="red", markersize=5, markerfacecolor="none", markeredgewidth=0.7
        )
    ax.set(xlabel="frequency in $b$", ylabel="frequency in $a$")
    assert ax.figure is not None
    ax.figure.colorbar(image, ax=ax, shrink=0.85)


def _draw_ablations(ax: Axes, found: Fourier) -> None:
    variants, parts = ("full", "restricted", "excluded"), [p for p in _PARTS if ("full", p) in found.ablations]
    width = 0.8 / len(parts)
    for place, part in enumerate(parts):
        losses = [max(found.ablations[variant, part].loss, 1e-9) for variant in variants]
        at = np.arange(len(variants)) + (place - (len(parts) - 1) / 2) * width
        ax.bar(at, losses, width, color=_PARTS[part], bottom=1e-9)
    ax.set_yscale("log")
    smallest = min(a.loss for a in found.ablations.values())
    ax.set_ylim(max(1e-9, min(smallest, 1) / 3), None)
    ax.set_xticks(range(len(variants)), variants)
    ax.axhline(np.log(len(found.logit_power)), color="black", linewidth=0.8, linestyle=_CHANCE)

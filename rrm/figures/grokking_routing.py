"""Which heads routers choose for the pairs of an operation: at one step of a training, and along it."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from rrm.figures.style import COLOURS, FULL, SMALL, headline, legend_below, paper_style
from rrm.statistics.routing import Routing

# Inches: a row of panels, and everything above and below the rows.
_ROW, _FRAME = 1.2, 0.9


def routing_figure(label: str, found: Routing) -> Figure:
    """The weight of every head for each pair, and by the answer of the pair; a row for each router.

    Args:
        label: name of the network.
        found: with one router at least.
    """
    heads = max(weights.shape[-1] for weights in found.weights.values())
    with paper_style():
        figure, axes = _panels(len(found.weights), heads + 1, [1.0] * heads + [1.6])
        headline(figure, f"{label}: weights of heads at step {found.step}")
        for place, (name, weights) in enumerate(found.weights.items()):
            row, lowest = axes[place], place + 1 == len(axes)
            shown = np.where(found.answers[..., None] >= 0, weights, np.nan)
            for head, ax in enumerate(row[:heads]):
                if head >= weights.shape[-1]:
                    ax.remove()
                    continue
                image = ax.imshow(shown[..., head], origin="lower", vmin=0, vmax=1, cmap="Greys")
                ax.set_title(f"head {head}, {100 * found.use(name)[head]:.0f} %", fontsize=SMALL)
                _name_pairs(ax, name if not head else "", lowest)
            by_answer = row[-1]
            by_answer.imshow(found.by_answer(name).T, aspect="auto", vmin=0, vmax=1, cmap="Greys")
            by_answer.set_title("" if place else "by answer", fontsize=SMALL)
            by_answer.set_yticks(range(weights.shape[-1]))
            by_answer.xaxis.set_major_locator(_whole())
            by_answer.set_ylabel("head")
            by_answer.set_xlabel("answer" if lowest else "")
        figure.colorbar(image, ax=figure.axes, shrink=0.6, label="weight", aspect=30)
        figure.draw_without_rendering()
    return figure


def routing_evolution(label: str, steps: Sequence[Routing]) -> Figure:
    """The head with the largest weight for each pair, at some steps of a training; a row for each router.

    A pair without an answer, or whose heads have equal weights, is white.

    Args:
        label: name of the network.
        steps: at least one, with the same routers.
    """
    heads = max(weights.shape[-1] for weights in steps[0].weights.values())
    colours = [COLOURS[head % len(COLOURS)] for head in range(heads)]
    with paper_style():
        figure, axes = _panels(len(steps[0].weights), len(steps), [1.0] * len(steps))
        headline(figure, f"{label}: the head of most weight by pair")
        for place, name in enumerate(steps[0].weights):
            for column, (ax, found) in enumerate(zip(axes[place], steps, strict=True)):
                chosen = np.ma.masked_less(found.chosen(name), 0)
                ax.imshow(chosen, origin="lower", vmin=-0.5, vmax=heads - 0.5, cmap=ListedColormap(colours))
                if not place:
                    ax.set_title(f"step {found.step}", fontsize=SMALL)
                _name_pairs(ax, name if not column else "", place + 1 == len(axes))
        entries = {f"head {head}": Patch(color=colour) for head, colour in enumerate(colours)}
        legend_below(figure, entries, columns=heads)
        figure.draw_without_rendering()
    return figure


def _panels(rows: int, columns: int, widths: list[float]) -> tuple[Figure, np.ndarray]:
    """A figure of two columns of a page, and its panels [rows, columns]."""
    figure = Figure(figsize=(FULL, _ROW * rows + _FRAME))
    return figure, figure.subplots(rows, columns, squeeze=False, width_ratios=widths)


def _name_pairs(ax: Axes, router: str, lowest: bool) -> None:
    """Names of the axes of a panel of pairs; those of the first column name the router, too."""
    ax.set_ylabel(f"{router.replace('_', ' ')}\n$a$" if router else "")
    ax.set_xlabel("$b$" if lowest else "")
    ax.tick_params(labelleft=bool(router), labelbottom=lowest)
    ax.xaxis.set_major_locator(_whole())
    ax.yaxis.set_major_locator(_whole())


def _whole() -> MaxNLocator:
    """Few ticks, at whole numbers."""
    return MaxNLocator(3, integer=True)

"""Rows of counts under an axis, such as the puzzles still at risk."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.transforms import Affine2D, ScaledTranslation

from rrm.figures.style import GREY, SMALL, Look

# Points from the axis to the heading, past tick labels and the name of the axis, and from line to line.
_FIRST, _LINE = 35, 11.5

# Points left of the axis between which the sample of a line is drawn.
_SAMPLE = (-40, -22)


def numbers_below(
    ax: Axes, heading: str, at: Sequence[float], rows: Sequence[tuple[Look | None, Sequence[int | str]]]
) -> None:
    """`heading` and rows of counts below the name of the x axis, each count under its position.

    Args:
        ax: with a name of one line under its x axis.
        heading: name of the counts.
        at: positions in data units, best the positions of the ticks.
        rows: the look of a row's line, drawn in front of the row, and one count a position, "" for none.
    """
    # The stub asks for an affine transform; any transform of the origin will do.
    origin = ScaledTranslation(0, 0, ax.transAxes)  # type: ignore[arg-type]
    points = Affine2D().scale(1 / 72) + ax.figure.dpi_scale_trans + origin
    ax.text(0, -_FIRST, heading, transform=points, va="top", fontsize=SMALL, color=GREY)
    for place, (look, counts) in enumerate(rows, start=1):
        y = -_FIRST - _LINE * place
        for x, count in zip(at, counts, strict=True):
            ax.annotate(
                str(count), (x, 0), (0, y), xycoords=ax.get_xaxis_transform(), textcoords="offset points", va="top",
                ha="center", fontsize=SMALL, annotation_clip=False,
            )  # fmt: skip
        if look:
            middle = 2 * [y - SMALL / 2]
            sample = Line2D(_SAMPLE, middle, color=look.colour, linestyle=look.line, transform=points, clip_on=False)
            ax.add_artist(sample)

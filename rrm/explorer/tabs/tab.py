"""What a tab of the explorer is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from plotly.graph_objects import Figure

from rrm.explorer.selection import Selection
from rrm.explorer.view import View


def _none(selection: Selection) -> list[str]:
    return []


@dataclass(frozen=True)
class Tab:
    """A tab: from runs to figures.

    Attributes:
        name: in the address.
        title: on the page.
        command: what makes such data, for runs that have none.
        figures: of a selection and a view; none where no run has such data.
        layers: what the layer picker offers.
    """

    name: str
    title: str
    command: str
    figures: Callable[[Selection, View], Sequence[Figure]]
    layers: Callable[[Selection], list[str]] = _none

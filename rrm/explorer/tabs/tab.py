"""What a tab of the explorer is."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from plotly.graph_objects import Figure

from rrm.explorer.selection import Selection
from rrm.explorer.view import View


def _none(selection: Selection) -> list[str]:
    return []


@dataclass(frozen=True)
class Picker:
    """The list of what a tab lets choose.

    Attributes:
        title: of the list.
        options: of a selection; what is chosen of them is `View.picks`.
        otherwise: what is drawn where nothing is chosen.
    """

    title: str
    options: Callable[[Selection], Sequence[str]]
    otherwise: str


def picked(view: View, known: Iterable[str]) -> list[str]:
    """What was chosen, as far as there is such a thing: a link may be of other runs."""
    known = set(known)
    return [name for name in view.picks if name in known]


@dataclass(frozen=True)
class Tab:
    """A tab: from runs to figures.

    Attributes:
        name: in the address.
        title: on the page.
        command: what makes such data, for runs that have none.
        figures: of a selection and a view; none where no run has such data.
        layers: what the layer picker offers.
        picker: the list of the tab; None without one.
        threshold: whether the tab has key frequencies.
        series: of which some run has to have one; none where only the figures can tell.
    """

    name: str
    title: str
    command: str
    figures: Callable[[Selection, View], Sequence[Figure]]
    layers: Callable[[Selection], list[str]] = _none
    picker: Picker | None = None
    threshold: bool = False
    series: tuple[str, ...] = ()

    def has(self, selection: Selection) -> bool:
        """Whether there is something to draw."""
        return selection.has(self.series) if self.series else bool(self.figures(selection, View(self.name)))

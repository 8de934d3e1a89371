"""Which tabs have nothing to draw, so that the page can say so before they are opened."""

import time

from rrm.errors import InputError
from rrm.explorer.selection import Selection
from rrm.explorer.source import Source
from rrm.explorer.tabs import TABS
from rrm.explorer.tabs.tab import Tab
from rrm.explorer.view import View

PAUSE_S = 30.0  # between two looks at the same runs, of which some may run


class Marks:
    """Looks into all tabs of the runs that are drawn; a tab that had data once is not asked again."""

    def __init__(self, source: Source):
        self._source = source
        self._runs: list[str] = []
        self._looked = 0.0
        self._found: set[str] = set()

    def empty(self, view: View) -> list[str]:
        """Names of the tabs without data for the runs of a view, hidden ones included."""
        with self._source.lock:
            selection = self._source.select(view.but(hidden=()))
            runs = [run.id for run in selection.runs]
            if runs != self._runs:
                self._runs, self._looked, self._found = runs, 0.0, set()
        if time.monotonic() - self._looked > PAUSE_S:
            for name, tab in TABS.items():
                # Plots that are asked for meanwhile wait for one tab at most.
                with self._source.lock:
                    if name not in self._found and _has(tab, selection):
                        self._found.add(name)
            self._looked = time.monotonic()
        return [name for name in TABS if name not in self._found]


def _has(tab: Tab, selection: Selection) -> bool:
    try:
        return tab.has(selection)
    except InputError:  # which the tab itself will say
        return True

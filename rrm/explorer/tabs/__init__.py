"""The tabs of the explorer: one file each, and one line here."""

from collections.abc import Mapping

from rrm.explorer.tabs import (
    arms,
    boards,
    claims,
    fourier,
    grokking,
    heads,
    history,
    numbers,
    routing,
    selectors,
    settling,
    stability,
    training,
    weights,
)
from rrm.explorer.tabs.tab import Tab

TABS: Mapping[str, Tab] = {
    tab.name: tab
    for tab in (
        training.TAB,
        grokking.TAB,
        history.CURVATURE,
        history.OPTIMIZER,
        weights.TAB,
        history.LAYERS,
        history.STRUCTURE,
        fourier.TAB,
        routing.TAB,
        history.ACTION,
        history.STABILITY,
        history.ROUNDS,
        stability.EXPONENTS,
        settling.TAB,
        selectors.TAB,
        boards.TAB,
        heads.TAB,
        arms.TAB,
        claims.TAB,
        numbers.TAB,
    )
}

"""The tabs of the explorer: one file each, and one line here."""

from collections.abc import Mapping

from rrm.explorer.tabs import arms, boards, claims, history, numbers, settling, stability, training
from rrm.explorer.tabs.tab import Tab

TABS: Mapping[str, Tab] = {
    tab.name: tab
    for tab in (
        training.TAB,
        history.CURVATURE,
        history.OPTIMIZER,
        history.WEIGHTS,
        history.LAYERS,
        history.STRUCTURE,
        history.ROUTING,
        history.ACTION,
        stability.EXPONENTS,
        settling.TAB,
        boards.TAB,
        arms.TAB,
        claims.TAB,
        numbers.TAB,
    )
}

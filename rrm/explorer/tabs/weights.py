"""Weights: norms of all, of layers, and of every matrix: embeddings, Q, K, V, O and feed-forward of each block."""

from collections.abc import Sequence

from plotly.graph_objects import Figure

from rrm.explorer.selection import Selection
from rrm.explorer.tabs.panels import panel_tab
from rrm.explorer.tabs.tab import Tab
from rrm.explorer.view import View
from rrm.panels import HISTORIES, LAYERS, Panel

HEAD = f"{LAYERS}/weight_norm/"  # of the norm of a matrix
COMMAND = "python tune_specs/grokking_sweep.py --probes all"


def figures(selection: Selection, view: View) -> Sequence[Figure]:
    """The panels, then a panel of the matrices of each part of a block."""
    shown = [panel for part, panel in matrices(selection).items() if not view.layers or part in view.layers]
    return panel_tab("weights", "Weights", [*HISTORIES["weights"], *shown], COMMAND).figures(selection, view)


def layers(selection: Selection) -> list[str]:
    """Layers of the panels, and parts of blocks."""
    of_panels = panel_tab("weights", "Weights", HISTORIES["weights"], COMMAND).layers(selection)
    return list(dict.fromkeys([*matrices(selection), *of_panels]))


def matrices(selection: Selection) -> dict[str, Panel]:
    """A panel by part of a block: of "layer 0, attention" its Q, K, V and O."""
    names = [name.removeprefix(HEAD) for name in selection.names if name.startswith(HEAD)]
    if not names:
        return {}
    # The package around it imports scipy, which takes a second.
    from rrm.statistics.layer_names import layer_groups

    groups = layer_groups(name for name in names if not name.endswith("bias"))
    return {
        part: Panel(f"norm of {part}", {label: HEAD + name for label, name in members.items()})
        for part, members in groups.items()
    }


TAB = Tab("weights", "Weights", COMMAND, figures, layers)

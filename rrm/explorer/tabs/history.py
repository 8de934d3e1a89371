"""The tabs of the panels that the figures of a report have, too."""

from rrm.explorer.tabs.panels import panel_tab
from rrm.panels import HISTORIES

_PROBES = "python tune_specs/grokking_sweep.py --probes all"
CURVATURE = panel_tab("curvature", "Curvature", HISTORIES["curvature"], _PROBES)
OPTIMIZER = panel_tab("optimizer", "Optimizer", HISTORIES["optimizer"], _PROBES)
LAYERS = panel_tab("layers", "Layers", HISTORIES["layers"], _PROBES)
STRUCTURE = panel_tab("structure", "Structure", HISTORIES["structure"], _PROBES)
STABILITY = panel_tab(
    "training_stability", "Training stability", HISTORIES["stability"],
    "python analysis/training_stability.py --storage runs",
)  # fmt: skip
ACTION = panel_tab("action", "Action", HISTORIES["action"], _PROBES)
ROUNDS = panel_tab("rounds", "Dream rounds", HISTORIES["rounds"], "python tune_specs/dream_sweep.py")

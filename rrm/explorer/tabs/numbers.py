"""Numbers: whatever was recorded, by its name, so that nothing that is logged stays unseen."""

import math
from collections.abc import Sequence

from plotly.graph_objects import Figure

from rrm.explorer.selection import Selection
from rrm.explorer.series import needed
from rrm.explorer.tabs.forest import forest, is_end, with_interval
from rrm.explorer.tabs.panels import panel_figure
from rrm.explorer.tabs.tab import Picker, Tab, picked
from rrm.explorer.tabs.training import PANELS
from rrm.explorer.view import View
from rrm.panels import HISTORIES, Panel
from rrm.tracking.reader import Run, fits

MOST = 12  # panels where nothing was chosen
_ELSEWHERE = [
    pattern for panels in (PANELS, *HISTORIES.values()) for panel in panels for pattern in panel.series.values()
]


def figures(selection: Selection, view: View) -> list[Figure]:
    """A figure of every chosen name: the series of trainings, and the values of sweeps and studies with intervals."""
    known = names(selection)
    shown = picked(view, known) or [name for name in known if not fits(name, _ELSEWHERE)][:MOST]
    curves = selection.curves((*shown, *needed(view.x)))
    drawn = []
    for name in shown:
        of_runs = panel_figure(Panel(name, {"": name}), selection, curves, view)
        having = [run for run in selection.jobs if math.isfinite(run.metrics.get(name, math.nan))]
        drawn += [of_runs] * (of_runs is not None) + [_of_jobs(name, having, view)] * bool(having)
    return drawn


def names(selection: Selection) -> list[str]:
    """Names of all series of the trainings, then of the values of sweeps and studies; ends of intervals left out."""
    found = sorted(selection.names) + sorted({name for run in selection.jobs for name in run.metrics})
    known = set(found)
    return [name for name in dict.fromkeys(found) if not is_end(name, known)]


def _of_jobs(name: str, runs: Sequence[Run], view: View) -> Figure:
    rows = [with_interval(run.metrics, name, f"{run.name} ({run.id[:4]})") for run in runs]
    return forest(f"{name}, of sweeps and studies", rows, "value, with its interval where there is one", view)


TAB = Tab(
    "numbers", "Numbers", "python tune_specs/perturb_sweep.py --preset smoke", figures,
    picker=Picker("Names", names, f"the first {MOST} that no other tab draws"),
)  # fmt: skip

"""Routing and gates: their series, and which heads routers choose for the pairs of an operation along a training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from plotly.graph_objects import Figure

from rrm.explorer.palette import DASHES, colours_of
from rrm.explorer.selection import Selection
from rrm.explorer.tabs.fourier import KIND
from rrm.explorer.tabs.panels import panel_tab
from rrm.explorer.tabs.studies import stored
from rrm.explorer.tabs.style import plain_figure
from rrm.explorer.tabs.tab import Picker, Tab, picked
from rrm.explorer.view import View
from rrm.panels import HISTORIES

if TYPE_CHECKING:
    from rrm.statistics.routing import Routing, RoutingTrace

FILE = "routing.npz"
MOST_STEPS = 4  # of a training that are drawn side by side
_PANELS = panel_tab("routing", "Routing and gates", HISTORIES["computation"], "")
NONE = "rgba(128, 128, 128, 0.15)"
_GAP = 0.06  # between two maps of a figure, as a share of its width


def figures(selection: Selection, view: View) -> list[Figure]:
    """The series, then of each chosen training and each router of the layers its maps, and the use of its heads."""
    known = traces(selection)
    chosen = picked(view, known) or list(known)[:1]
    drawn = [figure for name in chosen for figure in _training(known[name], view)]
    # A router stands for its heads.
    of_routers = [name for name in _PANELS.layers(selection) if name.split("/")[0] in view.layers]
    return [*_PANELS.figures(selection, view.but(layers=(*view.layers, *of_routers))), *drawn]


def traces(selection: Selection) -> dict[str, RoutingTrace]:
    """The routing of trainings by their label, of the newest study of each."""
    files = [path for run in selection.jobs if run.kind == KIND and (path := selection.file(run, FILE))]
    if not files:
        return {}
    from rrm.statistics.routing import load_routing

    found: dict[str, RoutingTrace] = {}
    for trace in stored(selection, files, load_routing):
        found.setdefault(trace.label, trace)
    return found


def layers(selection: Selection) -> list[str]:
    """Routers, then what the panels have."""
    routers = dict.fromkeys(name for trace in traces(selection).values() for name in trace.steps[0].weights)
    return [*routers, *(name for name in _PANELS.layers(selection) if name not in routers)]


def _training(trace: RoutingTrace, view: View) -> Iterator[Figure]:
    routers = list(trace.steps[0].weights)
    # A layer of the panels, "layer_0_mlp/head_1", stands for its router, too.
    shown = [name for name in routers if any(layer.split("/")[0] == name for layer in view.layers)] or routers
    places = np.linspace(0, len(trace.steps) - 1, min(MOST_STEPS, len(trace.steps))).round().astype(int)
    for router in shown:
        yield _evolution(trace, router, [trace.steps[place] for place in places], view)
        yield _weights(trace, router)
        yield _by_answer(trace, router)
        yield _use(trace, router, view)


def _evolution(trace: RoutingTrace, router: str, steps: list[Routing], view: View) -> Figure:
    heads = steps[0].weights[router].shape[-1]
    colours = colours_of(heads, view.dark)
    # A scale of as many bands as heads, and one for none: a pair without an answer, or heads of equal weight.
    bands = [NONE, *colours]
    scale = [[(place + end) / len(bands), colour] for place, colour in enumerate(bands) for end in (0, 1)]
    maps = {f"step {found.step}": found.chosen(router) for found in steps}
    bar = {"title": {"text": "head", "side": "right"}, "tickvals": list(range(-1, heads)), "thickness": 10,
           "ticktext": ["none", *map(str, range(heads))]}  # fmt: skip
    look = {"colorscale": scale, "zmin": -1.5, "zmax": heads - 0.5, "colorbar": bar,
            "hovertemplate": "a %{y}, b %{x}: head %{z}<extra></extra>"}  # fmt: skip
    return _maps(f"{_words(router)}, head of the largest weight: {trace.label}", maps, look)


def _weights(trace: RoutingTrace, router: str) -> Figure:
    last = trace.steps[-1]
    shown = np.where(last.answers[..., None] >= 0, last.weights[router], np.nan)
    use = last.use(router)
    maps = {f"head {head}, {use[head]:.0%}": shown[..., head] for head in range(shown.shape[-1])}
    look = {"colorscale": "Greys", "reversescale": False, "zmin": 0, "zmax": 1,
            "colorbar": {"title": {"text": "weight", "side": "right"}, "thickness": 10},
            "hovertemplate": "a %{y}, b %{x}: %{z:.2f}<extra></extra>"}  # fmt: skip
    return _maps(f"{_words(router)}, weights at step {last.step}: {trace.label}", maps, look)


def _maps(title: str, maps: dict[str, np.ndarray], look: dict) -> Figure:
    """Maps of the pairs side by side, with one scale."""
    count = len(maps)
    width = (1 - _GAP * (count - 1)) / count
    drawn: list[dict] = []
    axes: dict[str, dict] = {}
    notes = []
    for number, (name, z) in enumerate(maps.items()):
        end = "" if not number else str(number + 1)
        begin = number * (width + _GAP)
        drawn.append({"type": "heatmap", "z": np.round(z, 3), "xaxis": f"x{end}", "yaxis": f"y{end}", "name": name,
                      "meta": "cells", "showscale": number + 1 == count, **look})  # fmt: skip
        bare = {"showgrid": False, "zeroline": False, "nticks": 4, "constrain": "domain", "range": [-0.5, len(z) - 0.5]}
        axes[f"xaxis{end}"] = {**bare, "domain": [begin, begin + width], "title": {"text": "b"}, "anchor": f"y{end}"}
        axes[f"yaxis{end}"] = {**bare, "scaleanchor": f"x{end}", "anchor": f"x{end}", "showticklabels": not number,
                               "title": {"text": "" if number else "a"}}  # fmt: skip
        place = {"x": begin + width / 2, "y": 1, "xref": "paper", "yref": "paper", "yanchor": "bottom"}
        notes.append({**place, "text": name, "showarrow": False, "font": {"size": 11}})
    figure = plain_figure(title, [], "", height=300, wide=count > 2)
    figure.add_traces(drawn)
    figure.update_layout(**axes, annotations=notes)
    figure.layout.margin.t += 10
    return figure


def _by_answer(trace: RoutingTrace, router: str) -> Figure:
    last = trace.steps[-1]
    heat = {"type": "heatmap", "z": np.round(last.by_answer(router).T, 3), "meta": "cells", "colorscale": "Greys",
            "reversescale": False, "zmin": 0, "zmax": 1, "name": "mean weight",
            "colorbar": {"title": {"text": "mean weight", "side": "right"}, "thickness": 10},
            "hovertemplate": "answer %{x}, head %{y}: %{z:.2f}<extra></extra>"}  # fmt: skip
    figure = plain_figure(f"{_words(router)}, by answer at step {last.step}: {trace.label}", [heat], "answer", "head")
    return figure.update_yaxes(dtick=1, showgrid=False).update_xaxes(showgrid=False)


def _use(trace: RoutingTrace, router: str, view: View) -> Figure:
    use = np.stack([found.use(router) for found in trace.steps])
    colours = colours_of(use.shape[1], view.dark)
    lines = [
        {"type": "scatter", "mode": "lines+markers", "meta": "line", "x": [found.step for found in trace.steps],
         "y": use[:, head], "name": f"head {head}", "marker": {"size": 4},
         "line": {"color": colours[head], "dash": DASHES[head % len(DASHES)], "width": 1.8}}
        for head in range(use.shape[1])
    ]  # fmt: skip
    figure = plain_figure(f"{_words(router)}, use of heads on all pairs: {trace.label}", lines, "step", "mean weight")
    return figure.update_yaxes(range=[0, max(1e-9, 1.05 * float(use.max()))])


def _words(router: str) -> str:
    return router.replace("_", " ")


TAB = Tab(
    "routing", "Routing and gates",
    "python tune_specs/grokking_sweep.py --model routed gated; python analysis/grokking.py --run RUN_ID",
    figures, layers,
    Picker("Trainings", lambda selection: list(traces(selection)), "the first one"),
)  # fmt: skip

"""Fourier structure of checkpoints on modular arithmetic: one threshold of key frequencies acts on all of its plots."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from plotly.graph_objects import Figure

from rrm.explorer.palette import colours_of, see_through
from rrm.explorer.selection import Selection
from rrm.explorer.tabs.studies import stored
from rrm.explorer.tabs.style import GRID, INK, plain_figure
from rrm.explorer.tabs.tab import Picker, Tab, picked
from rrm.explorer.view import View

if TYPE_CHECKING:  # scipy, which it needs, takes a second to import and is no part of curves
    from rrm.statistics.spectra import Spectra

KIND, FILE = "grokking-study", "spectra.npz"
MOST = 2  # checkpoints where none was chosen
SIGNS = {"add": "+", "subtract": "−", "multiply": "×", "divide": "/"}
# Of the plane, the smallest share of power that is told from none.
_LEAST = 1e-6
_BARS: dict[str, Any] = {"type": "bar", "meta": "points"}


def figures(selection: Selection, view: View) -> list[Figure]:
    """Of each chosen checkpoint its spectra, key frequencies and ablations; then how much a training has of them."""
    known = checkpoints(selection)
    chosen = picked(view, known) or _last(known)
    drawn = [figure for name in chosen for figure in _checkpoint(*known[name], name, view)]
    # A checkpoint of an earlier study of the same training says the same.
    trainings: dict[str, tuple[Spectra, list[int]]] = {found.label: (found, []) for found, _ in known.values()}
    for name in chosen:
        found, moment = known[name]
        trainings[found.label][1].append(moment)
    return drawn + [_along(found, moments, view) for found, moments in trainings.values() if moments]


def checkpoints(selection: Selection) -> dict[str, tuple[Spectra, int]]:
    """(spectra of the training, moment) of each checkpoint by its name in the list, of the newest study."""
    files = [path for run in selection.jobs if run.kind == KIND and (path := selection.file(run, FILE))]
    if not files:
        return {}
    from rrm.statistics.spectra import load_spectra

    known: dict[str, tuple[Spectra, int]] = {}
    for found in stored(selection, files, load_spectra):
        for moment, (name, step) in enumerate(zip(found.name.tolist(), found.step.tolist(), strict=True)):
            word = f", {name}" * (not name.isdecimal())
            known.setdefault(f"{found.label}: step {step}{word}", (found, moment))
    return known


def _last(known: dict[str, tuple[Spectra, int]]) -> list[str]:
    """The last checkpoint of each of the first trainings."""
    return list({found.label: name for name, (found, _) in known.items()}.values())[:MOST]


def _checkpoint(found: Spectra, moment: int, name: str, view: View) -> Iterator[Figure]:
    threshold, sign = view.threshold, SIGNS[found.operation]
    keys, of_embedding = found.keys(moment, threshold), found.embedding_keys(moment, threshold)
    power, explained = found.embedding_power[moment], found.explained[moment]
    note = f"{len(of_embedding)} key frequencies, from {threshold:g} of the largest"
    yield _bars(f"embedding, power: {name}", power, of_embedding, threshold, "share of power", note, view)
    note = (
        f"a {sign} b explains {explained.sum():.1%}, key frequencies {found.key_fve(moment, threshold):.1%}, "
        f"the inverse operation {found.inverse[moment]:.1%}"
    )
    title = f"logits, variance explained by waves of a {sign} b: {name}"
    yield _bars(title, explained, keys, threshold, "share of variance", note, view)
    yield _plane(f"logits, power by frequency of a and b: {name}", found, moment, keys)
    yield _table(f"key frequencies: {name}", found, moment, keys, of_embedding)
    loss, accuracy = found.ablated(moment, threshold)
    for title, values, log in (("loss (nats)", loss, True), ("accuracy", accuracy, False)):
        yield _ablations(f"{title} of ablated logits: {name}", values, log, len(keys), view)


def _bars(
    title: str, share: np.ndarray, keys: np.ndarray, threshold: float, what: str, note: str, view: View
) -> Figure:
    (colour,) = colours_of(1, view.dark)
    frequency, key = np.arange(1, len(share) + 1), np.isin(np.arange(1, len(share) + 1), keys)
    traces = [
        {**_BARS, "x": frequency[of], "y": share[of], "name": name, "marker": {"color": fill}, "width": 0.85,
         "hovertemplate": "%{y:.4f} at frequency %{x}<extra></extra>"}
        for name, of, fill in (("key frequency", key, colour), ("other", ~key, see_through("#808080", 0.6)))
    ]  # fmt: skip
    figure = plain_figure(title, traces, "frequency", what, note=note)
    return figure.add_hline(threshold * float(share.max()), line={"color": INK, "width": 1, "dash": "dot"})


def _plane(title: str, found: Spectra, moment: int, keys: np.ndarray) -> Figure:
    """The plane with frequency 0 in the middle, and the characters of the operation at the key frequencies."""
    n = found.plane.shape[-1]
    half = n // 2
    shown = np.log10(np.roll(found.plane[moment], (half, half), (0, 1)).clip(_LEAST))
    places = np.arange(n) - half
    sign = 1 if found.operation in ("add", "multiply") else -1
    traces: list[dict] = [
        {
            "type": "heatmap", "x": places, "y": places, "z": np.round(shown, 3), "zmin": np.log10(_LEAST), "zmax": 0,
            "colorscale": "Greys", "reversescale": False, "meta": "cells",
            "colorbar": {"title": {"text": "log₁₀ of the share", "side": "right"}, "thickness": 10, "len": 0.9},
            "hovertemplate": "a %{y}, b %{x}: 10^%{z:.1f}<extra></extra>", "name": "share of power",
        },
        {
            "type": "scatter", "mode": "markers", "meta": "points", "name": "characters of the key frequencies",
            "x": [sign * k for k in keys.tolist()] + [-sign * k for k in keys.tolist()],
            "y": [*keys.tolist(), *(-keys).tolist()], "showlegend": True, "hoverinfo": "skip",
            "marker": {"symbol": "circle-open", "size": 11, "color": "#d62728", "line": {"width": 1.5}},
        },
    ]  # fmt: skip
    figure = plain_figure(title, traces, "frequency of b", "frequency of a", height=400)
    return figure.update_yaxes(scaleanchor="x", constrain="domain", nticks=7).update_xaxes(constrain="domain")


def _table(title: str, found: Spectra, moment: int, keys: np.ndarray, of_embedding: np.ndarray) -> Figure:
    listed = [*keys.tolist(), *(k for k in of_embedding.tolist() if k not in keys)]
    explained, power = found.explained[moment], found.embedding_power[moment]
    columns = {
        "frequency": [str(k) for k in listed],
        "variance explained": [f"{explained[k - 1]:.4f}" for k in listed],
        "embedding, power": [f"{power[k - 1]:.4f}" for k in listed],
        "key of": [" and ".join(word for word, of in (("logits", keys), ("embedding", of_embedding)) if k in of)
                   for k in listed],
    }  # fmt: skip
    clear, height = "rgba(0,0,0,0)", 320
    trace = {
        "type": "table", "meta": "table",
        "header": {"values": list(columns), "align": "left", "fill": {"color": see_through("#808080", 0.15)},
                   "line": {"color": clear}, "font": {"size": 11}},
        "cells": {"values": list(columns.values()), "align": "left", "fill": {"color": clear}, "font": {"size": 11},
                  "line": {"color": GRID}, "height": 22},
    }  # fmt: skip
    figure = plain_figure(title, [trace], "", height=height)
    figure.layout.margin.update(l=10, r=10, b=10)
    return figure


def _ablations(title: str, values: np.ndarray, log: bool, count: int, view: View) -> Figure:
    """values: [LOGITS, PARTS]."""
    from rrm.statistics.spectra import LOGITS, PARTS

    colours = colours_of(len(PARTS), view.dark)
    traces = [
        {**_BARS, "x": list(LOGITS), "y": values[:, place], "name": f"{part} pairs",
         "marker": {"color": colours[place], "pattern": {"shape": ("", "/", ".")[place], "solidity": 0.3}},
         "hovertemplate": "%{y:.4g}<extra>" + f"{part} pairs, " + "%{x}</extra>"}
        for place, part in enumerate(PARTS) if np.isfinite(values[:, place]).any()
    ]  # fmt: skip
    note = f"restricted to {count} key frequencies and the mean, or with them excluded"
    figure = plain_figure(title, traces, "logits", note=note)
    if log:
        figure.update_yaxes(type="log", dtick=None, nticks=7)
    else:
        figure.update_yaxes(range=[0, 1.05])
    return figure.update_layout(barmode="group")


def _along(found: Spectra, moments: list[int], view: View) -> Figure:
    """What key frequencies explain along a training, with a line at each chosen moment."""
    every, half = range(len(found.step)), found.explained.shape[1]
    lines = {
        f"waves of a {SIGNS[found.operation]} b": found.explained.sum(1),
        "its key frequencies": [found.key_fve(moment, view.threshold) for moment in every],
        "the inverse operation": found.inverse,
        "key frequencies / all": [len(found.keys(moment, view.threshold)) / half for moment in every],
    }  # fmt: skip
    traces = [
        {"type": "scatter", "mode": "lines+markers", "x": found.step, "y": np.asarray(values, float), "name": name,
         "line": {"color": colour, "width": 1.8, "dash": dash}, "marker": {"size": 5}, "meta": "line",
         "customdata": found.name, "hovertemplate": "%{y:.3f} at step %{x} (%{customdata})<extra>" + name + "</extra>"}
        for (name, values), colour, dash in zip(
            lines.items(), colours_of(len(lines), view.dark), ("solid", "dash", "dot", "dashdot"), strict=True)
    ]  # fmt: skip
    figure = plain_figure(f"variance explained along the training: {found.label}", traces, "step", "share")
    for moment in moments:
        figure.add_vline(int(found.step[moment]), line={"color": INK, "width": 1, "dash": "dot"})
    return figure


TAB = Tab(
    "fourier", "Fourier", "python analysis/grokking.py --run RUN_ID", figures, threshold=True,
    picker=Picker("Checkpoints", lambda selection: list(checkpoints(selection)), "the last one of each training"),
)  # fmt: skip

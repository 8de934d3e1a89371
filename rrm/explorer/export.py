"""The figures of a view as one file, which opens without a server."""

from collections.abc import Sequence
from datetime import datetime
from html import escape
from pathlib import Path

from plotly.graph_objects import Figure
from plotly.offline import get_plotlyjs

from rrm.errors import InputError
from rrm.explorer.palette import colours_of
from rrm.explorer.selection import Selection
from rrm.explorer.source import Source
from rrm.explorer.tabs import TABS
from rrm.explorer.view import View
from rrm.files import replacing

_STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 1rem; color: #1c1c1c; background: #fff; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(420px, 1fr)); gap: .6rem; }
.plot { border: 1px solid #d0d0d0; min-width: 0; }
ul { display: flex; flex-wrap: wrap; gap: .1rem 1.2rem; list-style: none; padding: 0; }
.swatch { display: inline-block; width: 1.6em; height: .35em; margin-right: .4em; vertical-align: middle; }
"""
_CONFIG = {"displaylogo": False, "responsive": True}
# The file may run its own scripts and load nothing.
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"


def export(source: Source, view: View, path: Path) -> list[str]:
    """Write the figures of all tabs that have some; -> their titles. InputError where there is none."""
    view = view.but(dark=False)
    with source.lock:
        selection = source.select(view)
        # What was picked is of one tab.
        views = {name: view if name == view.tab else view.but(picks=()) for name in TABS}
        drawn = {tab.title: found for tab in TABS.values() if (found := tab.figures(selection, views[tab.name]))}
    if not drawn:
        raise InputError(f"--export: no run of the view {view.address!r} has anything to draw: choose another --view")
    with replacing(path) as unfinished:
        unfinished.write_text(page(source.name, view, selection, drawn), encoding="utf-8")
    return list(drawn)


def page(store: str, view: View, selection: Selection, drawn: dict[str, Sequence[Figure]]) -> str:
    """The file: the groups, then the figures by tab."""
    colours = colours_of(len(selection.groups))
    groups = "".join(
        f'<li><span class="swatch" style="background: {colour}"></span>{escape(group.label)} ({group.n})</li>'
        for group, colour in zip(selection.groups, colours, strict=True)
    )
    parts = []
    for title, figures in drawn.items():
        plots = [
            one.to_html(full_html=False, include_plotlyjs=False, auto_play=False, config=_CONFIG) for one in figures
        ]
        boxes = "".join(f'<div class="plot">{plot}</div>' for plot in plots)
        parts.append(f'<h2>{escape(title)}</h2><div class="grid">{boxes}</div>')
    said = f"{store}, {datetime.now():%Y-%m-%d %H:%M}, view {view.address or '(all runs)'}"
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>rrm explorer</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><style>{_STYLE}</style>'
        f"<script>{get_plotlyjs()}</script></head><body><h1>rrm explorer</h1><p>{escape(said)}</p>"
        f"<ul>{groups}</ul>{''.join(parts)}</body></html>"
    )

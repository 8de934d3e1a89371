"""Six plots of the explorer on a page of Gradio, for comparison: `gradio_page.py STORAGE PORT`.

The runs are read and drawn by the explorer's own functions, so that the frameworks alone differ.
"""

import sys
from pathlib import Path

import gradio

from rrm.explorer.selection import Selection
from rrm.explorer.tabs import TABS
from rrm.explorer.view import View
from rrm.tracking.sqlite_reader import SqliteReader

storage, port = Path(sys.argv[1]), int(sys.argv[2])
reader = SqliteReader(storage / "mlflow.db", storage)
selection = Selection.of(reader, View(group=()))


def figures(begin: float) -> list:
    """The plots from a step on."""
    return list(TABS["curvature"].figures(selection, View("curvature", group=(), begin=begin, end=9990)))


first = figures(0)
with gradio.Blocks(analytics_enabled=False) as page:
    slider = gradio.Slider(0, 9990, 0, step=10, label="begin")
    plots = []
    for row in (first[:3], first[3:]):
        with gradio.Row():
            plots += [gradio.Plot(figure) for figure in row]
    slider.change(figures, slider, plots)
page.launch(server_port=port, server_name="127.0.0.1", quiet=True)

"""What a figure shows, as a table: a row a point, a cell, or a row of the figure's own table."""

import csv
import io
from collections.abc import Iterator, Sequence
from html import unescape
from typing import Any

import numpy as np
from plotly.graph_objects import Figure

# Of points: name of the line, place, value, ends of the interval or of the range over runs, and number of runs.
_POINTS = ("line", "x", "y", "low", "high", "runs")
_CELLS = ("map", "x", "y", "value")


def csv_text(figure: Figure) -> str:
    """The numbers of a figure. Ends, and a number of runs or of puzzles, are empty where a point has none."""
    text = io.StringIO()
    rows = csv.writer(text)
    kinds = [trace.meta for trace in figure.data]
    if "table" in kinds:
        for trace in figure.data:
            rows.writerow(trace.header["values"])
            rows.writerows([unescape(cell) for cell in row] for row in zip(*trace.cells["values"], strict=True))
        return text.getvalue()
    points = [row for trace in figure.data if trace.meta in ("line", "points") for row in _points(trace)]
    cells = [row for trace in figure.data if trace.meta == "cells" for row in _cells(trace)]
    for head, found in ((_CELLS, cells), (_POINTS, points)):
        if found or (head is _POINTS and not cells):
            rows.writerow(head)
            rows.writerows(found)
    return text.getvalue()


def _points(trace: Any) -> Iterator[list]:
    """Rows of a trace, whose `customdata` are numbers of runs, (number, low, high) of a range over runs, or words."""
    own = trace.customdata if trace.customdata is not None else [1] * len(trace.x)
    name, lows, highs = unescape(trace.name or ""), *_interval(trace)
    for x, y, given, low, high in zip(trace.x, trace.y, own, lows, highs, strict=True):
        if isinstance(given, str):
            yield [name, x, y, low, high, ""]
        elif np.ndim(given):
            yield [name, x, y, given[1], given[2], int(given[0])]
        else:
            yield [name, x, y, low, high, given]


def _interval(trace: Any) -> tuple[Sequence, Sequence]:
    """Ends of the intervals of a trace's points."""
    for axis in ("x", "y"):
        bars = trace[f"error_{axis}"] if f"error_{axis}" in trace else None
        if bars is not None and bars.array is not None:
            value = np.asarray(trace[axis], float)
            return value - np.asarray(bars.arrayminus, float), value + np.asarray(bars.array, float)
    return [""] * len(trace.x), [""] * len(trace.x)


def _cells(trace: Any) -> Iterator[list]:
    name = unescape(trace.name or "")
    for y, row in zip(trace.y if trace.y is not None else range(len(trace.z)), trace.z, strict=True):
        for x, value in zip(trace.x if trace.x is not None else range(len(row)), row, strict=True):
            if value is not None and value == value:  # no gap
                yield [name, x, y, value]

"""Boards: puzzles call by call, a solved one beside a failed one, and the noisy rollouts of a puzzle as rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from plotly.graph_objects import Figure

from rrm.explorer.palette import see_through
from rrm.explorer.selection import Selection
from rrm.explorer.tabs.style import GRID, INK, escape
from rrm.explorer.tabs.tab import Picker, Tab
from rrm.explorer.view import View
from rrm.tasks import get_task
from rrm.tasks.maze_cells import PATH, WALL
from rrm.tasks.sudoku import SudokuTask
from rrm.tasks.trace import TRACE, Trace, load_trace

KIND = "boards"
MOST_STUDIES, MOST_BOARDS, MOST_MOSAICS, MOST_COLUMNS = 2, 8, 2, 8
# Cells of all moments of a figure. A larger board is shown after whole segments.
MOST_CELLS = 60_000
HEIGHT, SIZE = 660, 330  # pixels of a figure, and about those of its board
# What changes from moment to moment: board, frames of changed cells, marks of wrong cells, and two cursors.
_MOVING = [0, 1, 2, 3, 4]
_JUMP = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}


@dataclass(frozen=True)
class _Look:
    """Colours on light or dark ground. A sign or a shape says the same as each of them."""

    answer: str
    wall: str
    path: str
    wrong: str
    changed: str


_LIGHT = _Look("#88ccee", "#7a7a7a", "#117733", "#cc3355", "#332288")
_DARK = _Look("#2f7fa8", "#8a8a8a", "#5fc489", "#ee99aa", "#b0a8f5")


def figures(selection: Selection, view: View) -> list[Figure]:
    """The boards of the newest MOST_STUDIES traces of a selection, or the chosen puzzles of any."""
    traces, chosen = _traces(selection), set(view.picks)
    several, found = len(traces) > 1, []
    mine = {name: [place for place, word in _puzzles(name, trace, several).items() if word in chosen]
            for name, trace in traces.items()}  # fmt: skip
    for name in [name for name in traces if mine[name]] or list(traces)[:MOST_STUDIES]:
        words = f", {name}" * several
        found += board_figures(traces[name], view.moment, dark=view.dark, words=words, places=mine[name])
    return found


def puzzles(selection: Selection) -> list[str]:
    """Names of all puzzles of the traces, solved and failed ones in turn."""
    traces = _traces(selection)
    return [word for name, trace in traces.items() for word in _puzzles(name, trace, len(traces) > 1).values()]


def _traces(selection: Selection) -> dict[str, Trace]:
    """The traces by the name of their study, the newest first."""
    files = {run.name: selection.file(run, TRACE) for run in reversed(selection.jobs) if run.kind == KIND}
    return {name: _trace(file, file.stat().st_mtime_ns) for name, file in reversed(files.items()) if file}


@lru_cache(maxsize=8)
def _trace(file: Path, changed: int) -> Trace:
    return load_trace(file)


def _puzzles(name: str, trace: Trace, several: bool) -> dict[int, str]:
    """The puzzles of a trace by their position, in the order in which they are drawn."""
    return {place: _title(trace, place) + f", {name}" * several for place in _in_turn(trace)}


def _title(trace: Trace, place: int) -> str:
    return f"puzzle {trace.index[place]}, {'solved' if trace.right[place, 0, -1] else 'failed'}"


def _in_turn(trace: Trace) -> list[int]:
    """Positions of the puzzles, solved and failed ones in turn."""
    right = trace.right[:, 0, -1]
    solved, failed = np.flatnonzero(right).tolist(), np.flatnonzero(~right).tolist()
    turns = [place for pair in zip(solved, failed, strict=False) for place in pair]
    return turns + [place for place in (*solved, *failed) if place not in turns]


def board_figures(
    trace: Trace, moment: int = 0, *, dark: bool = False, words: str = "", places: Sequence[int] = ()
) -> list[Figure]:
    """A figure of every puzzle, solved and failed ones in turn, then the noisy rollouts of some that end in both ways.

    In a notebook:

        for figure in board_figures(load_trace(Path("runs/boards-1/boards.npz"))):
            figure.show()

    Args:
        trace: of some puzzles, of which at most MOST_BOARDS are drawn.
        moment: number of the frame that is shown first, the last one where there are fewer.
        dark: whether the ground is.
        words: at the end of each title.
        places: positions of the puzzles in the trace; solved and failed ones in turn by default.
    """
    look = _DARK if dark else _LIGHT
    ended = trace.right[:, :, -1]
    order = (list(places) or _in_turn(trace))[:MOST_BOARDS]
    boards = [_board(trace, place, moment, look, words) for place in order]
    mixed = [place for place in order if 0 < ended[place].sum() < ended.shape[1]] or order[:1]
    rows = list(places)[:MOST_BOARDS] or mixed[:MOST_MOSAICS]
    mosaics = [_mosaic(trace, place, look, words) for place in rows] if ended.shape[1] > 1 else []
    return boards + mosaics


TAB = Tab(
    "boards", "Boards", "python analysis/boards.py --run RUN_ID --puzzles 16", figures,
    picker=Picker("Puzzles", puzzles, f"the first {MOST_BOARDS} of the newest traces"),
)  # fmt: skip


def moments(trace: Trace) -> np.ndarray:
    """Calls after which some board of the trace changes, from 0; whole segments alone where these would be too many.

    The answer is read from one half of the state, so that most calls leave it as it was.
    """
    n, cells = trace.answers.shape[2:]
    moved = [(np.diff(of[:, 0], axis=1) != 0).any((0, 2)) for of in (trace.answers, trace.probability)]
    calls = np.union1d([0, n - 1], 1 + np.flatnonzero(moved[0] | moved[1]))
    return calls if len(calls) * cells <= MOST_CELLS else np.arange(len(trace.calls) - 1, n, len(trace.calls))


def _side(trace: Trace) -> int:
    return round(trace.inputs.shape[1] ** 0.5)


def _board(trace: Trace, place: int, moment: int, look: _Look, suffix: str) -> Figure:
    """One puzzle without noise: a frame for every moment, drift and local exponent of every call below."""
    calls = moments(trace)
    first = min(moment, len(calls) - 1)
    found = [_frame(trace, place, int(call), int(calls[max(i - 1, 0)]), look) for i, call in enumerate(calls)]
    words = [said for _, said in found]
    frames = [
        {"name": str(i), "data": data, "traces": _MOVING, "layout": {"title": {"subtitle": {"text": said}}}}
        for i, (data, said) in enumerate(found)
    ]
    shown = [{**base, **moved} for base, moved in zip(_still(trace, look), found[first][0], strict=True)]
    layout = _layout(trace, f"{_title(trace, place)}{escape(suffix)}", words[first])
    layout["meta"] = {"thinned": False, "ranged": False, "moments": len(calls), "words": words}
    layout["sliders"] = [
        {
            "steps": [
                {"method": "animate", "args": [[str(i)], _JUMP], "label": f"{call + 1}"}
                for i, call in enumerate(calls.tolist())
            ],
            "active": first, "currentvalue": {"prefix": "call "}, "pad": {"t": 40}, "ticklen": 0, "font": {"size": 1},
        }
    ]  # fmt: skip
    return Figure(shown + _curves(trace, place, look), layout, frames)


def _still(trace: Trace, look: _Look) -> list[dict[str, Any]]:
    """What the moving traces keep."""
    n = _side(trace)
    on_board = {"xaxis": "x2", "yaxis": "y3", "hoverinfo": "skip"}
    cursor = {"mode": "lines", "line": {"color": INK, "width": 1.5}, "hoverinfo": "skip", "showlegend": False}
    return [
        {
            "type": "heatmap", "xaxis": "x2", "yaxis": "y3", "zmin": 0, "zmax": len(_tints(trace, look)),
            "colorscale": _scale(_tints(trace, look)), "showscale": False, "texttemplate": "%{text}", "xgap": 1,
            "ygap": 1, "textfont": {"size": min(24, SIZE // n * 0.55), "color": INK},
            "hovertemplate": "%{customdata}<extra></extra>",
        },
        {
            "type": "scatter", "mode": "lines", "line": {"color": look.changed, "width": 2.5}, "name": "changed",
            **on_board,
        },
        {
            "type": "scatter", "mode": "lines", "fill": "toself", "fillcolor": look.wrong,
            "line": {"color": look.wrong, "width": 1}, "name": "wrong", **on_board,
        },
        {"type": "scatter", **cursor},
        {"type": "scatter", "yaxis": "y2", **cursor},
    ]  # fmt: skip


def _frame(trace: Trace, place: int, call: int, before: int, look: _Look) -> tuple[list[dict[str, Any]], str]:
    """The moving traces after a call, and the moment in words."""
    n = _side(trace)
    answers, right = trace.answers[place, 0], trace.labels[place]
    now, probability = answers[call], trace.probability[place, 0, call] / 255
    changed, wrong = np.flatnonzero(now != answers[before]), np.flatnonzero(now != right)
    segment, of_segment = divmod(call, len(trace.calls))
    texts = _texts(trace, place, now)
    said = [f"{sign} with {share:.0%}" for sign, share in zip(_signs(trace, now), probability, strict=True)]
    (drift_low, drift_high), (low, high) = _range(trace.drift[place, 0]), _range(trace.growth[place, 0])
    words = f"segment {segment + 1}, call {of_segment + 1} ({trace.calls[of_segment]}): {len(wrong)} cells wrong, "
    board = {
        "type": "heatmap", "z": _z(trace, now, probability).reshape(n, n), "text": texts.reshape(n, n),
        "customdata": np.array(said).reshape(n, n),
    }  # fmt: skip
    return [
        board,
        _outlines(changed, n, 0.42),
        _corners(wrong, n),
        {"x": [call + 1] * 2, "y": [drift_low, drift_high]},
        {"x": [call + 1] * 2, "y": [low, high]},
    ], f"{words}{len(changed)} changed"


def _range(values: np.ndarray) -> tuple[float, float]:
    """Lowest and highest finite value that is not 0, which a logarithmic axis has no place for."""
    values = values[np.isfinite(values) & (values != 0)]
    return (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)


def _decades(trace: Trace) -> int:
    """Decades between two ticks of the drift."""
    low, high = _range(trace.drift[:, 0])
    return max(1, round(np.log10(high / low) / 4)) if low else 1


def _signs(trace: Trace, tokens: np.ndarray) -> list[str]:
    return [sign.strip() or "open" for sign in get_task(trace.task).decode(tokens)]


def _texts(trace: Trace, place: int, tokens: np.ndarray) -> np.ndarray:
    """The sign of each cell: given digits bold, and of mazes the ends alone, which colours do not say."""
    signs = _signs(trace, tokens)
    if not isinstance(get_task(trace.task), SudokuTask):
        return np.array([sign if sign in "SG" else "" for sign in signs])
    blank = "."
    given = [sign != blank for sign in _signs(trace, trace.inputs[place])]
    return np.array([f"<b>{sign}</b>" if bold else sign for sign, bold in zip(signs, given, strict=True)])


def _tints(trace: Trace, look: _Look) -> list[str]:
    return [look.answer] if isinstance(get_task(trace.task), SudokuTask) else [look.answer, look.wall, look.path]


def _z(trace: Trace, tokens: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Number of the tint plus probability."""
    kind = np.zeros(len(tokens))
    if not isinstance(get_task(trace.task), SudokuTask):
        kind[tokens == WALL], kind[tokens == PATH] = 1, 2
    return np.round(kind + np.minimum(probability, 0.99), 2)


def _scale(tints: Sequence[str]) -> list[list[Any]]:
    """A scale of which each tint has an equal part, from nearly nothing to itself."""
    scale: list[list[Any]] = []
    for i, tint in enumerate(tints):
        scale += [[i / len(tints), see_through(tint, 0.04)], [(i + 1) / len(tints), see_through(tint, 0.9)]]
    return scale


def _outlines(cells: np.ndarray, n: int, half: float) -> dict[str, list]:
    """Squares around cells, as one line with gaps."""
    x: list[float | None] = []
    y: list[float | None] = []
    for cell in cells.tolist():
        row, column = divmod(cell, n)
        x += [column - half, column + half, column + half, column - half, column - half, None]
        y += [row - half, row - half, row + half, row + half, row - half, None]
    # A trace without a point would lose its place in the legend.
    return {"x": x or [None], "y": y or [None]}


def _corners(cells: np.ndarray, n: int) -> dict[str, list]:
    """Triangles in the upper right corners of cells."""
    x: list[float | None] = []
    y: list[float | None] = []
    for cell in cells.tolist():
        row, column = divmod(cell, n)
        x += [column + 0.1, column + 0.46, column + 0.46, column + 0.1, None]
        y += [row - 0.46, row - 0.46, row - 0.1, row - 0.46, None]
    return {"x": x or [None], "y": y or [None]}


def _curves(trace: Trace, place: int, look: _Look) -> list[dict[str, Any]]:
    """Drift and local exponent of every call, and the mean exponent of every segment."""
    drift, growth = trace.drift[place, 0].astype(float), trace.growth[place, 0].astype(float)
    calls = np.arange(1, len(drift) + 1)
    of_segment = growth.reshape(-1, len(trace.calls)).mean(1).repeat(len(trace.calls))
    drift[drift <= 0] = np.nan
    line = {"type": "scatter", "mode": "lines", "x": calls, "meta": "line", "showlegend": False}
    return [
        {**line, "y": drift, "name": "drift", "line": {"color": look.changed, "width": 1.5}},
        {**line, "y": growth, "yaxis": "y2", "name": "local exponent", "line": {"color": look.wall, "width": 1}},
        {**line, "y": of_segment, "yaxis": "y2", "name": "its mean over the segment",
         "line": {"color": look.changed, "width": 2, "shape": "hvh"}},
    ]  # fmt: skip


def _layout(trace: Trace, title: str, words: str) -> dict[str, Any]:
    n, steps = _side(trace), trace.answers.shape[2]
    axis = {"gridcolor": GRID, "zeroline": False, "linecolor": GRID, "fixedrange": True, "ticks": "outside",
            "tickcolor": GRID}  # fmt: skip
    bare = {"showticklabels": False, "showgrid": False, "zeroline": False, "fixedrange": True, "constrain": "domain"}
    every = len(trace.calls) * -(-trace.segments // 8)
    return {
        "title": {"text": title, "subtitle": {"text": words, "font": {"size": 11}}, "x": 0.01, "xanchor": "left",
                  "y": 0.985, "yanchor": "top", "font": {"size": 14}},
        "xaxis": {**axis, "anchor": "y2", "range": [0.5, steps + 0.5], "tick0": 0, "dtick": every,
                  "title": {"text": f"network calls, {len(trace.calls)} a segment", "standoff": 4}},
        "yaxis": {**axis, "domain": [0.2, 0.36], "type": "log", "exponentformat": "power", "dtick": _decades(trace),
                  "title": {"text": "drift", "standoff": 4}},
        "yaxis2": {**axis, "domain": [0, 0.16], "nticks": 4, "title": {"text": "exponent", "standoff": 4}},
        "xaxis2": {**bare, "anchor": "y3", "range": [-0.5, n - 0.5]},
        "yaxis3": {**bare, "anchor": "x2", "domain": [0.42, 1], "range": [n - 0.5, -0.5], "scaleanchor": "x2"},
        "shapes": _box_lines(trace), "annotations": _tint_words(trace),
        "height": HEIGHT, "margin": {"l": 60, "r": 12, "t": 62, "b": 42}, "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)", "font": {"color": INK, "size": 12}, "hovermode": "closest",
        "legend": {"orientation": "h", "x": 1, "xanchor": "right", "yref": "container", "y": 0.985, "yanchor": "top",
                   "font": {"size": 11}, "itemclick": False, "itemdoubleclick": False},
        "template": None,
    }  # fmt: skip


def _tint_words(trace: Trace) -> list[dict[str, Any]]:
    """What the tints of a maze are, below its board."""
    if isinstance(get_task(trace.task), SudokuTask):
        return []
    return [{"text": "tints: blue is open, grey a wall, green the path", "xref": "paper", "x": 0.5, "yref": "paper",
             "y": 0.415, "yanchor": "top", "showarrow": False, "font": {"size": 10}}]  # fmt: skip


def _box_lines(trace: Trace) -> list[dict[str, Any]]:
    """The frame of the board, and the lines between the boxes of a Sudoku."""
    n, task = _side(trace), get_task(trace.task)
    rows, columns = (task.box.rows, task.box.columns) if isinstance(task, SudokuTask) else (n, n)
    line = {"type": "line", "xref": "x2", "yref": "y3", "line": {"color": INK, "width": 1.5}}
    across = [{**line, "x0": -0.5, "x1": n - 0.5, "y0": at - 0.5, "y1": at - 0.5} for at in range(0, n + 1, rows)]
    return across + [
        {**line, "y0": -0.5, "y1": n - 0.5, "x0": at - 0.5, "x1": at - 0.5} for at in range(0, n + 1, columns)
    ]


def _mosaic(trace: Trace, place: int, look: _Look, words: str) -> Figure:
    """The rollouts of one puzzle as rows, their boards after some segments as columns: right and wrong cells."""
    n, rollouts = _side(trace), trace.answers.shape[1]
    columns = np.unique(np.linspace(1, trace.segments, min(trace.segments, MOST_COLUMNS)).round().astype(int))
    step = n + max(1, n // 8)
    z = np.full((rollouts * step - (step - n), len(columns) * step - (step - n)), np.nan)
    for row in range(rollouts):
        for column, segment in enumerate(columns.tolist()):
            call = segment * len(trace.calls) - 1
            wrong = trace.answers[place, row, call] != trace.labels[place]
            likely = np.minimum(trace.probability[place, row, call] / 255, 0.99)
            cells = np.round(wrong + likely, 2).reshape(n, n)
            z[row * step : row * step + n, column * step : column * step + n] = cells
    middle = (n - 1) / 2
    ends = ["✓" if right else "✗" for right in trace.right[place, :, -1]]
    names = [f"{'no noise' if row == 0 else f'noise {row}'} {end}" for row, end in enumerate(ends)]
    axis = {"showgrid": False, "zeroline": False, "fixedrange": True, "ticks": ""}
    height = 115 + round(SIZE * z.shape[0] / z.shape[1])
    figure = Figure(
        [{"type": "heatmap", "z": z, "zmin": 0, "zmax": 2, "colorscale": _scale([look.answer, look.wrong]),
          "showscale": False, "hoverinfo": "skip", "xgap": 0.5, "ygap": 0.5, "meta": "cells",
          "name": "share, above 1 of a wrong answer"}],
        {
            "title": {"text": f"puzzle {trace.index[place]}, noisy rollouts{escape(words)}", "x": 0.01,
                      "xanchor": "left", "y": 0.97, "yanchor": "top", "font": {"size": 14},
                      "subtitle": {"text": f"wrong cells red, tint by probability; noise {trace.sigma:g} on "
                                           f"{trace.where}", "font": {"size": 11}}},
            "xaxis": {**axis, "tickvals": [i * step + middle for i in range(len(columns))],
                      "ticktext": [str(segment) for segment in columns], "constrain": "domain",
                      "title": {"text": "segments", "standoff": 4}},
            "yaxis": {**axis, "tickvals": [i * step + middle for i in range(rollouts)], "ticktext": names,
                      "autorange": "reversed", "scaleanchor": "x", "constrain": "domain", "constraintoward": "top"},
            "height": height, "margin": {"l": 80, "r": 12, "t": 62, "b": 42}, "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)", "font": {"color": INK, "size": 12}, "template": None,
            "meta": {"thinned": False, "ranged": False},
        },
    )  # fmt: skip
    return figure

"""Exponents of recursive reasoners: solved puzzles against failed ones."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from plotly.graph_objects import Figure

from rrm.explorer.palette import DASHES, colours_of, see_through
from rrm.explorer.results import Measured, MeasuredGroup, measurements
from rrm.explorer.selection import Selection
from rrm.explorer.tabs.forest import forest, is_end, named, with_interval
from rrm.explorer.tabs.style import INK, escape, plain_figure
from rrm.explorer.tabs.tab import Tab
from rrm.explorer.view import View

MOST = 12  # groups of models at a time
COMMAND = "python analysis/lyapunov.py --run RUN_ID"
# Outcomes by the colours of `rrm.figures.style`, on light and on dark ground.
OUTCOMES = {"solved": (True, "#0b3c6f", "#8ab8f5"), "failed": (False, "#e0701a", "#ffb27a")}

Values = Callable[[Measured, np.ndarray], np.ndarray]


def exponents(selection: Selection, view: View) -> list[Figure]:
    """Leading exponents of solved and failed puzzles, spectra, and leading exponents by segment."""
    found, left_out = measurements(selection, MOST)
    if not found:
        return []
    figures = [_distributions(found, left_out, view)]
    unit = found[0].models[0].unit
    figures += _areas(selection, view)
    lines: dict[str, tuple[str, Values]] = {
        "spectrum, median": ("exponent", lambda one, rows: one.arrays["lambda_per_call"][rows]),
        "λ₁ by segment, median": ("segment", _first),
    }
    for title, (x, values) in lines.items():
        traces = list(medians(found, hues(found, view), view, values, of=lambda one: one.finite))
        if traces:
            figures.append(plain_figure(title, traces, x, unit))
    return figures


def _areas(selection: Selection, view: View) -> Iterator[Figure]:
    """What tells failed from solved puzzles in each study, ahead of time, and the controls that should not."""
    studies = [run for run in selection.jobs if run.kind == "stability"]
    for run in studies:
        names = [name for name in run.metrics if name.startswith("auc/") and not is_end(name, run.metrics)]
        rows = [with_interval(run.metrics, name, name.removeprefix("auc/").replace("_", " ")) for name in sorted(names)]
        if rows:
            title = named(run, studies, "λ₁ tells failed puzzles, and controls")
            yield forest(title, rows, "AUC for failed, 95 % interval", view, none_at=0.5)


def hues(found: Sequence[MeasuredGroup], view: View) -> dict[str, str]:
    """The colour of every group, the same in all panels of a tab."""
    return dict(zip((one.label for one in found), colours_of(len(found), view.dark), strict=True))


def limit_words(found: Sequence[MeasuredGroup], left_out: int) -> str:
    """What a tab says where it does not draw all."""
    return f"the first {len(found)} of {len(found) + left_out} groups" if left_out else ""


def _first(one: Measured, rows: np.ndarray) -> np.ndarray:
    """[rows, segments] the leading exponent in each segment."""
    return one.arrays["lambda_segments"][rows][:, :, 0] if "lambda_segments" in one.arrays else np.zeros((0, 0))


def _distributions(found: Sequence[MeasuredGroup], left_out: int, view: View) -> Figure:
    traces = []
    for name, (outcome, *both) in OUTCOMES.items():
        values = [group.first_exponents()[group.finite & (group.solved == outcome)] for group in found]
        labels = [escape(group.label) for group, value in zip(found, values, strict=True) for _ in value]
        traces.append({
            "type": "box", "x": np.concatenate(values), "y": labels, "name": name, "orientation": "h", "meta": "points",
            "marker": {"color": both[view.dark], "size": 3}, "line": {"width": 1.2}, "boxpoints": "outliers",
        })  # fmt: skip
    counts = [f"{escape(one.label)}: {int(one.solved.sum())} of {len(one.solved)} solved" for one in found]
    note = "; ".join(counts) if len(found) < 3 else limit_words(found, left_out)
    height, unit = max(320, 150 + 44 * len(found)), found[0].models[0].unit
    figure = plain_figure("λ₁ of solved and failed puzzles", traces, unit, note=note, height=height)
    figure.update_layout(boxmode="group", boxgap=0.25)
    figure.update_yaxes(type="category", autorange="reversed")
    return figure.add_vline(0, line={"color": INK, "width": 1, "dash": "dot"})


def medians(
    found: Sequence[MeasuredGroup],
    colours: Mapping[str, str],
    view: View,
    values: Values,
    of: Callable[[Measured], np.ndarray] | None = None,
) -> Iterator[dict]:
    """A line a group and outcome, solved ones solid and failed ones dashed: medians over puzzles at every place.

    Of several models in a group, the median of theirs, with their range.

    Args:
        colours: by label of the group.
        values: [rows, places] of some puzzles of a model.
        of: the puzzles of a model that count; all by default.
    """
    drawn = False
    for group in found:
        for number, (name, (outcome, *_)) in enumerate(OUTCOMES.items()):
            rows = [(one, (one.solved == outcome) & (of(one) if of else True)) for one in group.models]
            lines = [line for one, chosen in rows if (line := _median(values(one, chosen))) is not None]
            if not lines:
                continue
            drawn = True
            count = sum(int(chosen.sum()) for _, chosen in rows)
            look = {"color": colours[group.label], "dash": DASHES[number], "width": 1.8}
            yield from band(group.label, f"{group.label}, {name}", lines, look, f"median of {count} puzzles", view)
    if drawn:
        for number, name in enumerate(OUTCOMES):
            look = {"color": INK, "dash": DASHES[number], "width": 2}
            yield {"type": "scatter", "x": [None], "y": [None], "mode": "lines", "name": name, "line": look}


def _median(part: np.ndarray) -> np.ndarray | None:
    """[places] medians over puzzles, of the places at which some value is finite; None without a puzzle."""
    part = part.astype(float)
    if not part.size:
        return None
    part = np.where(np.isfinite(part), part, np.nan)
    part = part[:, np.isfinite(part).any(0)]
    return np.nanmedian(part, 0) if part.size else None


def band(
    group: str, label: str, lines: Sequence[np.ndarray], look: Mapping[str, Any], said: str, view: View
) -> Iterator[dict]:
    """The line of a model; of several, the median, the range between the lowest and the highest, and themselves."""
    table = np.full((len(lines), max(map(len, lines))), np.nan)
    for row, line in zip(table, lines, strict=True):
        row[: len(line)] = line
    x, y = np.arange(1, table.shape[1] + 1), np.nanmedian(table, 0)
    name, low, high = escape(label), np.nanmin(table, 0), np.nanmax(table, 0)
    base = {"type": "scatter", "legendgroup": escape(group), "showlegend": False}
    if len(lines) > 1:
        yield {
            "type": "scatter", "x": np.r_[x, x[::-1]], "y": np.r_[high, low[::-1]], "fill": "toself", "mode": "lines",
            "fillcolor": see_through(look["color"], 0.15), "line": {"width": 0}, "hoverinfo": "skip", "meta": "range",
            "showlegend": False,
        }  # fmt: skip
        for line in lines if view.lines else ():
            yield {**base, "x": x[: len(line)], "y": line, "mode": "lines", "opacity": 0.55, "hoverinfo": "skip",
                   "line": {**look, "width": 0.8}, "meta": "line", "name": name}  # fmt: skip
        said = f"{said}, {len(lines)} models"
    yield {
        **base, "x": x, "y": y, "mode": "lines+markers", "name": name, "line": look, "marker": {"size": 4},
        "meta": "line", "customdata": np.stack([np.isfinite(table).sum(0), low, high], 1) if len(lines) > 1 else None,
        "hovertemplate": f"%{{y:.4g}} at %{{x}}<br>{said}<extra>{name}</extra>",
    }  # fmt: skip


EXPONENTS = Tab("exponents", "Exponents", COMMAND, exponents)

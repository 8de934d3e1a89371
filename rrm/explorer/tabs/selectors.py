"""Selection among rollouts: accuracy of every selector by rollouts and by calls, the choice of noise, stops, and Q."""

import re
from collections.abc import Iterator, Mapping, Sequence
from math import log10

from plotly.graph_objects import Figure

from rrm.explorer.palette import DASHES, colours_of
from rrm.explorer.runs import short
from rrm.explorer.selection import Selection
from rrm.explorer.tabs.forest import Row, forest, is_end, with_interval
from rrm.explorer.tabs.style import INK, escape, plain_figure
from rrm.explorer.tabs.tab import Picker, Tab, picked
from rrm.explorer.view import View
from rrm.tracking.reader import Run

KINDS = ("selection", "selector")
MOST = 2  # studies where none was chosen
SYMBOLS = ("circle", "square", "diamond", "cross", "x", "triangle-up", "triangle-down", "star", "hexagon")
ALONE = "one rollout as long"
_OF_K = re.compile(r"^(accuracy|calls|one_rollout_of_these_calls|over_majority|gap|against_depth)/(.+)/K_(\d+)/(.+)$")
_CHOICE = re.compile(r"^choice/where_(.+)/sigma_([^_]+)$")
# Forests of all metrics below a name: title, axis, and the place where there is no effect.
_FORESTS = {
    "rank_correlation": ("rank correlation of Q and stability", "rank correlation", 0.0),
    "calibration": ("calibration of Q", "Brier score and its parts", None),
    "stops": ("rollouts that a rule stops", "share of rollouts", None),
    "right_at_stop": ("right where a rule stops", "share of stopped rollouts", None),
}
# Of the largest number of rollouts.
_DIFFERENCES = {"over_majority": "over the majority", "against_depth": "over one rollout of as many calls",
                "gap": "below the oracle"}  # fmt: skip

# Rows by measure, place (depth and outcome), and selector: (number of rollouts, row), ascending.
Tables = Mapping[tuple[str, str], Mapping[str, Sequence[tuple[int, Row]]]]


def figures(selection: Selection, view: View) -> list[Figure]:
    """The figures of each chosen study."""
    known = studies(selection)
    chosen = picked(view, known) or list(known)[:MOST]
    several = len(known) > 1
    return [figure for name in chosen for figure in study(known[name], f": {name}" if several else "", view)]


def studies(selection: Selection) -> dict[str, Run]:
    """The studies by their name, with the run where another one has the same."""
    found: dict[str, Run] = {}
    for run in selection.jobs:
        if run.kind in KINDS and any(_OF_K.match(name) for name in run.metrics):
            found[run.name if run.name not in found else f"{run.name} ({short(run)})"] = run
    return found


def study(run: Run, words: str, view: View) -> Iterator[Figure]:
    """All figures of a study; `words` are at the end of each title."""
    tables = _tables(run.metrics)
    for measure, at in tables:
        after = at.replace("_", " ")
        if measure == "accuracy":
            clean = run.metrics.get(f"accuracy/{at}/clean")
            yield _by_rollouts(f"accuracy of selectors, {after}{words}", tables[measure, at], clean, view)
            if ("calls", at) in tables:
                yield _by_calls(f"accuracy by network calls, {after}{words}", tables, at, view)
        elif measure in _DIFFERENCES:
            # "clean" is the accuracy of the one rollout itself.
            last = [of[-1] for name, of in tables[measure, at].items() if name != "clean"]
            most = max(count for count, _ in last)
            rows = [row for count, row in last if count == most]
            title = f"{_DIFFERENCES[measure]}, of {most} rollouts, {after}{words}"
            yield forest(title, rows, "difference in accuracy, 95 % interval", view, none_at=0.0)
    yield from _choice(run, words, view)
    for head, (title, what, none_at) in _FORESTS.items():
        names = [name for name in run.metrics if name.startswith(f"{head}/") and not is_end(name, run.metrics)]
        rows = [with_interval(run.metrics, name, name.partition("/")[2].replace("_", " ")) for name in sorted(names)]
        if rows:
            yield forest(f"{title}{words}", rows, what, view, none_at=none_at)


def _tables(metrics: Mapping[str, float]) -> Tables:
    found: dict[tuple[str, str], dict[str, list[tuple[int, Row]]]] = {}
    for name in metrics:
        if (parts := _OF_K.match(name)) and not is_end(name, metrics):
            measure, at, count, selector = parts.groups()
            row = with_interval(metrics, name, selector.replace("_", " "))
            found.setdefault((measure, at), {}).setdefault(row.name, []).append((int(count), row))
    return {
        key: {selector: sorted(rows, key=lambda row: row[0]) for selector, rows in sorted(of.items())}
        for key, of in sorted(found.items())
    }


def _lines(of: Mapping[str, tuple[Sequence[float], Sequence[Row]]], view: View) -> list[dict]:
    """A line with intervals for each name: places and rows."""
    colours = colours_of(len(of), view.dark)
    return [
        {
            "type": "scatter", "mode": "lines+markers", "x": list(x), "y": [row.value for row in rows],
            "name": escape(name), "meta": "line", "line": {"color": colour, "dash": DASHES[place % len(DASHES)]},
            "marker": {"symbol": SYMBOLS[place % len(SYMBOLS)], "size": 7},
            "error_y": {"type": "data", "symmetric": False, "array": [row.high - row.value for row in rows],
                        "arrayminus": [row.value - row.low for row in rows], "thickness": 1},
            "customdata": [f"[{row.low:.3f}, {row.high:.3f}]" for row in rows],
            "hovertemplate": "%{y:.3f} %{customdata} at %{x:g}<extra>" + escape(name) + "</extra>",
        }
        for place, ((name, (x, rows)), colour) in enumerate(zip(of.items(), colours, strict=True))
    ]  # fmt: skip


def _by_rollouts(title: str, table: Mapping[str, Sequence[tuple[int, Row]]], clean: float | None, view: View) -> Figure:
    of = {name: ([count for count, _ in rows], [row for _, row in rows]) for name, rows in table.items()}
    note = "95 % intervals over puzzles" + ("; dotted: one rollout without noise" if clean is not None else "")
    figure = plain_figure(title, _lines(of, view), "rollouts to choose from", "puzzles solved", note=note)
    counts = sorted({count for rows in table.values() for count, _ in rows})
    figure.update_xaxes(type="log", tickvals=counts, ticktext=[str(count) for count in counts])
    return figure if clean is None else figure.add_hline(clean, line={"color": INK, "width": 1, "dash": "dot"})


def _by_calls(title: str, tables: Tables, at: str, view: View) -> Figure:
    """Every selector against what it costs, and one rollout of as many calls."""
    calls = {(name, count): row.value for name, rows in tables["calls", at].items() for count, row in rows}
    accuracy = tables["accuracy", at]
    of = {
        name: ([calls[name, count] for count, _ in rows], [row for _, row in rows])
        for name, rows in accuracy.items()
        if all((name, count) in calls for count, _ in rows)
    }
    alone = {
        calls[name, count]: row
        for name, rows in tables.get(("one_rollout_of_these_calls", at), {}).items()
        for count, row in rows
        if (name, count) in calls
    }
    if alone:
        of[ALONE] = (sorted(alone), [alone[place] for place in sorted(alone)])
    figure = plain_figure(title, _lines(of, view), "network calls a puzzle", "puzzles solved")
    return figure.update_xaxes(type="log", dtick=log10(2))


def _choice(run: Run, words: str, view: View) -> Iterator[Figure]:
    """Accuracy by noise on the puzzles that the noise is chosen on; the ring is what was chosen."""
    found: dict[str, list[tuple[float, Row]]] = {}
    for name in run.metrics:
        if (parts := _CHOICE.match(name)) and not is_end(name, run.metrics):
            where, sigma = parts.groups()
            found.setdefault(where, []).append((float(sigma), with_interval(run.metrics, name, where)))
    if not found:
        return
    ordered = {where: sorted(rows, key=lambda row: row[0]) for where, rows in sorted(found.items())}
    of = {f"noise on {where}": ([x for x, _ in rows], [row for _, row in rows]) for where, rows in ordered.items()}
    traces = _lines(of, view)
    sigma, half = run.tags.get("rrm.chosen_sigma"), run.tags.get("rrm.chosen_where")
    chosen = [row.value for x, row in ordered.get(half or "", []) if sigma and x == float(sigma)]
    if chosen and sigma:
        ring = {"symbol": "circle-open", "size": 16, "color": INK, "line": {"width": 2}}
        traces.append({"type": "scatter", "mode": "markers", "x": [float(sigma)], "y": chosen, "name": "chosen",
                       "meta": "points", "marker": ring, "hoverinfo": "skip"})  # fmt: skip
    figure = plain_figure(f"choice of noise{words}", traces, "noise σ (state RMS = 1)", "puzzles solved")
    if "choice/clean" in run.metrics:
        figure.add_hline(run.metrics["choice/clean"], line={"color": INK, "width": 1, "dash": "dot"})
    places = sorted({x for rows in ordered.values() for x, _ in rows})
    yield figure.update_xaxes(type="log", tickvals=places, ticktext=[f"{x:g}" for x in places])


TAB = Tab(
    "selection", "Selection", "python analysis/qhead_stability.py --run RUN_ID", figures,
    picker=Picker("Studies", lambda selection: list(studies(selection)), f"the newest {MOST}"),
)  # fmt: skip

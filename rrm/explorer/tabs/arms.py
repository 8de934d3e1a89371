"""Arms of sweeps: what each reaches over its seeds, and its difference from the baseline of its model."""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from plotly.graph_objects import Figure

from rrm.explorer.palette import colours_of
from rrm.explorer.runs import GROKKED_STEP
from rrm.explorer.selection import Selection
from rrm.explorer.tabs.forest import ROW, Row, forest, is_end, metric_name, named, rows_upwards, with_interval
from rrm.explorer.tabs.style import escape, plain_figure
from rrm.explorer.tabs.tab import Tab
from rrm.explorer.view import View
from rrm.tracking.reader import Run

HEAD = "arms/"
# The metric of a trial behind each measure that arms are compared in, see `rrm.statistics.arms.MEASURES`.
OF_TRIALS: Mapping[str, str] = {
    "peak": "test/best_exact", "final": "test/final_exact", "final_at_halting": "test/final_exact_at_halting",
    "area": "validation/area",
}  # fmt: skip
# What arms of a table of modular arithmetic reach, which have no baseline.
_REACHED = {"test/accuracy": "test accuracy", GROKKED_STEP: "step of grokking"}
_TITLES = {
    "peak": "accuracy of the best weights", "final": "accuracy of the last weights", "area": "mean of the curve",
    "final_at_halting": "accuracy of the last weights, at halting",
}  # fmt: skip


def figures(selection: Selection, view: View) -> list[Figure]:
    """Differences of arms with intervals and seeds by sweep, then what every arm reaches, a point a seed."""
    trials = [run for run in selection.runs if "rrm.arm" in run.tags]
    sweeps = [run for run in selection.jobs if any(name.startswith(HEAD) for name in run.metrics)]
    drawn = []
    for run in sweeps:
        of_sweep = [trial for trial in trials if trial.group == run.group]
        for measure, rows in _differences(run, of_sweep).items():
            title = named(run, sweeps, f"{measure.replace('_', ' ')}, difference from the baseline")
            what = "paired difference, 95 % interval"
            drawn.append(forest(title, rows, what, view, none_at=0.0, points="single seeds"))
    jobs = list(dict.fromkeys(trial.group for trial in trials))
    for job in jobs:
        for name, title in {**{name: _TITLES[key] for key, name in OF_TRIALS.items()}, **_REACHED}.items():
            mine = [
                trial for trial in trials if trial.group == job and math.isfinite(trial.metrics.get(name, math.nan))
            ]
            if len({(trial.tags.get("rrm.model"), trial.tags["rrm.arm"]) for trial in mine}) > 1:
                drawn.append(_reached(f"{job}: {title}" if len(jobs) > 1 else title, mine, name, view))
    return drawn


def _differences(run: Run, trials: Sequence[Run]) -> dict[str, list[Row]]:
    """By measure, a row an arm."""
    found: dict[str, list[Row]] = {}
    for name in run.metrics:
        subject, _, measure = name.removeprefix(HEAD).rpartition("/")
        row = with_interval(run.metrics, name, subject)
        if name.startswith(HEAD) and not is_end(name, run.metrics) and math.isfinite(row.low + row.high):
            points = tuple(_paired(subject, OF_TRIALS.get(measure, ""), trials))
            found.setdefault(measure, []).append(Row(subject, row.value, row.low, row.high, points))
    return found


def _paired(subject: str, metric: str, trials: Sequence[Run]) -> Iterator[float]:
    """Differences of the arm from the baseline of its model, of the seeds that have both."""
    arm: dict[str, float] = {}
    baseline: dict[str, float] = {}
    for trial in trials:
        model = trial.tags.get("rrm.model", "")
        if metric in trial.metrics and subject.startswith(metric_name(f"{model}/")):
            seed = trial.tags.get("rrm.seed", "")
            if _is_baseline(trial):
                baseline[seed] = trial.metrics[metric]
            if metric_name(f"{model}/{trial.tags['rrm.arm']}") == subject:
                arm[seed] = trial.metrics[metric]
    yield from (arm[seed] - baseline[seed] for seed in arm if seed in baseline)


def _is_baseline(trial: Run) -> bool:
    return trial.tags.get("rrm.baseline") == "True"


def _reached(title: str, trials: Sequence[Run], name: str, view: View) -> Figure:
    """A row an arm: its seeds, and their median; rows of baselines say so, and have another mark."""
    arms: dict[str, list[Run]] = {}
    for trial in trials:
        arms.setdefault(", ".join(filter(None, [trial.tags.get("rrm.model"), trial.tags["rrm.arm"]])), []).append(trial)
    seeds, base = colours_of(2, view.dark)
    traces = []
    for baseline, word, colour, symbol in ((True, "baseline", base, "diamond"), (False, "arm", seeds, "circle")):
        mine = {arm: of for arm, of in arms.items() if _is_baseline(of[0]) == baseline}
        if not mine:
            continue
        points = [(arm, one.metrics[name], one.tags.get("rrm.seed", "")) for arm, of in mine.items() for one in of]
        medians = [(arm, float(np.median([one.metrics[name] for one in of])), len(of)) for arm, of in mine.items()]
        for what, of, size, shape in (("seeds", points, 5, f"{symbol}-open"), ("median", medians, 9, symbol)):
            traces.append({
                "type": "scatter", "mode": "markers", "meta": "points", "y": [escape(arm) for arm, *_ in of],
                "x": [value for _, value, _ in of], "marker": {"color": colour, "size": size, "symbol": shape},
                "customdata": [str(last) for *_, last in of], "name": f"{word}, {what}",
                "hovertemplate": "%{x:.4g}, "
                + ("seed %{customdata}" if what == "seeds" else "median of %{customdata}") + "<extra>%{y}</extra>",
            })  # fmt: skip
    figure = plain_figure(title, traces, name, height=max(320, 130 + ROW * len(arms)))
    rows_upwards(figure)
    return figure.update_yaxes(categoryorder="array", categoryarray=[escape(arm) for arm in arms])


TAB = Tab("arms", "Arms", "python tune_specs/perturb_sweep.py", figures)

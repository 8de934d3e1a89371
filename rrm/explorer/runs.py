"""The table of runs: its columns, which runs fit, and how each has come out."""

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rrm.explorer.view import SHORT, View
from rrm.panels import GROKKED, MEMORISED
from rrm.tracking.reader import Run

# The accuracy of a run: the first of these metrics that it has.
ACCURACIES = ("test/best_exact", "test/accuracy", "validation/best_exact", "validation/exact", "best/exact")
TRAIN_ACCURACY, GROKKED_STEP = "train/accuracy", "grokking/grokked_step"
_TRAINED = ("train/", "validation/", "probe/")  # series that a training alone has
MOST_VARIED = 6  # columns of settings at most

# Outcomes by the word that the table says: a colour alone would say nothing to the colour-blind.
RUNNING, BROKEN, HIGH, MIDDLE, LOW, MEMORY, UNKNOWN = (
    "running", "broken off", "solves", "in part", "fails", "memorises", ""
)  # fmt: skip
_CONDITION = re.compile(r"^([^\s<>=!]+)(!=|<=|>=|=|<|>)(.*)$")


@dataclass(frozen=True)
class Column:
    """A column of the table: its key, its heading, and whether its cells are numbers."""

    key: str
    title: str
    number: bool = False


def short(run: Run) -> str:
    """The run in an address."""
    return run.id[:SHORT] if "/" not in run.id else run.id


def settings(run: Run) -> dict[str, str]:
    """Whatever a run can be grouped and found by: job, kind, model, arm, ... and its parameters."""
    own = {"job": run.group, "kind": run.kind, "role": run.role, "status": run.status.lower(), "name": run.name}
    tagged = {name: run.tags[f"rrm.{name}"] for name in ("model", "arm", "seed") if f"rrm.{name}" in run.tags}
    return {**run.params, **tagged, **own}


def accuracy(run: Run) -> float:
    """The last accuracy that says how well a run does; nan where it has none."""
    return next((run.metrics[name] for name in ACCURACIES if name in run.metrics), math.nan)


def outcome(run: Run) -> str:
    """How a run has come out, in a word."""
    reached = accuracy(run)
    if run.status in ("FAILED", "KILLED"):
        return BROKEN
    if run.status in ("RUNNING", "SCHEDULED"):
        return RUNNING
    if math.isnan(reached):
        return UNKNOWN
    if reached >= GROKKED:
        return HIGH
    if run.metrics.get(TRAIN_ACCURACY, 0) >= MEMORISED:
        return MEMORY
    return MIDDLE if reached >= 0.5 else LOW


def matches(run: Run, text: str) -> bool:
    """Whether a run fits all words and conditions.

    A word is part of the run's job, name, model, arm, kind, status or outcome. A condition is about a setting or a
    metric: `sigma=0.1`, `model!=hrm`, `weight_decay>=1`, `test/accuracy>0.5`; quotes keep a value with spaces together.
    """
    try:
        parts = shlex.split(text)
    except ValueError:  # a quote that is not closed yet
        parts = text.split()
    own = settings(run)
    words = " ".join(own.get(name, "") for name in ("job", "name", "model", "arm", "kind", "status", "role"))
    words = f"{words} {outcome(run)} {run.id}".lower()
    return all(_holds(run, own, *found.groups()) if (found := _CONDITION.match(part)) else part.lower() in words
               for part in parts)  # fmt: skip


def _holds(run: Run, own: Mapping[str, str], name: str, sign: str, wanted: str) -> bool:
    value = own.get(name, run.metrics.get(name))
    if value is None:
        return False
    try:
        one, other = float(value), float(wanted)
    except ValueError:
        return {"=": str(value) == wanted, "!=": str(value) != wanted}.get(sign, False)
    return {"=": one == other, "!=": one != other, "<": one < other, ">": one > other,
            "<=": one <= other, ">=": one >= other}[sign]  # fmt: skip


def shown(runs: Sequence[Run], view: View) -> list[Run]:
    """The runs that fit the view, whether chosen or not."""
    return [run for run in runs if (not view.jobs or run.group in view.jobs) and matches(run, view.find)]


def chosen(runs: Sequence[Run], view: View) -> list[Run]:
    """The runs to draw: those that were chosen and fit, or all trainings that fit where none was chosen."""
    return [run for run in shown(runs, view) if (short(run) in view.runs if view.runs else is_training(run))]


def is_training(run: Run) -> bool:
    """Whether a run is a training; the others are those of whole sweeps and studies."""
    return run.role == "trial" or any(name.startswith(_TRAINED) for name in run.metrics)


def varied(runs: Sequence[Run]) -> list[str]:
    """Names of parameters in which runs differ, those that another follows from left out, in their order.

    Jobs and their runs have other parameters each, so the children are compared where there are some.
    """
    runs = [run for run in runs if run.parent] or runs
    names = dict.fromkeys(name for run in runs for name in run.params if not name.startswith("recipe."))
    found = [name for name in names if len({run.params.get(name) for run in runs}) > 1]
    return [name for name in found if name not in ("trial", "model", "seed", "arm")]


def columns(runs: Sequence[Run]) -> list[Column]:
    """The columns for these runs: those of all runs, and the parameters in which they differ."""
    own = [settings(run) for run in runs]
    named = [Column(name, name, name == "seed") for name in ("model", "arm", "seed") if any(name in of for of in own)]
    grokked = [Column(GROKKED_STEP, "grokked at step", True)] * any(GROKKED_STEP in run.metrics for run in runs)
    return [
        Column("name", "run"),
        Column("job", "job"),
        Column("outcome", "outcome"),
        Column("accuracy", "accuracy %", True),
        *grokked,
        *named,
        *(Column(name, name) for name in varied(runs)[:MOST_VARIED]),
        Column("started", "started"),
        Column("minutes", "minutes", True),
    ]


def cell(run: Run, key: str) -> str:
    """The text of a cell."""
    if key == "outcome":
        return outcome(run)
    if key == "accuracy":
        return "" if math.isnan(reached := accuracy(run)) else f"{100 * reached:.1f}"
    if key == "started":
        return datetime.fromtimestamp(run.started).strftime("%Y-%m-%d %H:%M") if run.started else ""
    if key == "minutes":
        return "" if run.started is None or run.ended is None else f"{(run.ended - run.started) / 60:.1f}"
    if key in run.metrics:
        return f"{run.metrics[key]:g}"
    return settings(run).get(key, "")


def ordered(runs: Sequence[Run], sort: str) -> list[Run]:
    """The runs in the order of a column, numbers before text and empty cells last; as they come for no column."""
    key = sort.removeprefix("-")
    if not key:
        return list(runs)
    filled = [run for run in runs if cell(run, key)]
    empty = [run for run in runs if not cell(run, key)]
    return sorted(filled, key=lambda run: _order(cell(run, key)), reverse=sort.startswith("-")) + empty


def _order(text: str) -> tuple[bool, float, str]:
    try:
        return False, float(text), ""
    except ValueError:
        return True, 0.0, text

"""What a sweep of trainings on a table says: steps until runs grok, by arm, with those that never do."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from rrm.curves import curve_path, read_curves
from rrm.figures.grokking_history import history_figure
from rrm.figures.grokking_survival import grokking_survival
from rrm.jobs.record import TrialRecord
from rrm.panels import HISTORIES
from rrm.statistics.events import TEST_ACCURACY
from rrm.statistics.grok_times import LEAST_SEEDS, GrokTimes, compare_times, grok_table
from rrm.statistics.training_runs import TrainingRun, TrainingRuns
from rrm.studies.sweep_run import SweepRun
from rrm.terminal.table import markdown_table, table

DEPTH = "gates/effective_depth"


def grokking(run: SweepRun) -> None:
    """Read the curves of all trials, and write survival table, comparisons and figures into the report."""
    runs, said = training_runs(run), run.report
    times = runs.grok_times()
    rows = [row | _last_values(runs, row["arm"]) for row in grok_table(times)]
    compared = compare_times(list(_neighbours(run.trials, times)))
    told = [one.sentence() for one in compared if one.enough]
    if len(told) < len(compared):
        seeds = min(arm.n for arm in times)
        told.append(f"No verdict between arms of {seeds} seed{'s' * (seeds > 1)}: it takes {LEAST_SEEDS} of each.")
    said.tables["steps until the test pairs are known, over seeds; > is censored"] = table(rows)
    said.tables["runs"] = table(runs.summary())
    said.sentences += [*[arm.words() + "." for arm in times], *told, run.spec.matching]
    said.note = "\n\n".join([markdown_table(rows), *said.sentences])
    said.figures["grokking_survival"] = grokking_survival(times)
    for name, panels in HISTORIES.items():
        if figure := history_figure(runs, panels):
            said.figures[f"grokking_{name}"] = figure
    said.compared_by = TEST_ACCURACY
    if lost := [trial.name for trial in run.everyone if not trial.checkpoint]:
        said.lines.append(f"without a checkpoint: {', '.join(lost)}")
    for trial, of in zip(run.trials, runs, strict=True):
        final = {run.spec.score: of.number(TEST_ACCURACY)}
        run.scores[trial.name] = {"best": final, "final": final}


def training_runs(run: SweepRun) -> TrainingRuns:
    """The trials with a checkpoint and their curves, from the folder of the sweep."""
    return TrainingRuns(
        [
            TrainingRun(
                trial.name,
                trial.model,
                trial.arm.name,
                trial.config["seed"],
                {name: str(value) for name, value in trial.arm.settings.items()},
                read_curves(curve_path(run.folder.path, trial.name)),
            )
            for trial in run.trials
        ]
    )


def _neighbours(trials: Sequence[TrialRecord], times: Sequence[GrokTimes]) -> Iterator[tuple[GrokTimes, GrokTimes]]:
    """Pairs of arms of one model that differ in one setting."""
    settings = {", ".join((trial.model, trial.arm.name)): (trial.model, trial.arm.settings) for trial in trials}
    for one, other in itertools.combinations(times, 2):
        (model, mine), (same, others) = settings[one.arm], settings[other.arm]
        if model == same and sum(mine[name] != others.get(name) for name in mine) == 1:
            yield one, other


def _last_values(runs: TrainingRuns, arm: str) -> dict[str, str]:
    """Medians over the runs of an arm, at their last steps."""
    of_arm = [run for run in runs if run.label == arm]
    found = {"test %": f"{100 * np.median([run.number(TEST_ACCURACY) for run in of_arm]):.1f}"}
    if any(DEPTH in run.curves for run in of_arm):
        found["effective depth"] = f"{np.median([run.number(DEPTH) for run in of_arm]):.2f}"
    return found

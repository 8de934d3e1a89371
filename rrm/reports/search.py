"""The report on a search: importance of its axes, the trials in them, and the front of several objectives."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from rrm.jobs.objectives import SearchObjective
from rrm.jobs.record import TrialRecord
from rrm.reports.importance import axis_importance
from rrm.reports.pareto import front_sentence, pareto_front
from rrm.statistics.axes import AxisImportance, importance_sentence


@dataclass(frozen=True)
class SearchFindings:
    """Findings on the drawn trials of a search.

    Attributes:
        drawn, baselines: configuration and exact accuracy on validation (a fraction) of each trial.
        importances: of the axes, empty where the trials are too few.
        front: names of the trials on the Pareto front; empty with a single objective.
        sentences: the findings in words.
    """

    drawn: list[tuple[dict, float]]
    baselines: list[tuple[dict, float]]
    importances: list[AxisImportance]
    front: list[str]
    sentences: list[str]

    def figures(self) -> dict[str, Figure]:
        """By name of the file."""
        from rrm.figures.importance import importance_figure
        from rrm.figures.parallel_coordinates import parallel_coordinates

        figures = {"search_parallel_coordinates": parallel_coordinates(self.drawn, self.baselines)}
        if self.importances:
            figures["search_importance"] = importance_figure(self.importances)
        return figures

    def metrics(self) -> dict[str, float]:
        """Importances and their p-values."""
        named = {f"importance/{axis.name}": axis.importance for axis in self.importances}
        return named | {f"importance/{axis.name}_p": axis.p_value for axis in self.importances}


def search_findings(
    trials: Sequence[TrialRecord], objectives: Mapping[str, SearchObjective], seed: int, score: str = "exact"
) -> SearchFindings | None:
    """The findings of a search; None where no configuration was drawn.

    Args:
        objectives: that the search optimised, by name; axes are judged by the first of them, as the difference from the
            baseline of the model type: what a type reaches at its budget says nothing about its interventions.
        seed: of the null of the importances.
        score: name of the score on validation that figures show.
    """
    drawn = [t for t in trials if t.drawn]
    if not drawn:
        return None
    first = next(iter(objectives))
    importances = axis_importance(_gains(trials, first, objectives[first].mode), seed)
    sentences, front = [importance_sentence(importances, len(drawn), len(trials))], []
    if len(objectives) > 1:
        values = [tuple(_known(t.objectives[name]) for name in objectives) for t in trials]
        front = [trials[i].name for i in pareto_front(values, objectives)]
        sentences.append(front_sentence([t.name for t in trials], values, objectives))
    accuracies = [(t.config, t.best[score]) for t in drawn]
    fixed = [(t.config, t.best[score]) for t in trials if not t.drawn]
    return SearchFindings(accuracies, fixed, importances, front, sentences)


def _gains(trials: Sequence[TrialRecord], objective: str, mode: str) -> list[tuple[dict, float]]:
    """(configuration, how much better than its baseline, nan where one is missing) of the drawn trials."""
    sign = 1 if mode == "max" else -1
    baselines = {t.group: _known(t.objectives[objective]) for t in reversed(trials) if t.arm.baseline}
    return [
        (t.config, sign * (_known(t.objectives[objective]) - baselines.get(t.group, math.nan if baselines else 0.0)))
        for t in trials
        if t.drawn
    ]


def _known(value: float | None) -> float:
    return math.nan if value is None else value

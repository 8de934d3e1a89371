"""What a search says of its axes: which go with success, where the trials lay, and the front of several objectives."""

from dataclasses import dataclass
from pathlib import Path

from rrm.reports.importance import axis_importance
from rrm.reports.pareto import front_sentence, pareto_front
from rrm.statistics.axes import AxisImportance, importance_sentence


@dataclass(frozen=True)
class SearchFindings:
    """About the drawn trials of a search.

    Attributes:
        drawn, baselines: configuration and exact accuracy on validation (a fraction) of each trial.
        importances: of the axes, empty where the trials are too few.
        front: names of the trials on the Pareto front; empty with a single objective.
        sentences: all of this in words.
    """

    drawn: list[tuple[dict, float]]
    baselines: list[tuple[dict, float]]
    importances: list[AxisImportance]
    front: list[str]
    sentences: list[str]

    def draw(self, folder: Path) -> list[Path]:
        """The figures as PNG files."""
        from rrm.figures import save
        from rrm.figures.importance import importance_figure
        from rrm.figures.parallel_coordinates import parallel_coordinates

        figures = {"search_parallel_coordinates.png": parallel_coordinates(self.drawn, self.baselines)}
        if self.importances:
            figures["search_importance.png"] = importance_figure(self.importances)
        for name, figure in figures.items():
            save(figure, folder / name)
        return [folder / name for name in figures]

    def metrics(self) -> dict[str, float]:
        """Importances and their p-values."""
        named = {f"importance/{axis.name}": axis.importance for axis in self.importances}
        return named | {f"importance/{axis.name}_p": axis.p_value for axis in self.importances}


def search_findings(trials: list[dict], objectives: list[str], seed: int) -> SearchFindings | None:
    """What the trials of a search (records as of `rrm.cluster.phase`) say; None where nothing was drawn."""
    drawn = [t for t in trials if t["drawn"]]
    if not drawn:
        return None
    importances = axis_importance([(t["config"], t["objectives"]["accuracy"]) for t in drawn], seed)
    sentences, front = [importance_sentence(importances, len(drawn), len(trials))], []
    if len(objectives) > 1:
        values = [tuple(t["objectives"][name] for name in objectives) for t in trials]
        front = [trials[i]["name"] for i in pareto_front(values, objectives)]
        sentences.append(front_sentence([t["name"] for t in trials], values, objectives))
    accuracies = [(t["config"], t["best"]["exact"]) for t in drawn]
    fixed = [(t["config"], t["best"]["exact"]) for t in trials if not t["drawn"]]
    return SearchFindings(accuracies, fixed, importances, front, sentences)

"""A running sweep: its parts, and the results of its stages so far."""

from argparse import Namespace
from dataclasses import dataclass, field

from rrm.cluster.capacity import Request
from rrm.dynamics import LyapunovResult
from rrm.jobs.folder import JobFolder
from rrm.jobs.objectives import SearchObjective
from rrm.jobs.recipes import Recipes
from rrm.jobs.record import TrialRecord, choose
from rrm.jobs.spec import Preset, SweepSpec
from rrm.reports.report import Report
from rrm.reports.search import SearchFindings
from rrm.statistics import OutcomePanel, SweepPoint
from rrm.statistics.arms import ArmComparison
from rrm.tasks.splits import Splits
from rrm.tracking import Tracker


@dataclass
class SweepRun:
    """The argument of every stage, which reads from it and writes its results into it.

    Attributes:
        spec, args, preset: specification, options and budget of the sweep.
        record: sweep.json, the record of its start.
        folder, tracker: its folder and its runs in MLflow.
        splits: the sets of puzzles, by key (`rrm.jobs.data.DataKeys`).
        recipes: the recipe of each trial.
        resources: resources of the cluster.
        request, at_once: resources of a trial, and how many trials the cluster holds.
        searched, repeated: the trials of the search or grid, and those on fresh seeds.
        parent: id of the sweep's run.
        work_s: seconds that tasks have worked since this command was started, training not included.

        scores: of the best and final weights of each trial: on its test puzzles, or where its objective brought its own
            data on the validation data.
        results, panels: Lyapunov spectra of the measured trials, by name.
        points, compared: one point a trial, and arms against their baseline.
        search: the findings of a search on its axes; None without a search.
        report: tables, sentences, figures, metrics and files of the sweep.
    """

    spec: SweepSpec
    args: Namespace
    preset: Preset
    record: dict
    folder: JobFolder
    tracker: Tracker
    splits: dict[str, Splits]
    recipes: Recipes
    resources: dict[str, float]
    request: Request
    at_once: int
    searched: list[TrialRecord] = field(default_factory=list)
    repeated: list[TrialRecord] = field(default_factory=list)
    parent: str = ""
    work_s: float = 0.0
    scores: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    results: dict[str, LyapunovResult] = field(default_factory=dict)
    panels: dict[str, OutcomePanel] = field(default_factory=dict)
    points: list[SweepPoint] = field(default_factory=list)
    compared: list[ArmComparison] = field(default_factory=list)
    search: SearchFindings | None = None
    report: Report = field(default_factory=Report)

    @property
    def objectives(self) -> dict[str, SearchObjective]:
        """The objectives of the search, by name."""
        return {name: self.spec.objectives[name] for name in self.args.objectives}

    @property
    def everyone(self) -> list[TrialRecord]:
        """All trials, those without a checkpoint included."""
        return self.searched + self.repeated

    @property
    def trials(self) -> list[TrialRecord]:
        """The trials with a checkpoint."""
        return [trial for trial in self.everyone if trial.checkpoint]

    @property
    def chosen_from(self) -> list[TrialRecord]:
        """The trials of the search or grid with a checkpoint."""
        return [trial for trial in self.searched if trial.checkpoint]

    @property
    def best(self) -> TrialRecord:
        """The best trial of the search or grid on validation."""
        return choose(self.chosen_from)

    @property
    def analysis(self) -> Request:
        """Resources of a task of the analysis: of each GPU a quarter."""
        return Request(gpus=self.request.gpus / 4)

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of test puzzles by key of the data."""
        return {key: len(splits.test) for key, splits in self.splits.items()}

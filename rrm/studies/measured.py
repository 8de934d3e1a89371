"""The trials of a sweep that are measured, and their Lyapunov spectra."""

import json
from collections.abc import Mapping

from rrm import __version__
from rrm.cluster.capacity import Request
from rrm.cluster.fanout import device_of, measure_in_shards, plan_batch
from rrm.dynamics import LyapunovResult, Settings, default_transient, load_result
from rrm.jobs.folder import JobFolder
from rrm.jobs.record import TrialRecord, choose
from rrm.models import recursive
from rrm.reports.arms import Scores
from rrm.statistics.outcomes import MIN_CLASS
from rrm.tasks import PuzzleSet
from rrm.terminal.progress import Bar
from rrm.tracking import Tracker
from rrm.training import checkpoint


def choose_measured(
    trials: list[TrialRecord], scores: Scores, counts: Mapping[str, int], score: str = "exact"
) -> list[TrialRecord]:
    """The trials whose stability is measured on their test puzzles, in their order.

    These are the best trial, the baseline and the best other arm of its model type, and the baselines of the other
    types that solve some puzzles and fail at some (with a single outcome there is nothing to compare). Of a grid with
    several training seeds the first seed counts.

    Args:
        scores: of every trial, of which `score` is the share of puzzles that are solved.
        counts: numbers of test puzzles by key of the data.
    """
    trials = [t for t in trials if t.config["seed"] == trials[0].config["seed"]]
    best = choose(trials)
    others = [t for t in trials if t.group == best.group and not t.arm.baseline]
    rival = choose(others) if others else None

    def wanted(trial: TrialRecord) -> bool:
        if not trial.arm.baseline:
            return trial is best or trial is rival
        count = counts[trial.data or ""]
        solved = round(scores[trial.name]["best"][score] * count)
        return trial.group == best.group or MIN_CLASS <= solved <= count - MIN_CLASS

    return [t for t in trials if wanted(t)]


def measure_trials(
    folder: JobFolder,
    trials: list[TrialRecord],
    tests: Mapping[str, PuzzleSet],
    provenance: dict[str, str],
    resources: dict[str, float],
    request: Request,
    k: int,
) -> tuple[dict[str, LyapunovResult], float]:
    """Spectra of each trial's best weights on its test puzzles, and the seconds of work that they took.

    `tests`: the puzzles by key.  `k`: exponents per puzzle.
    """
    bar = Bar("Lyapunov spectra", sum(len(tests[trial.data or ""]) for trial in trials))
    work, results = 0.0, {}

    def progress(rows: int, seconds: float) -> None:
        nonlocal work
        work += seconds
        bar.advance(rows, before=not seconds)

    for trial in trials:
        weights, test = folder.path / str(trial.checkpoint), tests[trial.data or ""]
        model = recursive(checkpoint.load_model(weights, "best"), "a Lyapunov spectrum")
        settings = Settings(
            k=k,
            segments=trial.best["segments"],
            calls_per_segment=len(model.segment_calls),
            seed=0,
            precision="float32",
            model=json.dumps(trial.best["model"], sort_keys=True),
            task=test.task,
            checkpoint_hash=checkpoint.weights_hash(weights, "best"),
            data_hash=test.content_hash(),
            transient=default_transient(trial.best["segments"]),
            batch=plan_batch(model, k, len(test), resources, request),
            device=device_of(request),
        )
        shards, target = folder.path / "lyapunov" / trial.name, folder.spectra(trial.name)
        names = provenance | {"trial": trial.name, "label": trial.label}
        measure_in_shards(model, test, settings, shards, target, names, resources, request, progress)
        results[trial.name] = load_result(target)
    return results, work


def provenance(tracker: Tracker, record: dict) -> dict[str, str]:
    """Names of the runs, store and commit that made a result file."""
    return {
        "rrm": __version__,
        "git_commit": record["git_commit"],
        "sweep": tracker.job,
        "sweep_run": tracker.run("sweep", tracker.job),
        "tracking_uri": tracker.uri,
        "weights": "best",
    }

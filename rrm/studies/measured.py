"""Which trials of a sweep are measured, and their Lyapunov spectra."""

import json

from rrm import __version__
from rrm.cluster.fanout import device_of, measure_in_shards, plan_batch
from rrm.cluster.session import Request
from rrm.dynamics import LyapunovResult, Settings, default_transient, load_result
from rrm.jobs.folder import JobFolder
from rrm.models import recursive
from rrm.reports.perturbation import choose, is_baseline, label, result_path
from rrm.statistics.outcomes import MIN_CLASS
from rrm.tasks.splits import Splits
from rrm.terminal.progress import Bar
from rrm.tracking import Tracker
from rrm.training import checkpoint

K = 8  # exponents per puzzle


def choose_measured(trials: list[dict], scores: dict, count: int) -> list[dict]:
    """The trials whose stability is measured on `count` test puzzles, in their order.

    The best trial, the baseline and the best other arm of its model type, and of the other types the baselines that
    solve some puzzles and fail at some: where there is one outcome only, nothing can be compared. Of the training seeds
    of a grid the first one.
    """
    trials = [t for t in trials if t["config"]["seed"] == trials[0]["config"]["seed"]]
    best = choose(trials)
    others = [t for t in trials if t["config"]["model"] == best["config"]["model"] and not is_baseline(t)]
    rival = choose(others) if others else None

    def wanted(trial: dict) -> bool:
        if not is_baseline(trial):
            return trial is best or trial is rival
        solved = round(scores[trial["name"]]["best"]["exact"] * count)
        return trial["config"]["model"] == best["config"]["model"] or MIN_CLASS <= solved <= count - MIN_CLASS

    return [t for t in trials if wanted(t)]


def measure_trials(
    folder: JobFolder, trials: list[dict], splits: Splits, provenance: dict, resources: dict, request: Request
) -> tuple[dict[str, LyapunovResult], float]:
    """Stability of each trial's best weights on the test puzzles, and the seconds of work it took now."""
    bar, work, results = Bar("Lyapunov spectra", len(trials) * len(splits.test)), 0.0, {}

    def progress(rows: int, seconds: float) -> None:
        nonlocal work
        work += seconds
        bar.advance(rows, before=not seconds)

    for trial in trials:
        weights = folder.path / trial["checkpoint"]
        model = recursive(checkpoint.load_model(weights, "best"), "a Lyapunov spectrum")
        settings = Settings(
            k=K,
            segments=trial["best"]["segments"],
            calls_per_segment=len(model.segment_calls),
            seed=0,
            precision="float32",
            model=json.dumps(trial["best"]["model"], sort_keys=True),
            task=splits.test.task,
            checkpoint_hash=checkpoint.weights_hash(weights, "best"),
            data_hash=splits.test.content_hash(),
            transient=default_transient(trial["best"]["segments"]),
            batch=plan_batch(model, K, resources, request),
            device=device_of(request),
        )
        shards, target = folder.path / "lyapunov" / trial["name"], result_path(folder, trial)
        names = provenance | {"trial": trial["name"], "label": label(trial)}
        measure_in_shards(model, splits.test, settings, shards, target, names, resources, request, progress)
        results[trial["name"]] = load_result(target)
    return results, work


def provenance(tracker: Tracker, record: dict) -> dict[str, str]:
    """Names that lead from a result file back to what made it."""
    return {
        "rrm": __version__,
        "git_commit": record["git_commit"],
        "sweep": tracker.job,
        "sweep_run": tracker.run("sweep", tracker.job),
        "tracking_uri": tracker.uri,
        "weights": "best",
    }

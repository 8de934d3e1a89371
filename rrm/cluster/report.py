"""After the trials: test scores, stability of the best and of the baselines, figures, findings, everything logged."""

import json
import math
from pathlib import Path

import numpy as np

from rrm import __version__
from rrm.cluster.callbacks import config_columns
from rrm.cluster.fanout import device_of, measure_in_shards, plan_batch
from rrm.cluster.folder import OUTCOMES, TEST_PUZZLES, JobFolder
from rrm.cluster.phase import Description
from rrm.cluster.progress import Bar, markdown_table, table, write_csv
from rrm.cluster.search_report import SearchFindings
from rrm.cluster.session import Request
from rrm.cluster.stability_report import evidence_sentences, examples
from rrm.cluster.study import interval_metrics
from rrm.dynamics import LyapunovResult, Settings, default_transient, load_result
from rrm.statistics import (
    OutcomePanel,
    SweepPoint,
    by_model,
    evidence,
    late_drift,
    perturbation_sentence,
    separation,
    separation_sentence,
)
from rrm.statistics.arms import ArmComparison, arm_sentences, arm_table
from rrm.statistics.outcomes import MIN_CLASS
from rrm.statistics.sweep import unpack_outcomes
from rrm.tasks import PuzzleSet
from rrm.tasks.splits import Splits
from rrm.tracking import Tracker
from rrm.training import checkpoint

K = 8  # exponents per puzzle


def choose(trials: list[dict]) -> dict:
    """The best trial, by exact accuracy on validation; ties go to the one with more right cells."""
    return max(trials, key=lambda t: (t["best"]["exact"], t["best"]["cells"]))


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


def is_baseline(trial: dict) -> bool:
    """Whether a trial is of the arm that all others of its model type are compared with."""
    return trial["arm"]["baseline"]


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
        model = checkpoint.load_model(weights, "best")
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


def result_path(folder: JobFolder, trial: dict) -> Path:
    """The result file of a trial."""
    return folder.path / "lyapunov" / f"{trial['name']}.safetensors"


def label(trial: dict) -> str:
    """How figures and sentences call a trial."""
    return f"{trial['config']['model']}, {trial['arm']['arm']}"


def panels(trials: list[dict], results: dict[str, LyapunovResult]) -> list[OutcomePanel]:
    """What Figs. 1 and 2 draw."""
    measured = [results[t["name"]] for t in trials]
    return [
        OutcomePanel.of_finite(r.provenance["label"], r.lambda_per_call, r.solved, late_drift(r.drift_H), r.finite)
        for r in measured
    ]


def points(trials: list[dict], scores: dict, count: int, outcomes: dict[str, bytes]) -> list[SweepPoint]:
    """One point a trial, for Fig. 3 and the comparison of arms; `outcomes`: of `read_outcomes`."""
    return [
        SweepPoint(
            model=t["config"]["model"], seed=t["config"]["seed"], drawn=t["drawn"], **t["arm"],
            best=scores[t["name"]]["best"]["exact"], final=scores[t["name"]]["final"]["exact"], n=count,
            validation=t["best"]["exact"], area=float(np.mean(t["curve"])), call_units=t["call_units"],
            stopped_early=t["stopped_early"],
            solved=unpack_outcomes(outcomes[t["name"]], count) if t["name"] in outcomes else None,
        )
        for t in trials
    ]  # fmt: skip


def draw(
    folder: JobFolder,
    outcome: list[OutcomePanel],
    arms: list[SweepPoint],
    compared: list[ArmComparison],
    search: SearchFindings | None,
) -> list[Path]:
    """Figs. 1 to 3, the differences between arms, and those of the search, as PNG files."""
    from rrm.figures import accuracy_against_sigma, arm_differences, lambda_distributions, leading_spectrum, save

    target = folder.path / "figures"
    target.mkdir(exist_ok=True)
    figures = {
        "fig1_lambda_distributions.png": lambda_distributions(outcome),
        "fig2_leading_spectrum.png": leading_spectrum(outcome),
        "fig3_accuracy_against_sigma.png": accuracy_against_sigma(arms),
    }
    if compared:
        figures["arm_differences.png"] = arm_differences(compared)
    for name, figure in figures.items():
        save(figure, target / name)
    return [target / name for name in figures] + (search.draw(target) if search else [])


def findings(
    outcome: list[OutcomePanel],
    results: dict[str, LyapunovResult],
    arms: list[SweepPoint],
    compared: list[ArmComparison],
    best: dict,
) -> list[str]:
    """Sentences: does lambda_1 separate outcomes for the best model, what does it add to the null scores on the same
    puzzles, and do arms differ from their baseline by more than seeds do.
    """
    repeated = [comparison for comparison in compared if len(comparison.seeds) > 1]
    model = best["config"]["model"]
    alone = model not in {comparison.model for comparison in repeated}
    panel = next(p for p in outcome if p.label == label(best))
    result = results[best["name"]]
    found = evidence(examples(result, np.flatnonzero(result.finite), {}))
    return [
        separation_sentence(panel),
        f"Exponents are {result.settings.basis}.",
        *evidence_sentences(label(best), found),
        *([perturbation_sentence(by_model(arms)[model])] if alone else []),
        *arm_sentences(repeated),
    ]


def summary_table(trials: list[dict], scores: dict) -> list[str]:
    """One line per trial; accuracies in per cent."""
    rows = []
    for t in trials:
        score = scores[t["name"]]
        rows.append(
            {"trial": t["name"], **config_columns(t["config"])}
            | {
                "status": "failed" if t["failed"] else "stopped" if t["stopped_early"] else "done",
                "steps": str(t["final"]["step"]),
                "validation best %": f"{100 * t['best']['exact']:.1f}",
                "test best %": f"{100 * score['best']['exact']:.1f}",
                "test final %": f"{100 * score['final']['exact']:.1f}",
                "cells %": f"{100 * score['best']['cells']:.1f}",
                "train s": f"{t['seconds']['train'] + t['seconds']['evaluate']:.0f}",
            }
        )
    return table(rows)


def log_report(
    tracker: Tracker,
    folder: JobFolder,
    trials: list[dict],
    scores: dict,
    outcome: list[OutcomePanel],
    measured: list[dict],
    figures: list[Path],
    sentences: list[str],
    compared: list[ArmComparison],
    search: SearchFindings | None,
    best: dict,
    describe: Description,
) -> None:
    """Test scores, checkpoints and result files into the trials' runs; figures and findings into the sweep's."""
    by_name = {t["name"]: panel for t, panel in zip(measured, outcome, strict=True)}
    count = len(PuzzleSet.load(folder.path / TEST_PUZZLES))
    for trial in trials:
        run = tracker.run("trial", trial["name"], *describe(trial["config"]))
        values = {
            f"test/{which}_{name}": value
            for which in checkpoint.WEIGHTS
            for name, value in scores[trial["name"]][which].items()
            if name != "seconds"
        }
        source = folder.path / trial["checkpoint"]
        for name in ("checkpoint.json", "best.safetensors", "final.safetensors"):
            tracker.artifact(run, source / name, "checkpoint")
        tags = {
            "rrm.checkpoint_hash": checkpoint.weights_hash(source, "best"),
            "rrm.test_puzzles": count,
            "rrm.drawn": trial["drawn"],
        }
        tracker.tags(run, tags | {"rrm.stopped_early": trial["stopped_early"]})
        if panel := by_name.get(trial["name"]):
            values |= stability_metrics(panel)
            tracker.artifact(run, result_path(folder, trial), "lyapunov")
        tracker.summary(run, values)
        tracker.finish(run, "FAILED" if trial["failed"] else "FINISHED")

    parent = tracker.run("sweep", tracker.job)
    for figure in figures:
        tracker.artifact(parent, figure, "figures")
    for trial in measured:
        tracker.artifact(parent, result_path(folder, trial), "lyapunov")
    for name in ("sweep.json", "trials.json", "scores.json"):
        tracker.artifact(parent, folder.path / name)
    if (folder.path / OUTCOMES).exists():  # a sweep that an older rrm has scored has none
        tracker.artifact(parent, folder.path / OUTCOMES, OUTCOMES)
    tracker.artifact(parent, folder.path / TEST_PUZZLES, "puzzles")
    values = {f"best/{name}": value for name, value in scores[best["name"]]["best"].items()}
    for comparison in compared:
        values |= comparison_metrics(comparison)
    tracker.summary(parent, values | (search.metrics() if search else {}))
    if search and search.front:
        tracker.tags(parent, {"rrm.pareto_front": ", ".join(search.front)})
    rows = arm_table(compared)
    if rows:
        write_csv(rows, folder.path / "arms.csv")
        tracker.artifact(parent, folder.path / "arms.csv")
    note = "\n\n".join([*([markdown_table(rows)] if rows else []), *sentences])
    tracker.tags(parent, {"rrm.best_trial": best["name"], "mlflow.note.content": note})


def comparison_metrics(comparison: ArmComparison) -> dict[str, float]:
    """The differences of an arm from its baseline, with their intervals, as metrics (fractions)."""
    values = {}
    for measure, contrast in comparison.contrasts.items():
        values |= interval_metrics(f"arms/{comparison.model}/{comparison.arm}/{measure}", contrast.difference)
    return values


def stability_metrics(panel: OutcomePanel) -> dict[str, float]:
    """The numbers of Fig. 1 as metrics; nan where a class is too small to say."""
    lambda_1, drift = panel.lambda_spectrum[:, 0], panel.late_drift
    values = {}
    for outcome, rows in (("solved", panel.solved), ("failed", ~panel.solved)):
        values[f"lyapunov/lambda_1_{outcome}_median"] = float(np.median(lambda_1[rows])) if rows.any() else math.nan
        values[f"lyapunov/late_drift_{outcome}_median"] = float(np.median(drift[rows])) if rows.any() else math.nan
    if found := separation(panel):
        for name, interval in (("lambda_1", found.lambda_1), ("late_drift", found.late_drift)):
            values[f"lyapunov/auc_{name}"] = interval.estimate
            values[f"lyapunov/auc_{name}_low"], values[f"lyapunov/auc_{name}_high"] = interval.low, interval.high
    return values


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

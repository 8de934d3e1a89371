"""After the trials: test scores, stability of the best and of the baselines, figures, findings, everything logged."""

import math
from pathlib import Path

import numpy as np

from rrm.dynamics import LyapunovResult
from rrm.jobs.folder import JobFolder
from rrm.jobs.naming import config_columns
from rrm.reports.metrics import interval_metrics
from rrm.reports.search import SearchFindings
from rrm.reports.stability import evidence_sentences, examples
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
from rrm.statistics.arms import ArmComparison, arm_sentences
from rrm.statistics.sweep import unpack_outcomes
from rrm.terminal.table import table


def choose(trials: list[dict]) -> dict:
    """The best trial, by exact accuracy on validation; ties go to the one with more right cells."""
    return max(trials, key=lambda t: (t["best"]["exact"], t["best"]["cells"]))


def is_baseline(trial: dict) -> bool:
    """Whether a trial is of the arm that all others of its model type are compared with."""
    return trial["arm"]["baseline"]


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



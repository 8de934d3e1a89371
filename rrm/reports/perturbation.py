"""The report of a sweep of perturbations: stability of the best trial and the baselines, accuracy against sigma.

This file draws all figures of a sweep.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from rrm.dynamics import LyapunovResult
from rrm.jobs.record import TrialRecord
from rrm.reports.search import SearchFindings
from rrm.reports.stability import evidence_sentences, examples, kept
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


def panels(results: Mapping[str, LyapunovResult]) -> dict[str, OutcomePanel]:
    """The data of the distributions and spectra of lambda, by name of the trial."""
    found = {}
    for name, r in results.items():
        label, drift = r.provenance["label"], late_drift(r.drift_H)
        found[name] = OutcomePanel.of_finite(label, r.lambda_per_call, r.solved, drift, r.finite)
    return found


def draw(
    measured: Mapping[str, OutcomePanel],
    points: Sequence[SweepPoint],
    compared: Sequence[ArmComparison],
    search: SearchFindings | None,
) -> dict[str, Figure]:
    """By name of the file: Figs. 1 to 3 where spectra were measured, the differences between arms, the search's."""
    from rrm.figures import accuracy_against_sigma, arm_differences, lambda_distributions, leading_spectrum

    figures = {}
    if measured:
        figures = {
            "fig1_lambda_distributions": lambda_distributions([*measured.values()]),
            "fig2_leading_spectrum": leading_spectrum([*measured.values()]),
            "fig3_accuracy_against_sigma": accuracy_against_sigma(points),
        }
    if compared:
        figures["arm_differences"] = arm_differences(compared)
    return figures | (search.figures() if search else {})


def findings(
    measured: Mapping[str, OutcomePanel],
    results: Mapping[str, LyapunovResult],
    points: Sequence[SweepPoint],
    compared: Sequence[ArmComparison],
    best: TrialRecord,
) -> list[str]:
    """Sentences on three questions: whether lambda_1 separates the outcomes of each measured model, what it adds to the
    null scores on the puzzles of the best one, and whether arms differ from their baseline by more than seeds do.
    """
    repeated = [comparison for comparison in compared if len(comparison.seeds) > 1]
    alone = best.group not in {comparison.model for comparison in repeated}
    result = results[best.name]
    found = evidence(examples(result, np.flatnonzero(kept(result.finite)), {}))
    others = [panel for name, panel in measured.items() if name != best.name]
    return [
        *(separation_sentence(panel) for panel in [measured[best.name], *others]),
        f"Exponents are {result.settings.basis}.",
        *evidence_sentences(best.label, found),
        *([perturbation_sentence(by_model(points)[best.group])] if alone else []),
        *arm_sentences(repeated),
    ]


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

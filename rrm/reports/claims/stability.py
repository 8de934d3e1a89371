"""Claims on the stability of rollouts: exponents, drift and outcomes of trained baselines, one row a model type."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from math import nan

import numpy as np

from rrm.reports.claims.claim import Claim
from rrm.reports.claims.evidence import Evidence
from rrm.statistics import Examples, evidence, late_drift
from rrm.statistics.auc import auc
from rrm.statistics.convergence_null import convergence_null
from rrm.statistics.evidence import search_ends
from rrm.statistics.ladder import MIN_LADDER_CLASS
from rrm.statistics.outcomes import MIN_CLASS, shortage
from rrm.statistics.settling import settling_table

MODELS = {"trm_mlp": "TRM", "hrm": "HRM", "srm_mlp": "SRM"}


def separation(examples: Examples) -> float:
    """AUC for "failed" of lambda_1 or of the mean exponent, the smaller one; nan where a class has fewer than 5."""
    if shortage(~examples.failed, MIN_CLASS):
        return nan
    spectrum = examples.lambda_spectrum
    return min(auc(spectrum[:, 0], examples.failed), auc(spectrum.mean(1), examples.failed))


def gain(examples: Examples, base: str) -> float:
    """Fall of the held-out log-loss by lambda_1 beyond the null scores `base`, minus that by null exponents.

    In nats per puzzle; nan where a class has fewer than 10. The null exponents know only when the search ended.
    """
    if shortage(~examples.failed, MIN_LADDER_CLASS):
        return nan
    climbed = _ladders(examples)[base]
    step = climbed.steps[0] if climbed else None
    return step.gain.estimate - step.null_gain.estimate if step and step.null_gain else nan


@lru_cache(maxsize=64)
def _ladders(examples: Examples) -> Mapping:
    # Without the spectrum, whose gain no claim asks for.
    return evidence(replace(examples, lambda_spectrum=examples.lambda_spectrum[:, :1])).ladders


def alignment(examples: Examples) -> float:
    """Median over failed puzzles of lambda_1 after the transient minus that over all segments, nats per segment."""
    if np.count_nonzero(examples.failed) < MIN_CLASS:
        return nan
    local = examples.lambda_segments[examples.failed]
    return float(np.median(local[:, examples.transient :].mean(1)) - np.median(local.mean(1)))


def settled_right(examples: Examples) -> float:
    """Share of right answers among settled rollouts, settled by the split of late drift; nan below 5 settled ones."""
    drift = late_drift(examples.drift)
    if np.unique(drift[drift > 0]).size < 2:
        return nan
    table = settling_table(drift, ~examples.failed)
    return table.A / (table.A + table.B) if table.A + table.B >= MIN_CLASS else nan


# Controls: the same measurements without what is claimed of them.


def shuffled_outcomes(examples: Examples) -> Examples:
    """The outcomes of other puzzles."""
    order = np.random.default_rng(0).permutation(len(examples.solved_at))
    return replace(examples, solved_at=examples.solved_at[order])


def shuffled_segments(examples: Examples) -> Examples:
    """The local exponents of every puzzle in another order."""
    local = np.random.default_rng(0).permuted(examples.lambda_segments, axis=1)
    return replace(examples, lambda_segments=local)


@lru_cache(maxsize=64)
def convergence_alone(examples: Examples) -> Examples:
    """Exponents that know only when the search ended (`convergence_null`); unchanged where a class is too small."""
    if shortage(~examples.failed, MIN_CLASS):
        return examples
    ended, stays = search_ends(examples)
    local = convergence_null(examples.lambda_segments, ended, np.random.default_rng(1), stays)
    spectrum = local[:, examples.transient :].mean(1, keepdims=True)
    return replace(examples, lambda_segments=local, lambda_spectrum=spectrum)


def of_model(model: str, measure: Callable[[Examples], float]) -> Callable[[Evidence], dict[int, float]]:
    """A measure of the puzzles of one trained model, as an effect by training seed."""
    return lambda found: {seed: measure(examples) for seed, examples in found.spectra.get(model, {}).items()}


def with_spectra(change: Callable[[Examples], Examples]) -> Callable[[Evidence], Evidence]:
    """The evidence with other examples in the place of all of its own."""
    return lambda found: replace(
        found,
        spectra={
            model: {seed: change(examples) for seed, examples in by_seed.items()}
            for model, by_seed in found.spectra.items()
        },
    )


def separates(model: str) -> Claim:
    return Claim(
        name=f"separates/{model}",
        words=f"{MODELS[model]}: lambda_1 and the spectrum separate failed from solved rollouts",
        test="AUC for failed, of lambda_1 or the mean exponent, the smaller one",
        evidence="spectra",
        effect=of_model(model, separation),
        null=0.5,
        smallest=0.2,
        control=with_spectra(shuffled_outcomes),
        unit="AUC",
    )


def beyond_convergence(model: str) -> Claim:
    return Claim(
        name=f"beyond_convergence/{model}",
        words=f"{MODELS[model]}: lambda_1 says more than convergence (late drift, settling, drift of every segment)",
        test="gain of held-out log-loss, minus that of exponents which know only when the search ended",
        evidence="spectra",
        effect=of_model(model, lambda examples: gain(examples, "convergence")),
        smallest=0.01,
        control=with_spectra(convergence_alone),
        unit="nats per puzzle",
    )


def beyond_confidence(model: str) -> Claim:
    return Claim(
        name=f"beyond_confidence/{model}",
        words=f"{MODELS[model]}: lambda_1 says more than convergence and confidence (Q head, margin, entropy)",
        test="gain of held-out log-loss, minus that of exponents which know only when the search ended",
        evidence="spectra",
        effect=of_model(model, lambda examples: gain(examples, "convergence and confidence")),
        smallest=0.01,
        control=with_spectra(convergence_alone),
        unit="nats per puzzle",
    )


def not_aligned(model: str) -> Claim:
    return Claim(
        name=f"not_aligned/{model}",
        words=f"{MODELS[model]}: over a whole failed rollout the start basis has not aligned",
        test="median lambda_1 of failed rollouts without the transient, minus that of all segments",
        evidence="spectra",
        effect=of_model(model, alignment),
        smallest=0.06,
        control=with_spectra(shuffled_segments),
        unit="nats per segment",
    )


def settled_is_right(model: str) -> Claim:
    return Claim(
        name=f"settled_is_right/{model}",
        words=f"{MODELS[model]}: a settled rollout is right",
        test="share of right answers among settled rollouts, against 90 %",
        evidence="spectra",
        effect=of_model(model, settled_right),
        null=0.9,
        smallest=0.05,
        control=with_spectra(shuffled_outcomes),
        unit="%",
    )


STABILITY = tuple(
    claim(model)
    for claim in (separates, beyond_convergence, beyond_confidence, not_aligned, settled_is_right)
    for model in MODELS
)

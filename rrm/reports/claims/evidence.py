"""The measurements that claims are judged by, whatever jobs made them; one training seed a unit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rrm.dynamics.escape import EscapeResult
from rrm.dynamics.stochastic import StochasticResult
from rrm.statistics import Examples, SweepPoint
from rrm.statistics.training_runs import TrainingRun


@dataclass(frozen=True, eq=False)
class Rollouts:
    """Rollouts of one trained model on the same N puzzles.

    Attributes:
        noisy: K noisy rollouts of each puzzle; the last depth counts.
        deep: one rollout without noise of at least K times that depth.
        segments: depth of the model in evaluation.
    """

    noisy: StochasticResult
    deep: EscapeResult
    segments: int

    @property
    def solved(self) -> np.ndarray:
        """bool [N, K] of the noisy rollouts."""
        return self.noisy.solved[:, 1:, -1]

    @property
    def depth(self) -> int:
        """Segments of the noisy rollouts."""
        return int(self.noisy.depths[-1])


@dataclass(frozen=True)
class Evidence:
    """All measurements; a part is empty where its jobs were left out.

    Attributes:
        spectra: by model type and training seed, exponents, drift, confidence and outcome of the test puzzles of a
            baseline.
        arms: trained models of the arms of training, all on the same few puzzles, scored on the same test puzzles.
        toy: share of right bits after training, by arm and seed, of the random network that flossing was published for.
        rollouts: by training seed, noisy and deep rollouts of baselines.
        grokking: by training seed and arm, runs of networks on modular arithmetic.
        heads: by training seed, the metrics of a study of heads without their first part, "gini" of "heads/gini".
        curricula: trained models of the arms of curricula, at one or two budgets, scored on the same test puzzles.
        dream: trained models of the arms of dream loops, scored on the same test puzzles.
        proposals: by training seed, the metrics of a study of new puzzles without their first part, "fresh/useful" of
            "proposals/fresh/useful".
        runs: by name of the part, the runs that it comes from.
    """

    spectra: Mapping[str, Mapping[int, Examples]] = field(default_factory=dict)
    arms: Sequence[SweepPoint] = ()
    toy: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    rollouts: Mapping[int, Rollouts] = field(default_factory=dict)
    grokking: Mapping[int, Mapping[str, TrainingRun]] = field(default_factory=dict)
    heads: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    curricula: Sequence[SweepPoint] = ()
    dream: Sequence[SweepPoint] = ()
    proposals: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    runs: Mapping[str, Sequence[str]] = field(default_factory=dict)


# The parts, by which a claim names its evidence.
PARTS = ("spectra", "arms", "toy", "rollouts", "grokking", "heads", "curricula", "dream", "proposals")


def join(parts: Sequence[Evidence]) -> Evidence:
    """The evidence of several jobs together; ids of runs that make the same part are listed in turn."""
    spectra: dict[str, dict[int, Examples]] = {}
    toy: dict[str, dict[int, float]] = {}
    rollouts: dict[int, Rollouts] = {}
    grokking: dict[int, dict[str, TrainingRun]] = {}
    heads: dict[int, Mapping[str, float]] = {}
    proposals: dict[int, Mapping[str, float]] = {}
    runs: dict[str, list[str]] = {}
    for part in parts:
        for model, by_seed in part.spectra.items():
            spectra.setdefault(model, {}).update(by_seed)
        for arm, values in part.toy.items():
            toy.setdefault(arm, {}).update(values)
        rollouts.update(part.rollouts)
        heads.update(part.heads)
        proposals.update(part.proposals)
        for seed, by_arm in part.grokking.items():
            grokking.setdefault(seed, {}).update(by_arm)
        for name, ids in part.runs.items():
            runs.setdefault(name, []).extend(ids)
    arms, curricula, dream = (
        [p for part in parts for p in getattr(part, name)] for name in ("arms", "curricula", "dream")
    )
    return Evidence(spectra, arms, toy, rollouts, grokking, heads, curricula, dream, proposals, runs)

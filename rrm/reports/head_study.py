"""What a study of heads has measured, and its parts by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rrm.jobs.heads import OTHER_ORDER, RANDOM_LABELS
from rrm.statistics.heads import RANGES, Ablation, AmongRandom, Lost, among_random, thirds
from rrm.statistics.weight_change import WeightChange
from rrm.tasks.head_summary import HeadSummary

# Names of the models of a study, beside the arms that are its controls (`rrm.jobs.heads`).
AFTER, BEFORE, AGAINST = "after", "initial", "against"
RANKS = {"effective": "effective rank", "stable": "stable rank", "energy_90": "90 % of the energy in",
          "participation": "participation ratio"}  # fmt: skip


@dataclass(frozen=True)
class HeadStudy:
    """What a study of heads has measured; the first of the other models is the one that the change counts from.

    Attributes:
        summary: scores and changes, means over puzzles.
        js: [B, M, T, Y, N] changes by puzzle.
        right: [B] bool, answers of the model.
        looks: [B, P] log lift of each puzzle on each pattern, mean over heads and calls.
        accuracy: of the other models, by name.
        ablations, ablated: A ablations, and [B, A] bool the answers under each.
        needed, without: ablations of the heads that were missed most on the first half of the puzzles, and the answers
            under each on the second half.
        weights: changes of weights by name of the model: of BEFORE those of the training, of a control its own, of
            AGAINST those between the two.
        aligned: whether each other training began with the same weights.
    """

    summary: HeadSummary
    js: np.ndarray
    right: np.ndarray
    looks: np.ndarray
    accuracy: Mapping[str, float]
    ablations: Sequence[Ablation]
    ablated: np.ndarray
    needed: Sequence[Ablation]
    without: np.ndarray
    weights: Mapping[str, Sequence[WeightChange]]
    aligned: Mapping[str, bool]

    @property
    def others(self) -> list[str]:
        """Names of the other models."""
        return self.summary.names[1:]

    def of(self, name: str) -> np.ndarray:
        """[B, T, Y, N] the changes from the model of this name."""
        return self.js[:, self.others.index(name)]


def find(carried: Sequence[Lost], chosen: str, unit: str = "head", calls: str = "all", kind: str = "zero") -> Lost:
    """The sets of heads of this kind."""
    return next(one for one in carried if (one.chosen, one.unit, one.calls, one.kind) == (chosen, unit, calls, kind))


def among(carried: Sequence[Lost], chosen: str) -> AmongRandom:
    """Where the heads that change most, or are missed most, stand among random ones on the same puzzles."""
    random = "random, second half" if chosen == "needed" else "random"
    return among_random(find(carried, chosen).share, find(carried, random).sets)


def trainings(study: HeadStudy) -> list[str]:
    """The other trainings that are no controls; none where the change counts from one."""
    return [name for name in study.others[1:] if name not in (OTHER_ORDER, RANDOM_LABELS)]


def ranges(summary: HeadSummary) -> dict[str, slice]:
    """Early, middle and late calls; none of fewer than three calls."""
    calls = summary.lift.shape[1]
    return thirds(calls) if calls >= len(RANGES) else {}


def medians(changes: Sequence[WeightChange]) -> dict[str, float]:
    """The ranks of some changes, each the median over matrices."""
    return {name: float(np.median([getattr(one.ranks, name) for one in changes])) for name in RANKS}

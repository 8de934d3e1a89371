"""Accuracy of trained models by difficulty: on three tiers of the test puzzles, and on the tenth they solve least."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike

from rrm.statistics.sweep import SweepPoint

# Measures of a comparison, and the field of a `TierPoint` with each.
MEASURES = {
    "peak": "best",
    "easy": "easy",
    "middle": "middle",
    "hard": "hard",
    "worst tenth": "worst_tenth",
    "area": "area",
    "shortest": "shortest",
    "easy, shortest": "shortest_easy",
    "middle, shortest": "shortest_middle",
    "hard, shortest": "shortest_hard",
}
# What is left to compare models by that solve no puzzle.
CELLS = {"cells": "cells"}
# Share of the puzzles in the worst part.
WORST = 0.1


@dataclass(frozen=True)
class TierPoint(SweepPoint):
    """A trained model with its accuracy by difficulty, fractions, of the checkpoint that was best on validation.

    Attributes:
        easy, middle, hard: on the three tiers.
        worst_tenth: on the tenth of the puzzles that the other seeds of the arm solve least often (conditional value at
            risk, as in SFL, arXiv 2408.15099). The other seeds choose, so that bad luck of this one does not count
            twice. None with one seed.
        shortest, shortest_easy, shortest_middle, shortest_hard: of mazes, with any shortest path as an answer; all
            others ask for the path of the label. None for a task whose puzzles have one right answer.
    """

    easy: float | None = None
    middle: float | None = None
    hard: float | None = None
    worst_tenth: float | None = None
    shortest: float | None = None
    shortest_easy: float | None = None
    shortest_middle: float | None = None
    shortest_hard: float | None = None


def tier_points(points: Iterable[SweepPoint], tier: ArrayLike, rating: ArrayLike) -> list[TierPoint]:
    """The points with their accuracies by difficulty; those whose outcomes were not kept are left out.

    Args:
        points: trained models, all scored on the same N test puzzles.
        tier: int [N], 0 the easiest of three.
        rating: [N], which decides among puzzles that are solved equally often: the harder ones count as worse.
    """
    tier, rating = np.asarray(tier), np.asarray(rating)
    known = [(point, np.frombuffer(point.solved, np.uint8)) for point in points if point.solved]
    made = []
    for point, solved in known:
        others = [
            found for other, found in known
            if (other.model, other.arm) == (point.model, point.arm) and other.seed != point.seed
        ]  # fmt: skip
        by_tier = _by_tier(solved, tier, "")
        if point.along_shortest:
            shortest = np.frombuffer(point.along_shortest, np.uint8)
            by_tier |= {"shortest": _mean(shortest)} | _by_tier(shortest, tier, "shortest_")
        worst = None
        if others:
            often = np.mean(others, axis=0)
            worst = _mean(solved[np.lexsort((-rating, often))[: math.ceil(WORST * len(solved))]])
        held = asdict(point) | by_tier
        made.append(TierPoint(**held, worst_tenth=worst))
    return made


def _by_tier(solved: np.ndarray, tier: np.ndarray, head: str) -> dict[str, float | None]:
    return {f"{head}{name}": _mean(solved[tier == place]) for place, name in enumerate(("easy", "middle", "hard"))}


def _mean(solved: np.ndarray) -> float | None:
    return float(solved.mean()) if solved.size else None

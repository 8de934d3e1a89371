"""Claims on rollouts of trained baselines: Q and stability, breadth against depth, and what depth still solves."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from math import nan

import numpy as np

from rrm.reports.claims.claim import Claim
from rrm.reports.claims.evidence import Evidence, Rollouts
from rrm.reports.selectors import BEST_Q, FIRST_HALT, scores, stops
from rrm.statistics.outcomes import MIN_CLASS
from rrm.statistics.selection import MAJORITY, expected_accuracies
from rrm.statistics.within_problem import MIN_MIXED, mixed_problems, within_problem

# Share of puzzles of which some rollout has to halt for a statement on the first to halt.
LEAST_HALTS = 0.5


def q_follows_stability(found: Rollouts) -> float:
    """Mean rank correlation of Q and stability over the rollouts of a mixed problem; nan with fewer than 5 of them."""
    mixed, noisy = mixed_problems(found.solved), (slice(None), slice(1, None), -1)
    values = within_problem(found.noisy.q_halt[noisy][mixed], -found.noisy.growth[noisy][mixed])
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size >= MIN_MIXED else nan


def breadth_over_depth(found: Rollouts) -> float:
    """Accuracy of the best Q of K noisy rollouts minus that of one rollout of K times their depth; nan without Q."""
    K = found.solved.shape[1]
    return _accuracy(found, BEST_Q) - float(found.deep.solved[:, K * found.depth - 1].mean())


def first_over_vote(found: Rollouts) -> float:
    """Accuracy of the first of K noisy rollouts to halt minus that of their majority.

    nan without Q, and where no rollout halts in half of the puzzles: the last answer would stand in for them.
    """
    rules = stops(found.noisy, len(found.noisy.depths) - 1, "solved")
    if FIRST_HALT not in rules or (rules[FIRST_HALT].segment > 0).any(1).mean() < LEAST_HALTS:
        return nan
    return _accuracy(found, FIRST_HALT) - _accuracy(found, MAJORITY)


def _accuracy(found: Rollouts, selector: str) -> float:
    """Of a selector among all noisy rollouts of a puzzle; nan where the model has no Q head for it."""
    place, answer = len(found.noisy.depths) - 1, found.noisy.answer[:, 1:, -1]
    of_score, rules = scores(found.noisy, place), stops(found.noisy, place, "solved")
    expected = expected_accuracies(found.solved, answer, of_score, found.solved.shape[1], rules)
    return float(expected[selector].mean()) if selector in expected else nan


def escaped(found: Rollouts) -> float:
    """Of the puzzles unsolved at the depth of evaluation, the share solved at the end of the deep rollout.

    Puzzles that the deep rollout loses again are taken off. nan with fewer than 5 unsolved ones.
    """
    before, after = found.deep.solved[:, found.segments - 1], found.deep.solved[:, -1]
    unsolved = np.count_nonzero(~before)
    if unsolved < MIN_CLASS:
        return nan
    return float((np.count_nonzero(~before & after) - np.count_nonzero(before & ~after)) / unsolved)


def shuffled_q(found: Rollouts) -> Rollouts:
    """The Q of every rollout is that of another rollout of the same puzzle."""
    q = found.noisy.q_halt.copy()
    q[:, 1:] = np.random.default_rng(0).permuted(q[:, 1:], axis=1)
    return replace(found, noisy=replace(found.noisy, q_halt=q))


def shuffled_halts(found: Rollouts) -> Rollouts:
    """Every rollout halts when another rollout of the same puzzle does."""
    segment, rank = found.noisy.stop_segment, found.noisy.stop_rank
    if segment is None or rank is None:
        return found
    order = np.random.default_rng(0).permuted(np.tile(np.arange(segment.shape[1] - 1), (len(segment), 1)), axis=1)
    segment, rank = segment.copy(), rank.copy()
    for array in (segment, rank):
        array[:, 1:] = np.take_along_axis(array[:, 1:], order[:, :, None], axis=1)
    return replace(found, noisy=replace(found.noisy, stop_segment=segment, stop_rank=rank))


def no_later(found: Rollouts) -> Rollouts:
    """Every answer stays what it is at the depth of evaluation."""
    solved = found.deep.solved.copy()
    solved[:, found.segments :] = solved[:, found.segments - 1 : found.segments]
    return replace(found, deep=replace(found.deep, solved=solved))


def effect(measure: Callable[[Rollouts], float]) -> Callable[[Evidence], Mapping[int, float]]:
    """A measure of the rollouts of one trained model, as an effect by training seed."""
    return lambda found: {seed: measure(rollouts) for seed, rollouts in found.rollouts.items()}


def _changed(change: Callable[[Rollouts], Rollouts], found: Evidence) -> Evidence:
    return replace(found, rollouts={seed: change(rollouts) for seed, rollouts in found.rollouts.items()})


ROLLOUTS = (
    Claim(
        name="q_follows_stability",
        words="TRM: within a puzzle, the Q head follows stability",
        test="mean rank correlation of Q and stability over the noisy rollouts of mixed puzzles",
        evidence="rollouts",
        effect=effect(q_follows_stability),
        smallest=0.1,
        control=partial(_changed, shuffled_q),
        unit="rank correlation",
    ),
    Claim(
        name="breadth_over_depth",
        words="TRM: noisy rollouts with selection by Q beat depth",
        test="accuracy of the best Q of K rollouts minus that of one rollout of equal calls",
        evidence="rollouts",
        effect=effect(breadth_over_depth),
        smallest=0.02,
        control=partial(_changed, shuffled_q),
        unit="points",
    ),
    Claim(
        name="first_over_vote",
        words="TRM: the first of several noisy rollouts to halt is right more often than their vote",
        test="accuracy of the first of K rollouts to halt minus that of their majority",
        evidence="rollouts",
        effect=effect(first_over_vote),
        smallest=0.02,
        control=partial(_changed, shuffled_halts),
        unit="points",
    ),
    Claim(
        name="escape_continues",
        words="TRM: escape continues with depth",
        test="share of puzzles unsolved in evaluation that a deeper rollout solves, minus those it loses",
        evidence="rollouts",
        effect=effect(escaped),
        smallest=0.1,
        control=partial(_changed, no_later),
        unit="%",
    ),
)

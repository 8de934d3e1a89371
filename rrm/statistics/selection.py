"""Selectors choose one answer among several rollouts of a puzzle: their accuracy, and the gap to the best choice.

A selector sees k of the K rollouts of a puzzle. Its accuracy is the exact mean over all C(K, k) subsets, puzzle by
puzzle, so that no draw of subsets adds noise; the interval is over puzzles. The K rollouts must be exchangeable.

Most selectors wait for the end of all rollouts. A rule that stops rollouts needs no end: all run in lockstep, and the
first to stop gives the answer ("halt-first", arXiv 2601.19085).
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import comb

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from rrm.statistics.interval import Interval
from rrm.statistics.means import mean_interval
from rrm.statistics.proportions import clustered_wilson_interval, wilson_interval

RANDOM, MAJORITY, ORACLE = "random", "majority", "oracle"


@dataclass(frozen=True)
class Stops:
    """When each of K rollouts of N puzzles stops by itself, and whether the answer then is right.

    The selector takes the rollout that stops first; of several the one of the highest rank, further ties at random. If
    none stops, it takes the last answer of the first rollout. The rollouts are exchangeable, so that in the mean over
    all subsets the first of them is any of them. arXiv 2601.19085 falls back on the rollout without noise instead.

    Attributes:
        segment: [N, K] integers, the segment (from 1) at which each stops; 0: not within the depth.
        rank: [N, K], without nan; of a rollout that does not stop it is not read.
        solved: [N, K] booleans, the answer at that segment is right, at the depth for a rollout that does not stop.
    """

    segment: np.ndarray
    rank: np.ndarray
    solved: np.ndarray

    @property
    def score(self) -> np.ndarray:
        """[N, K], the highest is chosen; nan where a rollout does not stop."""
        # Below 1, so that the rank decides between equal segments alone.
        fraction = rankdata(self.rank, "dense", axis=1) / (self.rank.shape[1] + 1)
        return np.where(self.segment > 0, fraction - self.segment, np.nan)

    def segments(self, depth: int, k: int) -> np.ndarray:
        """[N], expected segments of k rollouts in lockstep, up to the first that stops, at the latest to `depth`."""
        last = np.where(self.segment > 0, self.segment, depth).astype(float)
        return k * (_weights(-last, k) * last).sum(1)


NO_STOPS: Mapping[str, Stops] = {}


@dataclass(frozen=True)
class Selected:
    """Accuracy of a selector's choice among k rollouts; intervals over puzzles.

    Attributes:
        selector: its name.
        k: rollouts it chooses from.
        accuracy: share of puzzles, Wilson interval.
        gap: accuracy of the oracle minus its own, paired.
        over_random, over_majority: its accuracy minus that of these selectors, paired.
        segments: run for a puzzle in all rollouts together, mean over puzzles.
        alone: share of puzzles solved by one rollout of as many segments, rounded up; None where it is not known.
    """

    selector: str
    k: int
    accuracy: Interval
    gap: Interval
    over_random: Interval
    over_majority: Interval
    segments: Interval
    alone: Interval | None


def selection(
    solved: ArrayLike,
    answer: ArrayLike,
    scores: Mapping[str, ArrayLike],
    counts: Sequence[int] | None = None,
    *,
    depth: int = 1,
    stops: Mapping[str, Stops] = NO_STOPS,
    alone: ArrayLike | None = None,
) -> list[Selected]:
    """Every selector at every number of rollouts.

    Args:
        solved: [N, K] booleans, N at least 2, the answer of each rollout is right.
        answer: [N, K] integers, equal where answers are equal.
        scores: [N, K] each; the selector of that name takes the rollout with the highest.
        counts: numbers of rollouts, 1 to K; default 1, 4, 16, ... and K.
        depth: segments of every rollout.
        stops: by name, the rules that stop rollouts.
        alone: [N, T] booleans, one rollout of each puzzle is right after each of T segments.

    Returns:
        Random, majority, the selectors of `scores` and `stops` and the oracle, for each of `counts` in turn.

    Raises:
        ValueError: as `expected_accuracies`, or fewer than two puzzles.
    """
    solved = np.asarray(solved, bool)
    if solved.ndim != 2 or len(solved) < 2:
        raise ValueError(f"solved has shape {solved.shape}: selection needs [N, K], N at least 2")
    table = []
    for k in powers_of_four(solved.shape[1]) if counts is None else counts:
        expected = expected_accuracies(solved, answer, scores, k, stops)
        for name, of_puzzle in expected.items():
            run = np.full(len(solved), float(depth if name == RANDOM else k * depth))
            segments = mean_interval(stops[name].segments(depth, k) if name in stops else run)
            found = Selected(
                selector=name,
                k=int(k),
                accuracy=_share(of_puzzle),
                gap=_difference(expected[ORACLE], of_puzzle),
                over_random=_difference(of_puzzle, expected[RANDOM]),
                over_majority=_difference(of_puzzle, expected[MAJORITY]),
                segments=segments,
                alone=None if alone is None else _after(np.asarray(alone, bool), segments.estimate),
            )
            table.append(found)
    return table


@dataclass(frozen=True)
class AgainstDepth:
    """A selector's choice among k rollouts against one rollout of k times their depth, which makes as many calls.

    Attributes:
        selector, k: as in `Selected`.
        deep: share of puzzles that the deep rollout solves, Wilson interval.
        over_deep: accuracy of the selector minus that, paired.
    """

    selector: str
    k: int
    deep: Interval
    over_deep: Interval


def against_depth(
    solved: ArrayLike, answer: ArrayLike, scores: Mapping[str, ArrayLike], deep: Mapping[int, ArrayLike]
) -> list[AgainstDepth]:
    """Does breadth help more than depth? Every selector that waits for the depth, at every k of `deep`.

    Args:
        solved, answer, scores: as in `selection`.
        deep: by k, whether [N] the rollout of k times the depth solves the same puzzles.

    Raises:
        ValueError: as `expected_accuracies`, or a deep rollout of other than N puzzles.
    """
    rows = []
    for k, right in deep.items():
        right = np.asarray(right, bool)
        if right.shape != np.shape(solved)[:1]:
            raise ValueError(f"deep rollouts at k = {k} have shape {right.shape}, solved {np.shape(solved)}")
        alone = wilson_interval(int(right.sum()), right.size)
        for name, of_puzzle in expected_accuracies(solved, answer, scores, k).items():
            rows.append(AgainstDepth(name, int(k), alone, _difference(of_puzzle, right)))
    return rows


def powers_of_four(K: int) -> list[int]:
    """1, 4, 16, ... up to K, and K itself."""
    return sorted({4**power for power in range(K.bit_length()) if 4**power <= K} | {K})


def expected_accuracies(
    solved: ArrayLike,
    answer: ArrayLike,
    scores: Mapping[str, ArrayLike],
    k: int,
    stops: Mapping[str, Stops] = NO_STOPS,
) -> dict[str, np.ndarray]:
    """Probability [N] that each selector's choice among k of the K rollouts of a puzzle is right, all subsets alike.

    "random" takes any rollout. "majority" takes the answer of most rollouts, ties broken at random among the answers. A
    score takes the rollout with the highest value, ties broken at random among the rollouts, nan below every number.
    A rule of `stops` takes the first to stop (see `Stops`), with the answer then. "oracle" is right if any rollout is
    right at the depth.

    Args:
        solved, answer, scores, stops: as in `selection`.
        k: 1 to K.

    Raises:
        ValueError: shapes that do not match, k out of range, or a score with the name of another selector.
    """
    solved, answer = np.asarray(solved, bool), np.asarray(answer)
    of_score = {name: np.asarray(score, float) for name, score in scores.items()}
    of_stop = {name: np.asarray(rule.segment) for name, rule in stops.items()}
    for name, array in {"answer": answer, **of_score, **of_stop}.items():
        if array.shape != solved.shape or solved.ndim != 2:
            raise ValueError(f"{name} has shape {array.shape}, solved {solved.shape}: all must be [N, K]")
    if taken := {RANDOM, MAJORITY, ORACLE} & {*of_score, *of_stop}:
        raise ValueError(f"{taken.pop()!r} is no name for a score: it names another selector")
    K = solved.shape[1]
    if not 1 <= k <= K:
        raise ValueError(f"k is {k}: of {K} rollouts 1 to {K} can be chosen from")
    none_right = np.array([comb(K - right, k) / comb(K, k) for right in range(K + 1)])
    return {
        RANDOM: solved.mean(1),
        MAJORITY: np.array([_majority(*row, k) for row in zip(solved, answer, strict=True)]),
        **{name: (_weights(score, k) * solved).sum(1) for name, score in of_score.items()},
        **{name: (_weights(rule.score, k) * rule.solved).sum(1) for name, rule in stops.items()},
        ORACLE: 1 - none_right[solved.sum(1)],
    }


def _weights(score: np.ndarray, k: int) -> np.ndarray:
    """Probability [N, K] that each rollout has the highest score in a random subset of k."""
    K = score.shape[1]
    # The rollout of rank j (from 0) is chosen if it is there and none of the j above it is.
    up_to = np.r_[0, np.cumsum([comb(K - 1 - j, k - 1) / comb(K, k) for j in range(K)])]
    below = -np.where(np.isnan(score), -np.inf, score)
    first, last = (rankdata(below, method, axis=1).astype(int) for method in ("min", "max"))
    return (up_to[last] - up_to[first - 1]) / (last - first + 1)


def _majority(solved: np.ndarray, answer: np.ndarray, k: int) -> float:
    votes, right = Counter(answer.tolist()), Counter(answer[solved].tolist())
    total = 0.0
    for name, of_right in right.items():
        others = tuple(sorted(count for other, count in votes.items() if other != name))
        # An answer is right or not, so that the share is 1 but for rollouts that broke down.
        total += of_right / votes[name] * _wins(votes[name], others)[k - 1]
    return total


@lru_cache(maxsize=1 << 16)
def _wins(count: int, others: tuple[int, ...]) -> np.ndarray:
    """Probability [K] that an answer of `count` votes wins among k = 1 ... K of all votes drawn at random.

    With a votes for it and t others that have as many, it wins with probability 1 / (1 + t), the integral of y^t over
    0 <= y <= 1. So the sum over all subsets is the coefficient of x^k in x^a C(count, a) prod_i p_i(x, y), with
    p_i = sum_(b < a) C(n_i, b) x^b + y C(n_i, a) x^a, integrated over y: a polynomial, exact by Gauss-Legendre.
    """
    K = count + sum(others)
    nodes, node_weights = np.polynomial.legendre.leggauss(len(others) // 2 + 1)
    a, y = np.arange(1, count + 1)[:, None, None], ((nodes + 1) / 2)[None, :, None]
    product = np.zeros((count, len(nodes), K + 1))
    product[:, :, 0] = 1
    for n in others:
        before, product = product, np.zeros_like(product)
        for b in range(min(n, count) + 1):
            factor = comb(n, b) * np.where(b < a, 1.0, np.where(b == a, y, 0.0))
            product[:, :, b:] += factor * before[:, :, : K + 1 - b]
    of_a = product.swapaxes(1, 2) @ node_weights / 2  # [count, K + 1], of the votes for others
    return np.array(
        [sum(comb(count, v) * of_a[v - 1, k - v] for v in range(1, min(count, k) + 1)) / comb(K, k)
         for k in range(1, K + 1)]
    )  # fmt: skip


def _after(alone: np.ndarray, segments: float) -> Interval | None:
    """Share of the puzzles that are right after so many segments; None where fewer were run."""
    last = math.ceil(segments - 1e-9)  # a rounding more than a whole number is that number
    return wilson_interval(int(alone[:, last - 1].sum()), len(alone)) if last <= alone.shape[1] else None


def _share(of_puzzle: np.ndarray) -> Interval:
    # Subsets that weigh 1 in all may sum to a rounding more.
    share = min(1.0, float(of_puzzle.mean()))
    return clustered_wilson_interval(share, of_puzzle.var(ddof=1) / of_puzzle.size, of_puzzle.size)


def _difference(one: np.ndarray, other: np.ndarray) -> Interval:
    # Rounding of equal probabilities would otherwise give an interval beside 0.
    return mean_interval(np.where(np.isclose(one, other, rtol=0, atol=1e-12), 0.0, one - other))

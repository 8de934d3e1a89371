"""Selectors against enumeration and closed forms."""

from itertools import combinations

import numpy as np
import pytest

from rrm.statistics import wilson_interval
from rrm.statistics.selection import Stops, against_depth, expected_accuracies, powers_of_four, selection


def rollouts(n, K, p, seed=0):
    """Independent successes; wrong answers are one of three."""
    rng = np.random.default_rng(seed)
    solved = rng.random((n, K)) < p
    return solved, np.where(solved, 0, rng.integers(1, 4, (n, K))), rng


def enumerated(solved, answer, score, k):
    """Accuracies of majority and of a score of one puzzle, over all subsets."""
    majority = best = 0.0
    subsets = list(combinations(range(len(solved)), k))
    for rows in map(list, subsets):
        names, votes = np.unique(answer[rows], return_counts=True)
        winners = names[votes == votes.max()]
        majority += np.mean([solved[answer == name].mean() for name in winners])
        best += solved[rows][score[rows] == score[rows].max()].mean()
    return majority / len(subsets), best / len(subsets)


@pytest.mark.parametrize("k", range(1, 8))
def test_every_subset_counts_alike(k):
    solved, answer, rng = rollouts(20, 7, 0.4)
    score = rng.integers(0, 4, solved.shape).astype(float)  # with ties
    found = expected_accuracies(solved, answer, {"score": score}, k)
    expected = [enumerated(*row, k) for row in zip(solved, answer, score, strict=True)]
    assert np.allclose(np.column_stack([found["majority"], found["score"]]), expected)


@pytest.mark.parametrize("k", [1, 2, 5, 16])
def test_independent_rollouts_follow_their_closed_forms(k):
    p = 0.3
    solved, answer, rng = rollouts(4000, 16, p)
    found = expected_accuracies(solved, answer, {"noise": rng.random(solved.shape), "hint": solved + 0.0}, k)
    means = {name: values.mean() for name, values in found.items()}
    assert means["random"] == pytest.approx(p, abs=0.01)
    assert means["noise"] == pytest.approx(p, abs=0.025)
    assert means["oracle"] == pytest.approx(1 - (1 - p) ** k, abs=0.02)
    assert np.allclose(found["hint"], found["oracle"])
    if k <= 2:
        assert np.allclose(found["majority"], found["random"])  # one vote each, or a tie


def test_majority_of_two_answers_is_a_binomial_tail():
    from scipy.stats import binom

    solved = np.random.default_rng(1).random((4000, 5)) < 0.6
    accuracy = expected_accuracies(solved, solved.astype(int), {}, 5)["majority"].mean()
    assert accuracy == pytest.approx(binom.sf(2, 5, 0.6), abs=0.02)


def test_many_rollouts_with_many_answers_are_exact():
    """40 votes of 100 win whatever the 60 others say as long as these differ; against 60 alike they lose."""
    solved = np.arange(100)[None] < 40
    differ, alike = np.where(solved, 0, np.arange(100)), np.where(solved, 0, 1)
    assert expected_accuracies(solved, differ, {}, 100)["majority"].tolist() == [1.0]
    assert expected_accuracies(solved, alike, {}, 100)["majority"].tolist() == [0.0]
    two = expected_accuracies(solved, differ, {}, 2)["majority"]
    assert two == pytest.approx(0.4)  # a tie, or both right: 0.4 in all


def test_two_right_answers_both_count():
    solved, answer = np.array([[True, True, False]]), np.array([[0, 1, 2]])
    assert expected_accuracies(solved, answer, {}, 3)["majority"] == pytest.approx(2 / 3)


def test_ties_and_nan_do_not_favour_an_order():
    solved = np.array([[True, False, False, True]])
    answer = np.array([[0, 1, 2, 0]])

    def accuracy(score, k=4):
        return expected_accuracies(solved, answer, {"s": np.array([score])}, k)["s"][0]

    nan = np.nan
    assert accuracy([1, 1, 1, 1], 2) == accuracy([nan] * 4, 2) == pytest.approx(0.5)
    assert accuracy([nan, 0, nan, nan]) == 0 and accuracy([0, nan, nan, nan]) == 1
    assert accuracy([5, 5, 0, 0]) == pytest.approx(0.5) and accuracy([5, 5, 0, 0], 2) == pytest.approx(
        (0.5 + 1 + 1 + 0 + 0 + 0.5) / 6
    )
    order = [2, 0, 3, 1]
    shuffled = expected_accuracies(solved[:, order], answer[:, order], {"s": np.array([[5.0, 4, 3, 2]])[:, order]}, 3)
    assert all(
        np.allclose(values, expected_accuracies(solved, answer, {"s": np.array([[5.0, 4, 3, 2]])}, 3)[name])
        for name, values in shuffled.items()
    )


def test_the_table_pairs_selectors_on_the_same_puzzles():
    solved, answer, rng = rollouts(300, 20, np.repeat([0.05, 0.6, 0.9], 100)[:, None])
    table = selection(solved, answer, {"Q": solved + rng.normal(size=solved.shape)})
    assert powers_of_four(20) == [1, 4, 16, 20] and [row.k for row in table[::4]] == [1, 4, 16, 20]
    assert [row.selector for row in table[:4]] == ["random", "majority", "Q", "oracle"]
    assert all(row.accuracy.estimate == pytest.approx(solved.mean()) for row in table[:4])
    at_16 = {row.selector: row for row in table[8:12]}
    q, oracle = at_16["Q"], at_16["oracle"]
    assert q.over_random.low > 0.05 and q.accuracy.low < q.accuracy.estimate < q.accuracy.high
    assert q.gap.estimate == pytest.approx(oracle.accuracy.estimate - q.accuracy.estimate) and q.gap.low > 0
    assert oracle.gap.estimate == oracle.gap.high == 0 and at_16["majority"].over_majority.estimate == 0
    # Paired: the difference is known better than the accuracies are.
    assert np.ptp([q.gap.low, q.gap.high]) < np.ptp([q.accuracy.low, q.accuracy.high])


def test_choices_that_are_equal_up_to_rounding_are_equal():
    """Of 8 rollouts of which all are right every choice is, whatever the weights of the subsets sum to."""
    solved = np.ones((9, 8), bool)
    # With and without ties: the weights then sum to different numbers beside 1.
    scores = {"score": np.arange(72.0).reshape(9, 8), "ties": np.random.default_rng(0).integers(0, 5, (9, 8))}
    for row in selection(solved, solved, scores, range(1, 9)):
        assert row.gap.low == row.gap.high == row.over_random.low == row.over_majority.high == 0
        assert row.accuracy.low == pytest.approx(wilson_interval(9, 9).low)


def test_breadth_is_compared_with_depth_puzzle_by_puzzle():
    solved = np.array([[True, False], [True, True], [False, False], [True, False]])
    rows = against_depth(solved, solved, {}, {1: [True, True, False, False], 2: [False, True, False, True]})
    found = {(row.selector, row.k): row for row in rows}
    assert found["random", 1].over_deep.estimate == pytest.approx((-0.5 + 0 + 0 + 0.5) / 4)
    assert found["oracle", 2].over_deep.estimate == pytest.approx(0.25)
    assert found["oracle", 2].deep.estimate == 0.5 and found["oracle", 2].deep.n == 4
    assert np.ptp([found["majority", 1].over_deep.low, found["majority", 1].over_deep.high]) > 0
    with pytest.raises(ValueError, match="deep rollouts at k = 1 have shape .3,., solved .4, 2."):
        against_depth(solved, solved, {}, {1: [True] * 3})


def test_the_interval_covers_puzzles():
    """Accuracies of samples of 50 puzzles that differ in difficulty."""
    rng, hits = np.random.default_rng(0), 0
    for _ in range(400):
        solved = rng.random((50, 8)) < rng.beta(0.5, 0.5, (50, 1))
        (row,) = [r for r in selection(solved, solved, {}, [1]) if r.selector == "random"]
        hits += 0.5 in row.accuracy
    assert 0.92 <= hits / 400 <= 0.98


def test_all_solved_or_none_keeps_a_width():
    for value in (True, False):
        solved = np.full((40, 4), value)
        for row in selection(solved, solved, {}):
            assert row.accuracy.estimate == value and row.accuracy.high - row.accuracy.low > 0.05


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k": 5}, "k is 5: of 4 rollouts 1 to 4"),
        ({"k": 0}, "k is 0"),
        ({"answer": np.zeros((3, 3))}, "answer has shape .3, 3., solved .3, 4."),
        ({"scores": {"oracle": np.zeros((3, 4))}}, "'oracle' is no name for a score"),
        ({"scores": {"Q": np.zeros(3)}}, "Q has shape"),
    ],
)
def test_bad_input_is_named(changes, message):
    arguments = {"solved": np.zeros((3, 4), bool), "answer": np.zeros((3, 4)), "scores": {}, "k": 2} | changes
    with pytest.raises(ValueError, match=message):
        expected_accuracies(**arguments)
    with pytest.raises(ValueError, match="N at least 2"):
        selection(np.zeros((1, 4), bool), np.zeros((1, 4)), {})


def stops(segment, rank=None, solved=None):
    segment = np.array(segment)
    rank = np.zeros(segment.shape) if rank is None else np.array(rank, float)
    return Stops(segment, rank, segment > 0 if solved is None else np.array(solved, bool))


def chosen(rule, k, solved=None):
    ends = np.zeros(rule.segment.shape, bool) if solved is None else solved
    return expected_accuracies(ends, ends, {}, k, {"first": rule})["first"].tolist()


def test_the_first_to_stop_is_taken_and_only_segments_up_to_it_are_run():
    # One right rollout, the first to stop of all; it is among k of 4 with probability k / 4.
    early = stops([[5, 2, 0, 3]], solved=[[False, True, False, False]])
    assert chosen(early, 4) == [1.0] and chosen(early, 1) == [0.25] and chosen(early, 2) == [0.5]
    assert early.segments(8, 4).tolist() == [4 * 2] and early.segments(8, 1) == pytest.approx((5 + 2 + 8 + 3) / 4)
    pairs = [min(pair) for pair in combinations((5, 2, 8, 3), 2)]
    assert early.segments(8, 2) == pytest.approx(2 * np.mean(pairs))


def test_ties_go_to_the_highest_rank_and_equal_ranks_share():
    right = [[False, True, True, False]]
    assert chosen(stops([[3, 3, 0, 4]], [[0.1, 50.0, -np.inf, 99.0]], right), 4) == [1.0]
    assert chosen(stops([[3, 3, 0, 4]], [[60.0, 50.0, -np.inf, 99.0]], right), 4) == [0.0]
    assert chosen(stops([[3, 3, 0, 4]], [[1e9, 1e9, -np.inf, 99.0]], right), 4) == [0.5]
    assert chosen(stops([[2, 3, 3, 3]], [[-1e9, 7.0, 8.0, 9.0]], right), 4) == [0.0]  # first, whatever its rank


def test_when_nobody_stops_the_last_answers_count_and_all_is_run():
    ends = np.array([[True, False, False, True], [False, False, True, True]])
    nobody = stops(np.zeros((2, 4), int), solved=ends)
    assert chosen(nobody, 3, ends) == pytest.approx([0.5, 0.5]) and nobody.segments(8, 3).tolist() == [24, 24]
    one = stops([[0, 0, 0, 0], [0, 7, 0, 0]], solved=ends)
    assert chosen(one, 4, ends) == [0.5, 0.0] and one.segments(8, 4).tolist() == [32, 28]


def test_every_selector_has_its_price_and_one_rollout_of_that_price():
    solved, answer, rng = rollouts(50, 4, 0.5)
    alone = np.arange(1, 33)[None] >= rng.integers(1, 33, 50)[:, None]  # right from some segment on
    rule = Stops(rng.integers(0, 9, solved.shape), rng.normal(size=solved.shape), solved)
    table = selection(solved, answer, {"Q": rng.random(solved.shape)}, depth=8, stops={"first": rule}, alone=alone)
    assert [row.selector for row in table[:5]] == ["random", "majority", "Q", "first", "oracle"]
    at = {(row.selector, row.k): row for row in table}
    for name, segments in (("random", 8), ("majority", 32), ("Q", 32), ("oracle", 32)):
        row = at[name, 4]
        assert row.segments.estimate == row.segments.low == segments
        assert row.alone.estimate == alone[:, segments - 1].mean()
    first = at["first", 4]
    assert first.segments.estimate == pytest.approx(rule.segments(8, 4).mean())
    assert first.segments.low < first.segments.estimate < 32
    assert first.alone.estimate == alone[:, int(np.ceil(first.segments.estimate)) - 1].mean()
    short = selection(solved, answer, {}, [1, 4], depth=8, alone=alone[:, :8])
    assert [row.alone is None for row in short] == [False, False, False, False, True, True]
    assert all(row.alone is None for row in selection(solved, answer, {}))

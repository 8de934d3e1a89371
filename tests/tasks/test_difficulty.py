"""The rating of a set by its task, its noise, and tiers."""

from dataclasses import replace

import numpy as np
import pytest

from rrm.errors import InputError
from rrm.tasks import get_task
from rrm.tasks.difficulty import noise, rated, tier_edges, tier_of
from rrm.tasks.sudoku_box import Box
from rrm.tasks.sudoku_rating import settling


@pytest.fixture(scope="module")
def puzzles():
    return {name: get_task(name).generate(60, 3) for name in ("sudoku-4x4", "sudoku-6x6", "sudoku-9x9", "maze-8x8")}


def test_settling_counts_rounds():
    task = get_task("sudoku-4x4")
    full = "1234341221434321"
    assert settling(np.array([task.encode(full)]), Box(2, 2)).tolist() == [0]
    assert settling(np.array([task.encode("12.." + full[4:])]), Box(2, 2)).tolist() == [2 / 16]  # both in round 1
    # no digit can be placed: all cells stay open through the first round, which changes nothing
    assert settling(np.array([task.encode("." * 16)]), Box(2, 2)).tolist() == [1]


@pytest.mark.parametrize("name", ["sudoku-4x4", "sudoku-6x6", "sudoku-9x9", "maze-8x8"])
def test_ratings_spread_and_repeat(puzzles, name):
    given = puzzles[name]
    first, again = rated(given), rated(given)
    assert np.array_equal(first.rating, again.rating) and first.rating.dtype == np.float32
    edges = tier_edges(first.rating)
    sizes = np.bincount(tier_of(first.rating, edges))
    assert len(sizes) == 3 and sizes.min() >= len(given) / 6


def test_tiers_are_as_equal_as_ties_allow():
    ratings = np.array([1, 1, 1, 1, 2, 3, 3, 4], np.float32)
    edges = tier_edges(ratings)
    assert edges.tolist() == [2, 3] and tier_of(ratings, edges).tolist() == [0, 0, 0, 0, 1, 2, 2, 2]
    assert tier_of(np.array([0, 2.5, 9]), edges).tolist() == [0, 1, 2]


def test_rounds_are_the_same_for_symmetric_copies(puzzles):
    given = puzzles["sudoku-6x6"]
    task = get_task(given.task)
    inputs, _ = task.augment(given.inputs, given.labels, np.random.default_rng(0))
    assert np.array_equal(settling(inputs, task.box), settling(given.inputs, task.box))


def test_noise_is_that_of_guesses(puzzles):
    drawn = get_task("sudoku-9x9").generate(80, 4, 17)
    hard = noise(drawn)["all"]
    assert hard.single < hard.reliability and hard.reliability > 0.9 and 0 < hard.variation and 0.3 < hard.guessing
    apart = noise(replace(drawn, source=np.array(["one"] + 39 * ["a"] + 40 * ["b"])))
    assert list(apart) == ["all", "a", "b"] and apart["all"] == hard
    assert list(noise(puzzles["maze-8x8"])) == ["all"] and noise(puzzles["maze-8x8"])["all"].reliability == 1


def test_bad_sets_are_refused(puzzles):
    unrated = puzzles["sudoku-4x4"]
    with pytest.raises(InputError, match="60 of 60 puzzles have no rating"):
        tier_edges(unrated.rating)
    equal = replace(unrated, rating=np.ones(60, np.float32))
    with pytest.raises(InputError, match="3 tiers of 1 different rating"):
        tier_edges(equal.rating)
    with pytest.raises(InputError, match="0 puzzles"):
        tier_edges(equal.rating[:0], 0)
    with pytest.raises(InputError, match="2 or more"):
        noise(unrated.subset([0]))

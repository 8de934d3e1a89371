import numpy as np
import pytest
from scipy.stats import spearmanr

from rrm.statistics.within_problem import (
    agreement,
    mean_correlation,
    mixed_problems,
    pooled_correlation,
    within_problem,
)


def test_the_trap_difficulty_alone_correlates_pooled_and_not_within():
    rng = np.random.default_rng(0)
    difficulty = rng.normal(size=(200, 1))
    q, stability = (difficulty + rng.normal(size=(200, 16)) for _ in range(2))
    within, pooled = mean_correlation(within_problem(q, stability)), pooled_correlation(q, stability)
    assert 0 in within and within.n == 200 and within.high - within.low < 0.08
    assert pooled.low > 0.35 and pooled.estimate == pytest.approx(spearmanr(q.ravel(), stability.ravel()).statistic)


def test_the_null_interval_covers_zero_as_often_as_it_says():
    values = within_problem(*np.random.default_rng(1).normal(size=(2, 4000, 8)))
    hits = [0 in mean_correlation(sample) for sample in values.reshape(100, 40)]
    assert 0.88 <= np.mean(hits) <= 0.99


@pytest.mark.parametrize("n", [2, 3, 5])
def test_a_handful_of_problems_seldom_claims_a_correlation(n):
    """A percentile bootstrap claimed one in half of the samples of two problems, and in a quarter of three."""
    values = np.random.default_rng(n).normal(0.0, 0.3, (1000, n))
    assert np.mean([0 in mean_correlation(sample) for sample in values]) == pytest.approx(0.95, abs=0.021)


@pytest.mark.parametrize("n", [5, 20])
def test_the_pooled_interval_covers_over_problems(n):
    def draw(problems):
        difficulty = rng.normal(size=(problems, 1))
        return (2 * difficulty + rng.normal(size=(problems, 8)) for _ in range(2))

    rng = np.random.default_rng(n)
    truth = pooled_correlation(*draw(40_000)).estimate
    assert truth == pytest.approx(0.786, abs=0.005)
    # With 5 problems the percentile bootstrap covers 75 %.
    assert np.mean([truth in pooled_correlation(*draw(n)) for _ in range(300)]) >= 0.87


def test_the_pooled_correlation_is_spearmans_with_ties_too():
    x, y = np.random.default_rng(0).integers(0, 4, (2, 30, 8)).astype(float)
    found = pooled_correlation(x, x + y)
    assert found.estimate == pytest.approx(spearmanr(x.ravel(), (x + y).ravel()).statistic)
    assert found.low < found.estimate < found.high
    alike, constant = pooled_correlation(x, 2 * x), pooled_correlation(x, 0 * x)
    assert alike.estimate == pytest.approx(1) and np.isnan(alike.low) and np.isnan(constant.estimate)


def test_a_control_takes_away_what_it_explains_and_no_more():
    rng = np.random.default_rng(2)
    settled = rng.integers(1, 16, (150, 32)).astype(float)
    q, stability = (-settled / 4 + rng.normal(size=settled.shape) for _ in range(2))
    assert mean_correlation(within_problem(q, stability)).low > 0.3
    assert abs(mean_correlation(within_problem(q, stability, [settled])).estimate) < 0.06
    shared = rng.normal(size=settled.shape)
    left = mean_correlation(within_problem(q + 2 * shared, stability + 2 * shared, [settled]))
    assert left.low > 0.5


def test_correlations_are_those_of_scipy_with_ties():
    rng = np.random.default_rng(3)
    x, y = rng.integers(0, 5, (2, 10, 12))
    found = within_problem(x, y)
    assert np.allclose(found, [spearmanr(*rows).statistic for rows in zip(x, y, strict=True)])
    assert np.allclose(within_problem(x, y, [np.ones_like(x)]), found)  # a constant controls nothing


def test_what_is_undefined_is_nan_and_left_out():
    x = np.array([[1.0, 2, 3, 4, 5], [1, 1, 1, 1, 1], [1, 2, 3, 4, np.nan], [5, 4, 3, 2, 1]])
    y = np.tile([1.0, 2, 3, 4, 5], (4, 1))
    values = within_problem(x, y)
    assert np.allclose(values, [1, np.nan, np.nan, -1], equal_nan=True)
    assert mean_correlation(values).n == 2 and np.isnan(mean_correlation(values[:2]).estimate)
    assert np.isnan(within_problem(x, y, [y])).all()  # nothing is left of y
    assert np.isnan(within_problem(x[:, :3], y[:, :3])).all()  # three points always correlate
    assert pooled_correlation(x, y).n == 3 and np.isnan(pooled_correlation(x[:1], y[:1]).estimate)
    with pytest.raises(ValueError, match="must be .N, K."):
        within_problem(x, y[:, :3])


def test_mixed_problems_and_agreement():
    assert mixed_problems([[1, 1], [0, 1], [0, 0]]).tolist() == [False, True, False]
    assert agreement([[7, 7, 8]]).tolist() == [[0.5, 0.5, 0.0]]

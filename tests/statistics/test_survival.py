import numpy as np
import pytest

from rrm.statistics import escape_probability, kaplan_meier
from rrm.statistics.survival import median_time


def test_kaplan_meier_by_hand():
    curve = kaplan_meier([1, 2, 2, 5, 2, 3, 6, 6], [1, 1, 1, 1, 0, 0, 0, 0])
    assert curve.time == pytest.approx([1, 2, 3, 5, 6])
    assert curve.survival == pytest.approx([7 / 8, 7 / 8 * 5 / 7, 5 / 8, 5 / 8 * 2 / 3, 5 / 12])
    assert list(curve.at_risk) == [8, 7, 4, 3, 2]
    assert (curve.n, curve.n_events) == (8, 4)
    # log-log interval with Greenwood's sum at the first time: 1 / (8 * 7).
    half = 1.959964 * np.sqrt(1 / 56) / -np.log(7 / 8)
    assert curve.low[0] == pytest.approx((7 / 8) ** np.exp(half)) and curve.high[0] == pytest.approx(
        (7 / 8) ** np.exp(-half)
    )


def test_intervals_where_log_log_has_none():
    curve = kaplan_meier([1, 2, 3], [0, 0, 0])
    assert (curve.survival == 1).all() and (curve.high == 1).all()
    assert curve.low == pytest.approx(0.025 ** (1 / np.array([3, 2, 1])))
    curve = kaplan_meier([1, 2, 3], [0, 1, 1])
    assert curve.survival[-1] == 0 and curve.low[-1] == 0 and curve.high[-1] == curve.high[-2] < 1
    assert kaplan_meier([1, 2], [0, 1]).high[-1] == 1


def test_censoring_is_not_escape():
    rng = np.random.default_rng(0)
    escape = rng.exponential(10, 20_000)
    time, escaped = np.minimum(escape, 8), escape <= 8
    curve = kaplan_meier(time.clip(1e-9).round(1) + 0.05, escaped)
    assert np.abs(curve.survival - np.exp(-(curve.time) / 10)).max() < 0.015


def test_the_median_of_a_curve_and_its_ends():
    curve = kaplan_meier(np.arange(1, 21), np.ones(20))
    found = median_time(curve)
    assert found.estimate == 10 and found.low == curve.time[curve.low <= 0.5][0] < 10 < found.high < 16
    never = median_time(kaplan_meier([5, 9, 9], [1, 0, 0]))
    assert never.estimate == never.high == np.inf


def test_exact_binomial_interval():
    # Three events in 10 trials: Clopper and Pearson's limits.
    chance = escape_probability([4, 3, 2, 1], [1, 1, 1, 0])
    assert (chance.estimate, chance.low, chance.high) == pytest.approx((0.3, 0.06674, 0.65245), abs=1e-5)
    nobody = escape_probability([16] * 10, [0] * 10)
    assert (nobody.estimate, nobody.low) == (0, 0) and nobody.high == pytest.approx(1 - 0.025 ** (1 / 160))
    assert np.isnan(escape_probability([], []).estimate)
    with pytest.raises(ValueError, match="1 of 2 escape times are no whole segments"):
        escape_probability([1.5, 2], [1, 1])


@pytest.mark.parametrize("p", [0.05, 0.3])
def test_a_constant_chance_looks_constant(p):
    time = np.random.default_rng(0).geometric(p, 20_000)
    chance = escape_probability(np.minimum(time, 12), time <= 12)
    assert p in chance
    curve = kaplan_meier(time, np.ones(len(time)))
    early = curve.time <= 12
    assert (1 - chance.estimate) ** curve.time[early] == pytest.approx(curve.survival[early], abs=0.015)


@pytest.mark.parametrize("function", [kaplan_meier, escape_probability])
@pytest.mark.parametrize(
    ("time", "escaped", "message"), [([0, 1], [1, 1], "1 of 2"), ([np.nan], [0], "1 of 1"), ([1, 2], [1], "shapes")]
)
def test_bad_input_is_named(function, time, escaped, message):
    with pytest.raises(ValueError, match=message):
        function(time, escaped)

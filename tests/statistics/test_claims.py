"""Verdicts of claims, against intervals of Student's t computed by hand."""

import math

import pytest

from rrm.statistics.claims import DOES_NOT_HOLD, HOLDS, OPEN, judge

# Mean m and SD .01 of three values: the half-width is 4.3027 x .01 / sqrt(3) = .02484.
SPREAD = (-0.01, 0.0, 0.01)


def values(mean, spread=SPREAD):
    return {seed: mean + by for seed, by in enumerate(spread)}


@pytest.mark.parametrize(
    "mean, null, smallest, verdict",
    [
        (0.30, 0.0, 0.05, HOLDS),
        (0.80, 0.5, 0.05, HOLDS),
        (0.00, 0.0, 0.05, DOES_NOT_HOLD),
        (-0.3, 0.0, 0.05, DOES_NOT_HOLD),  # an effect against the claim
        (0.06, 0.0, 0.10, DOES_NOT_HOLD),  # an effect, but too small to count
        (0.04, 0.0, 0.05, OPEN),  # told from the null, and effects that count are not excluded
        (0.024, 0.0, 0.01, OPEN),  # large enough, but not told from the null
    ],
)
def test_verdict(mean, null, smallest, verdict):
    (found,) = judge([(values(mean), null, smallest)])
    assert found.verdict == verdict
    assert found.effect.high - found.effect.estimate == pytest.approx(0.024841, rel=1e-4)


def test_p_is_corrected_over_the_table_and_decides():
    # t = .0346 / (.01 / sqrt(3)) = 6, p = .0267: alone told from 0, among three tests not.
    one = (values(0.034641), 0.0, 0.01)
    (alone,) = judge([one])
    assert alone.verdict == HOLDS and alone.p == pytest.approx(0.0267, rel=1e-2)
    found, *_ = judge([one, one, one])
    assert found.verdict == OPEN and found.p_holm == pytest.approx(3 * alone.p)
    assert found.detectable > alone.detectable > 0


@pytest.mark.parametrize("known", [{}, {0: 0.3}, {0: 0.3, 1: math.nan}])
def test_one_seed_says_nothing(known):
    found, other = judge([(known, 0.0, 0.05), (values(0.3), 0.0, 0.05)])
    assert found.verdict == OPEN and math.isnan(found.p_holm) and math.nan not in found.values.values()
    assert other.p_holm == pytest.approx(other.p) and other.verdict == HOLDS


def test_equal_seeds_have_the_least_spread_that_is_believed():
    found, none = judge([({0: 1.0, 1: 1.0, 2: 1.0}, 0.5, 0.2), ({0: 0.5, 1: 0.5, 2: 0.5}, 0.5, 0.2)])
    # .2 / 20 = .01, the spread above.
    assert found.effect.high - 1 == pytest.approx(0.024841, rel=1e-4)
    assert (found.verdict, none.verdict) == (HOLDS, DOES_NOT_HOLD)

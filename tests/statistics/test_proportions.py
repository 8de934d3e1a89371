import pytest

from rrm.statistics import newcombe_interval, rule_of_three, wilson_interval


def test_wilson_published_example():
    # Newcombe 1998 (Statistics in Medicine 17, 857), 81 of 263, method 3.
    interval = wilson_interval(81, 263)
    assert (interval.low, interval.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_wilson_keeps_its_width_at_none_and_all():
    none, every = wilson_interval(0, 20), wilson_interval(20, 20)
    assert (none.low, every.high) == (0, 1)
    assert none.high == pytest.approx(1 - every.low) == pytest.approx(0.1611, abs=5e-5)


def test_newcombe_published_examples():
    # Newcombe 1998 (Statistics in Medicine 17, 873), table II, method 10.
    a = newcombe_interval(56, 70, 48, 80)
    assert (a.low, a.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    zero = newcombe_interval(0, 10, 0, 20)
    assert (zero.low, zero.high) == pytest.approx((-0.1611, 0.2775), abs=5e-5)
    assert (a.n, a.estimate) == (150, pytest.approx(0.2))


def test_what_a_count_of_zero_excludes():
    assert rule_of_three(254) == pytest.approx(0.0117, abs=5e-5)
    assert rule_of_three(254) == pytest.approx(3 / 254, rel=0.01)
    assert rule_of_three(0) == 1

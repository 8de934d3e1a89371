import numpy as np
import pytest

from rrm.statistics import wilson_interval
from rrm.statistics.proportions import newcombe_interval, paired_newcombe_interval


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


@pytest.mark.parametrize(
    ("counts", "ends"),
    [
        # Both, only a, only b, neither. The first as printed by Fagerland et al., Statist. Med. 33 (2014) 2850.
        ((1, 1, 7, 12), (-0.507, -0.026)),
        ((0, 0, 0, 30), (-0.1135, 0.1135)),
    ],
)
def test_paired_difference(counts, ends):
    a, b = (np.repeat(solved, counts) for solved in ([1, 1, 0, 0], [1, 0, 1, 0]))
    found = paired_newcombe_interval(a, b)
    assert (found.low, found.high) == pytest.approx(ends, abs=6e-4) and found.n == sum(counts)
    swapped = paired_newcombe_interval(b, a)
    assert (swapped.low, swapped.high) == pytest.approx((-found.high, -found.low))


def test_pairing_is_worth_its_while_and_covers():
    rng, hits, widths = np.random.default_rng(0), 0, []
    for _ in range(1000):
        hard = rng.beta(0.3, 0.3, 100)  # most puzzles are solved by both or by neither
        a, b = rng.random((2, 100)) < hard
        paired, alone = paired_newcombe_interval(a, b), newcombe_interval(int(a.sum()), 100, int(b.sum()), 100)
        hits += 0 in paired
        widths.append((paired.high - paired.low) / (alone.high - alone.low))
    assert 0.94 <= hits / 1000 <= 0.985 and np.mean(widths) < 0.85


def test_paired_outcomes_of_other_puzzles_are_refused():
    with pytest.raises(ValueError, match="two times .N., N at least 1; got .3,. and .2,."):
        paired_newcombe_interval([1, 0, 1], [1, 0])

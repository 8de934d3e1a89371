import numpy as np
import pytest

from rrm.statistics import bootstrap_interval


def test_interval_reads_as_one_formatted_text():
    interval = bootstrap_interval(np.mean, [1.0, 1.0], n_resamples=3)
    assert f"{interval:+.2f}" == "+1.00 [+1.00, +1.00]"
    assert (interval.level, interval.n, interval.n_dropped) == (0.95, 2, 0)
    assert 1.0 in interval and 1.1 not in interval


def test_mean_agrees_with_its_standard_error():
    x = np.random.default_rng(0).normal(size=400)
    interval = bootstrap_interval(np.mean, x)
    assert interval.estimate == x.mean()
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * x.std() / 20, rel=0.08)


def test_seed_decides_and_rows_stay_paired():
    x = np.random.default_rng(0).normal(size=50)
    assert bootstrap_interval(np.mean, x, seed=1) == bootstrap_interval(np.mean, x, seed=1)
    assert bootstrap_interval(np.mean, x, seed=1) != bootstrap_interval(np.mean, x, seed=2)
    paired = bootstrap_interval(lambda a, b: np.abs(a - b).max(), x, x, n_resamples=50)
    assert (paired.low, paired.high) == (0, 0)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((), {}, "one or more arrays"),
        (([1, 2], [1]), {}, "equal numbers of rows"),
        (([],), {}, "at least one row"),
        (([1, 2],), {"level": 95}, "between 0 and 1"),
        (([1, 2],), {"n_resamples": 0}, "one resample"),
    ],
)
def test_bad_input_is_named(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(lambda *arrays: 0.0, *arguments, **options)

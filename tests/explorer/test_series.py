"""From logged points to the points of a line."""

import numpy as np
import pytest

from rrm.explorer.series import AXES, fewer, line, needed, smooth, within


def test_a_series_is_drawn_against_steps_clocks_and_events():
    curves = {
        "loss": (np.array([0, 10, 20, 20, 30, 40]), np.array([5.0, np.inf, 3.0, 2.5, np.nan, 1.0])),
        "call_units": (np.array([20, 30]), np.array([200.0, 400.0])),
        "grokking/grokked_step": (np.array([30, 40]), np.array([np.nan, 30.0])),
    }
    x, y = line(curves, "loss", "step")
    assert x.tolist() == [0, 10, 20, 30, 40]
    np.testing.assert_array_equal(y, [5.0, np.nan, 2.5, np.nan, 1.0])
    x, y = line(curves, "loss", "calls")
    assert x.tolist() == [0, 100, 200, 400] and len(y) == 4
    assert line(curves, "loss", "grokked")[0].tolist() == [-30, -20, -10, 0, 10]
    assert line(curves, "loss", "memorised") is None and line(curves, "loss", "seconds") is None
    assert set(needed("seconds")) == {"time/train_s", "time/evaluate_s"} and len(AXES) == 7


@pytest.mark.parametrize(
    ("width", "expected"),
    [(1, [1, 2, np.nan, 4, 8]), (3, [1.5, 1.5, np.nan, 6, 6]), (99, [3.75, 3.75, np.nan, 3.75, 3.75])],
)
def test_smoothing_is_a_mean_that_keeps_gaps(width, expected):
    np.testing.assert_allclose(smooth(np.array([1.0, 2.0, np.nan, 4.0, 8.0]), width), expected)


def test_a_range_keeps_a_point_beyond_each_end():
    x = np.arange(10.0)
    assert x[within(x, 3.5, 6)].tolist() == [3, 4, 5, 6, 7]
    assert x[within(x, None, None)].tolist() == x.tolist() and x[within(x, -5, 0)].tolist() == [0, 1]


def test_fewer_points_keep_extremes_and_gaps():
    x, y = np.arange(10_000.0), np.zeros(10_000)
    y[1234], y[8000], y[5000:5003] = 9.0, -9.0, np.nan
    few, kept = fewer(x, y, 200)
    assert len(few) <= 202 and np.nanmax(kept) == 9 and np.nanmin(kept) == -9 and np.isnan(kept).sum() == 1
    assert 1234.0 in few and few[0] == 0 and few[-1] == 9999 and np.all(np.diff(few) > 0)
    assert len(fewer(x[:50], y[:50], 200)[0]) == 50
    assert len(fewer(x, np.where(x % 2, np.nan, x), 200)[0]) <= 200

import math

import numpy as np
import pytest

from rrm.figures import horizon_figure
from rrm.figures.style import DRIFT, LAMBDA, NULL
from rrm.statistics import Interval, wilson_interval
from rrm.statistics.horizon import HorizonPoint

UNDEFINED = Interval(math.nan, math.nan, math.nan, 0.95, 3)


def interval(estimate):
    return Interval(estimate, estimate - 0.03, estimate + 0.01, 0.95, 1000)


def point(window, solved=None, antecedent=True, defined=True):
    """AUCs that tell the fields apart: 0.90 lambda_last, 0.91 lambda_window, ..."""
    aucs = [interval(0.9 + 0.01 * i) if defined else UNDEFINED for i in range(6)]
    before = [interval(0.48), interval(0.52)] if antecedent else [UNDEFINED, UNDEFINED]
    return HorizonPoint(
        window, wilson_interval(40 * window if solved is None else solved, 1000), *aucs[:4], *before, aucs[4]
    )


def curve(ax, look):
    """Windows and values of the line of a score."""
    (line,) = [line for line in ax.lines if line.get_color() == look.colour]
    return line.get_xdata().tolist(), line.get_ydata()


def words(ax):
    return [text.get_text() for text in ax.texts]


def test_each_panel_draws_its_own_outcome(overlaps):
    figure = horizon_figure("TRM", [point(8), point(2), point(4, antecedent=False)])
    at_window, at_last, antecedent, solved = figure.axes
    assert curve(at_window, LAMBDA)[0] == [2, 4, 8]
    expected = {
        at_window: {LAMBDA: 0.91, DRIFT: 0.93, NULL: 0.94},
        at_last: {LAMBDA: 0.9, DRIFT: 0.92},
    }
    for ax, curves in expected.items():
        for look, value in curves.items():
            assert curve(ax, look)[1] == pytest.approx(value)
    assert curve(antecedent, LAMBDA)[1] == pytest.approx([0.48, np.nan, 0.48], nan_ok=True)
    assert solved.lines[-1].get_ydata() == pytest.approx([8, 16, 32])
    assert words(antecedent) == ["puzzles unsolved at $w$", "920", "840", "680"]
    assert all(list(line.get_ydata()) == [0.5, 0.5] for ax in figure.axes[:3] for line in ax.lines[:1])
    assert all("segments" in ax.get_xlabel() for ax in figure.axes)
    assert "1000 puzzles" in figure.get_suptitle()
    (legend,) = figure.legends
    assert ["null" in name.get_text() for name in legend.get_texts()] == [False, False, True]
    assert not overlaps(figure)


def test_bands_are_the_intervals_and_a_lonely_point_has_a_whisker():
    at_window, _, antecedent, _ = horizon_figure("TRM", [point(2), point(4, antecedent=False), point(8)]).axes
    band = at_window.collections[-2].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == pytest.approx((0.88, 0.92))
    whiskers = antecedent.collections[-1].get_segments()
    assert [whisker[:, 0].tolist() for whisker in whiskers] == [[2, 2], [8, 8]]
    assert whiskers[0][:, 1] == pytest.approx([0.45, 0.49])


@pytest.mark.parametrize(
    "points",
    [
        [point(2)],
        [point(window, defined=False, antecedent=False) for window in (2, 4)],
        [point(window, solved=10 * window) for window in range(2, 65, 2)],
        [point(window, solved=999) for window in range(1, 17)],
    ],
    ids=["one window", "undefined", "32 windows", "all but one solved"],
)
def test_awkward_curves(points, overlaps):
    figure = horizon_figure("a long name of a model, " * 8, points)
    assert not overlaps(figure)
    assert figure.axes[2].get_xticks()[-1] == points[-1].window
    assert figure.axes[0].get_ylim() == figure.axes[2].get_ylim()


def test_a_panel_without_any_auc_says_so():
    antecedent = horizon_figure("TRM", [point(2, antecedent=False)]).axes[2]
    assert "fewer than 5 solved or failed" in words(antecedent)[0]


def test_a_curve_needs_a_window():
    with pytest.raises(ValueError, match="at least one window"):
        horizon_figure("TRM", [])

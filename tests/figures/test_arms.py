import math

import pytest

from rrm.figures import arm_differences
from rrm.statistics import SweepPoint, compare_arms

T2 = 4.302653  # Student's t, two-sided 5 %, 2 degrees of freedom
BASELINE = (0.60, 0.62, 0.64)


def runs(arm, peaks, model="TRM", **more):
    fields = {"n": 500, "stopped_early": False, "baseline": arm == "baseline", "call_units": 100.0} | more
    return [SweepPoint(model, arm, peak, peak, validation=peak, seed=seed, **fields) for seed, peak in enumerate(peaks)]


def drawn(ax, marker):
    return [line for line in ax.lines if line.get_marker() == marker]


def test_a_row_holds_difference_interval_seeds_and_baseline_spread():
    (ax,) = arm_differences(
        compare_arms([*runs("baseline", BASELINE), *runs("noise", (0.62, 0.66, 0.70), call_units=150.0)])
    ).axes
    (peak,), (final,) = drawn(ax, "o"), drawn(ax, "s")
    assert (peak.get_xdata()[0], final.get_xdata()[0]) == pytest.approx((4, 4))
    assert peak.get_markerfacecolor() == "white"
    margin = 100 * T2 * 0.02 / math.sqrt(3)
    intervals = [line.get_xdata() for line in ax.lines if len(line.get_xdata()) == 2 and line.get_marker() == "None"]
    assert [tuple(ends) for ends in intervals[:2]] == [pytest.approx((4 - margin, 4 + margin))] * 2
    assert drawn(ax, ".")[0].get_xdata() == pytest.approx([2, 4, 6])
    assert [(bar.get_x(), bar.get_width()) for bar in ax.patches] == [pytest.approx((-2, 4))] * 2
    assert [text.get_text() for text in ax.texts] == ["n = 3\n1.50 ×\ncompute"]
    left, right = ax.get_xlim()
    assert left < 4 - margin and 4 + margin < right


def test_filled_where_the_interval_excludes_no_difference():
    points = [*runs("baseline", BASELINE), *runs("up", (0.70, 0.73, 0.74)), *runs("down", (0.5, 0.53, 0.54))]
    (ax,) = arm_differences(compare_arms(points)).axes
    assert [mark.get_markerfacecolor() == mark.get_color() for mark in drawn(ax, "o")] == [True, True]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["up", "down"]


def test_models_share_rows_and_one_seed_has_no_interval(overlaps):
    points = [*runs("baseline", BASELINE), *runs("a", (0.62, 0.66, 0.70)), *runs("b", (0.7,))]
    points += [*runs("baseline", BASELINE, "HRM"), *runs("b", (0.5, 0.53, 0.54), "HRM")]
    points += [*runs("baseline", (0.6,), "SRM"), *runs("every call σ = 0.1 on z_L, flossing pre", (0.6,), "SRM")]
    figure = arm_differences(compare_arms(points))
    assert [ax.get_title(loc="left")[-3:] for ax in figure.axes] == ["TRM", "HRM", "SRM"]
    # The upper one of two lanes, of peak and final.
    assert [line.get_ydata()[0] for line in drawn(figure.axes[1], "o")] == pytest.approx([1 - 0.81 / 4])
    assert [text.get_text() for text in figure.axes[0].texts] == ["n = 3", "n = 1"]
    assert len(figure.axes[2].patches) == 0 and len(drawn(figure.axes[0], "o")) == 2
    assert not overlaps(figure)


def test_a_figure_needs_a_comparison():
    with pytest.raises(ValueError, match="at least one panel"):
        arm_differences([])

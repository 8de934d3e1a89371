import numpy as np
import pytest

from rrm.figures import local_exponents
from rrm.figures.style import FAILED, SOLVED


def rollouts(n_solved=40, n_failed=20, segments=6):
    rng = np.random.default_rng(0)
    solved = np.arange(n_solved + n_failed) < n_solved
    return np.where(solved, -0.5, 0.5)[:, None] + 0.2 * rng.normal(size=(solved.size, segments)), solved


def legend(figure):
    return [name.get_text() for name in figure.legends[0].get_texts()]


def test_medians_quartiles_and_histograms_of_both_classes(overlaps):
    values, solved = rollouts()
    figure = local_exponents("TRM", values, solved)
    left, right = figure.axes
    outlines = [patch for patch in right.patches if not patch.get_fill()]
    for look, members, line, outline in zip(
        (SOLVED, FAILED), (values[solved], values[~solved]), left.lines, outlines, strict=False
    ):
        assert line.get_xdata().tolist() == [1, 2, 3, 4, 5, 6] and line.get_color() == look.colour
        assert line.get_ydata() == pytest.approx(np.median(members, axis=0))
        heights, edges, _ = outline.get_data()
        assert heights.sum() == pytest.approx(100) and heights[0] == heights[-1] == 0
    band = left.collections[0].get_paths()[0].vertices
    low, high = np.quantile(values[solved, 0], [0.25, 0.75])
    assert (band[:, 1][band[:, 0] == 1].min(), band[:, 1][band[:, 0] == 1].max()) == pytest.approx((low, high))
    assert "nats per segment" in left.get_ylabel() and "nats per segment" in right.get_xlabel()
    assert legend(figure) == ["40 solved, median and quartiles", "20 failed, median and quartiles"]
    assert "60 puzzles, 6 segments" in figure.get_suptitle() and not overlaps(figure)


def test_a_small_class_is_drawn_puzzle_by_puzzle():
    values, solved = rollouts(40, 3)
    figure = local_exponents("TRM", values, solved)
    left, right = figure.axes
    drawn = [line.get_ydata() for line in left.lines if line.get_color() == FAILED.colour]
    assert np.array_equal(drawn, values[~solved]) and len(left.collections) == 1
    assert sorted(right.lines[0].get_xdata()) == pytest.approx(sorted(values[~solved].ravel()))
    assert legend(figure)[1] == "3 failed, each puzzle"


def test_values_far_out_are_counted_and_do_not_stretch_the_axis():
    values, solved = rollouts()
    values[0, 0] = values[45, 1] = -500
    _, right = local_exponents("TRM", values, solved).axes
    assert right.get_xlim()[0] > -3 and "2 of 360 values lie beyond the axis" in right.get_xlabel()


@pytest.mark.parametrize(
    ("values", "solved"),
    [
        rollouts(segments=2),
        rollouts(30, 0, segments=1),
        rollouts(2, 2),
        (np.zeros((30, 4)), np.arange(30) < 15),
        rollouts(3000, 1096, segments=64),
    ],
    ids=["two segments", "none failed", "four puzzles", "no spread", "4096 puzzles"],
)
def test_awkward_data(values, solved, overlaps):
    figure = local_exponents("a name that is too long for one line, " * 5, values, solved)
    assert not overlaps(figure)
    ticks = figure.axes[0].get_xticks()
    assert np.array_equal(ticks, np.round(ticks)) and figure.axes[1].get_ylim()[1] > 1


def test_bad_input_is_named():
    values, solved = rollouts()
    with pytest.raises(ValueError, match=r"\[N, T\].*\(59,\)"):
        local_exponents("TRM", values, solved[1:])
    values[3, 2] = np.nan
    with pytest.raises(ValueError, match="1 of 60 puzzles are not finite"):
        local_exponents("TRM", values, solved)

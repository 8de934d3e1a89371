import numpy as np
import pytest
from matplotlib.collections import PathCollection, PolyCollection

from rrm.figures import settling_figure
from rrm.figures.style import FAILED, SOLVED
from rrm.statistics import wilson_interval
from rrm.statistics.settling import settling_sweep, settling_table


def puzzles(n_solved=60, n_failed=40, seed=0):
    """Solved ones rest near drift 1, failed ones move at 20; every tenth of either does as the others do."""
    rng = np.random.default_rng(seed)
    solved = np.arange(n_solved + n_failed) < n_solved
    resting = solved ^ (np.arange(solved.size) % 10 == 0)
    drift = np.where(resting, 1.0, 20.0) * np.exp(0.1 * rng.normal(size=solved.size))
    return drift, np.where(resting, -0.1, 0.05) + 0.02 * rng.normal(size=solved.size), solved


def draw(data, floor=0.1, label="TRM"):
    drift, _, solved = data
    return settling_figure(label, *data, settling_table(drift, solved), settling_sweep(drift, solved), floor)


def legend(figure):
    return [name.get_text() for name in figure.legends[0].get_texts()]


def clear_of_marks(ax):
    """No puzzle under the words of the corners."""
    boxes = [text.get_window_extent() for text in ax.texts]
    marks = [points for c in ax.collections for points in ax.transData.transform(c.get_offsets())]
    return len(boxes) == 4 and not any(box.contains(*mark) for box in boxes for mark in marks)


def test_corners_hold_the_2x2_and_every_puzzle_is_drawn(overlaps):
    figure = draw(puzzles())
    left, right = figure.axes
    assert [text.get_text() for text in left.texts] == [
        "$\\bf{A}$  54\nsettled, solved",
        "$\\bf{B}$  4\nsettled, failed",
        "$\\bf{C}$  6\nunsettled, solved",
        "$\\bf{D}$  36\nunsettled, failed",
    ]
    marks = [c for c in left.collections if isinstance(c, PathCollection)]
    assert [len(c.get_offsets()) for c in marks] == [60, 40]
    assert left.get_xscale() == "log" and "state units per segment" in left.get_xlabel()
    assert "nats per call" in left.get_ylabel() and "percentile" in right.get_xlabel()
    assert "40 failed of 100 puzzles" in figure.get_suptitle()
    assert clear_of_marks(left) and not overlaps(figure)


def test_the_sweep_has_its_bands_its_null_and_the_threshold():
    drift, _, solved = data = puzzles()
    _, right = draw(data).axes
    sweep = settling_sweep(drift, solved)
    curves = {line.get_color(): line.get_ydata() for line in right.lines if line.get_marker() != "None"}
    assert curves[FAILED.colour] == pytest.approx(100 * sweep.B / 40)
    assert curves[SOLVED.colour] == pytest.approx(100 * sweep.C / 60)
    band = right.collections[0].get_paths()[0].vertices[:, 1]
    assert band.max() == pytest.approx(100 * wilson_interval(int(sweep.B[-1]), 40).high)
    diagonals = [list(line.get_ydata()) for line in right.lines if list(line.get_xdata()) == [0, 100]]
    assert diagonals == [[0, 100], [100, 0]]
    assert any(set(line.get_xdata()) == {58.0} for line in right.lines)  # A + B of 100 puzzles are settled


@pytest.mark.parametrize(("floor", "drawn"), [(1.0, True), (0.01, False), (1e4, False)])
def test_the_floor_is_drawn_within_the_range_of_drifts_only(floor, drawn):
    figure = draw(puzzles(), floor)
    assert any(set(line.get_xdata()) == {floor} for line in figure.axes[0].lines) == drawn
    assert any("rounding" in name for name in legend(figure)) == drawn


def test_many_puzzles_become_counts_in_cells(overlaps):
    figure = draw(puzzles(2400, 1696))
    cells = [c for c in figure.axes[0].collections if isinstance(c, PolyCollection)]
    assert [int(c.get_array().sum()) for c in cells] == [2400, 1696]
    assert "in a cell" in legend(figure)[0] and clear_of_marks(figure.axes[0]) and not overlaps(figure)


def narrow():
    drift, exponent, solved = puzzles(50, 50)
    return 1 + 0.001 * np.arange(100), 0 * exponent, solved


def frozen():
    drift, exponent, solved = puzzles()
    return np.where(drift < 1, 0, drift), exponent, solved


@pytest.mark.parametrize("data", [puzzles(40, 0), puzzles(0, 40), puzzles(30, 1), narrow(), frozen(), puzzles(2000, 1)])
def test_awkward_data(data, overlaps):
    figure = draw(data, 1.0, "a name that is too long for one line, " * 5)
    assert not overlaps(figure) and clear_of_marks(figure.axes[0])
    classes = {data[2].all(): {"failed"}, not data[2].any(): {"solved"}}.get(True, set())
    assert not any(name.startswith(tuple(classes)) for name in legend(figure) if classes)

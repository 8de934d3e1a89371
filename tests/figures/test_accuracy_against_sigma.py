import pytest
from matplotlib.colors import to_rgb

from rrm.figures import SweepPoint, accuracy_against_sigma
from rrm.statistics import wilson_interval


def point(sigma, best=0.6, final=0.5, stopped_early=False, model="TRM"):
    return SweepPoint(model, sigma, best, final, 200, stopped_early)


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def tick_names(ax):
    return [label.get_text() for label in ax.get_xticklabels()]


def test_one_panel_a_model_with_units():
    figure = accuracy_against_sigma([point(0), point(1e-3), point(0, model="HRM"), point(1e-2, model="HRM")])
    assert [ax.get_title(loc="left")[-3:] for ax in figure.axes] == ["TRM", "HRM"]
    assert "(%)" in figure.axes[0].get_ylabel() and "RMS" in figure.axes[1].get_xlabel()
    assert tick_names(figure.axes[0]) == ["0", "$10^{-3}$", "$10^{-2}$"] == tick_names(figure.axes[1])


def test_every_checkpoint_has_its_wilson_interval():
    (ax,) = accuracy_against_sigma([point(1e-3)]).axes
    best, final = ax.containers
    for drawn, solved in ((best, 120), (final, 100)):
        interval = wilson_interval(solved, 200)
        ((_, low), (_, high)) = drawn.lines[2][0].get_segments()[0]
        assert drawn.lines[0].get_ydata()[0] == pytest.approx(100 * solved / 200)
        assert (low, high) == pytest.approx((100 * interval.low, 100 * interval.high))
    assert best.lines[0].get_markerfacecolor() != "white" and final.lines[0].get_markerfacecolor() == "white"


def test_the_baseline_is_a_line_with_its_band_and_a_marker_at_zero():
    figure = accuracy_against_sigma([point(0, best=0.7), point(1e-3)])
    (ax,) = figure.axes
    interval = wilson_interval(140, 200)
    (band,) = ax.patches
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((100 * interval.low, 100 * interval.high))
    assert any(set(line.get_ydata()) == {70.0} and line.get_linestyle() == "--" for line in ax.lines)
    assert "interval" in legend(figure)[-1] and len(ax.containers) == 4
    zero = ax.get_xticks()[0]
    assert ax.containers[0].lines[0].get_xdata()[0] == pytest.approx(zero, rel=0.1)


def test_a_stopped_run_is_lighter_smaller_and_named():
    figure = accuracy_against_sigma([point(1e-3), point(1e-2, stopped_early=True)])
    full, stopped = (figure.axes[0].containers[index].lines[0] for index in (0, 2))
    assert sum(to_rgb(stopped.get_color())) > sum(to_rgb(full.get_color()))
    assert stopped.get_markersize() < full.get_markersize()
    assert "stopped early" in legend(figure)


@pytest.mark.parametrize(
    ("arms", "ticks", "n_legend"),
    [
        ([point(3e-3)], ["$10^{-3}$", "$10^{-2}$"], 2),
        ([point(1e-3)], ["$10^{-3}$"], 2),
        ([point(0)], ["0"], 3),
        ([point(0), point(0, best=0.8)], ["0"], 3),
        ([point(0, best=0, final=0), point(1.0, best=1, final=1)], ["0", "$10^{0}$"], 3),
    ],
)
def test_missing_pieces(arms, ticks, n_legend):
    figure = accuracy_against_sigma(arms)
    assert tick_names(figure.axes[0]) == ticks
    assert len(legend(figure)) == n_legend
    left, right = figure.axes[0].get_xlim()
    drawn = [container.lines[0].get_xdata()[0] for container in figure.axes[0].containers]
    assert len(drawn) == 2 * len(arms) and left < min(drawn) and max(drawn) < right


def test_a_figure_needs_a_run():
    with pytest.raises(ValueError, match="at least one panel"):
        accuracy_against_sigma([])

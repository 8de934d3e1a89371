import numpy as np
import pytest
from matplotlib.colors import same_color, to_rgb

from rrm.figures import accuracy_against_sigma
from rrm.statistics import wilson_interval
from tests.sweep_points import perturbed


def point(sigma, best=0.6, final=0.5, stopped_early=False, model="TRM", **more):
    return perturbed(sigma, model=model, best=best, final=final, n=200, stopped_early=stopped_early, **more)


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def tick_names(ax):
    return [label.get_text() for label in ax.get_xticklabels()]


def marks(ax):
    """The markers of checkpoints, in the order drawn: best and final by turns; rings and lines left out."""
    single = [line for line in ax.lines if line.get_marker() in ("o", "^", "v") and line.get_markersize() < 7]
    return list(zip(single[::2], single[1::2], strict=True))


def test_one_panel_a_model_with_units():
    figure = accuracy_against_sigma([point(0), point(1e-3), point(0, model="HRM"), point(1e-2, model="HRM")])
    assert [ax.get_title(loc="left")[-3:] for ax in figure.axes] == ["TRM", "HRM"]
    assert "(%)" in figure.axes[0].get_ylabel() and "RMS" in figure.axes[1].get_xlabel()
    assert tick_names(figure.axes[0]) == ["0", "$10^{-3}$", "$10^{-2}$"] == tick_names(figure.axes[1])


def test_every_checkpoint_has_its_wilson_interval():
    (ax,) = accuracy_against_sigma([point(1e-3)]).axes
    ((best, final),) = marks(ax)
    for drawn, bar, solved in ((best, ax.containers[0], 120), (final, ax.containers[1], 100)):
        interval = wilson_interval(solved, 200)
        ((_, low), (_, high)) = bar.lines[2][0].get_segments()[0]
        assert drawn.get_ydata()[0] == pytest.approx(100 * solved / 200)
        assert (low, high) == pytest.approx((100 * interval.low, 100 * interval.high))
    assert best.get_markerfacecolor() != "white" and final.get_markerfacecolor() == "white"
    assert best.get_xdata()[0] < 1e-3 < final.get_xdata()[0]


def test_the_baseline_is_a_line_with_its_band_and_a_marker_at_zero():
    figure = accuracy_against_sigma([point(0, best=0.7), point(1e-3)])
    (ax,) = figure.axes
    interval = wilson_interval(140, 200)
    (band,) = ax.patches
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((100 * interval.low, 100 * interval.high))
    assert any(set(line.get_ydata()) == {70.0} and line.get_linestyle() == "--" for line in ax.lines)
    assert "interval" in legend(figure)[-1] and len(ax.containers) == 4
    assert marks(ax)[0][0].get_xdata()[0] == pytest.approx(ax.get_xticks()[0], rel=0.1)


def test_seeds_are_faint_points_with_their_mean():
    seeds = [point(sigma, best, best - 0.1, seed=s) for sigma in (0, 0.1) for s, best in enumerate((0.5, 0.6, 0.7))]
    figure = accuracy_against_sigma([*seeds, point(0.1, 0.1, seed=3, stopped_early=True)])
    (ax,) = figure.axes
    baseline, noisy = marks(ax)[:4], marks(ax)[4:]
    assert [best.get_ydata()[0] for best, _ in baseline] == pytest.approx([50, 60, 70, 60])
    assert noisy[-1][1].get_ydata()[0] == pytest.approx(50)  # the stopped run is not in the mean
    assert all(best.get_alpha() < best_mean.get_alpha() for best, _ in baseline[:3] for best_mean, _ in baseline[3:])
    assert len(ax.containers) == 2  # error bars of the stopped run alone
    (band,) = ax.patches
    assert (band.get_y(), band.get_height()) == pytest.approx((50, 20))
    assert {"single seed", "baseline, mean ± SD", "stopped early"} <= set(legend(figure))


def test_looks_tell_kind_location_and_flossing():
    figure = accuracy_against_sigma(
        [
            point(0),
            point(0.1, kind="every_call"),
            point(0.2, kind="multi4", location="z_L"),
            point(0.3, kind="multi4", flossing="pre"),
            point(0.4, kind="brand_new"),
        ]
    )
    (ax,) = figure.axes
    _, call, multi, flossed, new = (best for best, _ in marks(ax))
    colours = [mark.get_color() for mark in (call, multi, new)]
    assert len(set(colours)) == 3 and flossed.get_color() == multi.get_color()
    assert (call.get_marker(), multi.get_marker()) == ("o", "v")
    (ring,) = [line for line in ax.lines if line.get_markersize() == 8]
    assert ring.get_xydata() == pytest.approx(flossed.get_xydata())
    assert legend(figure) == [
        *("best checkpoint", "final checkpoint", "noise every call", "multi4", "brand new"),
        *("on both halves", "on $z_L$", "flossed", "baseline, 95 % interval"),
    ]
    assert [handle.get_color() for handle in figure.legends[0].legend_handles[2:5]] == colours


def test_arms_of_one_sigma_stand_side_by_side():
    arms = [point(0), point(0, kind="clean_copies"), point(0, flossing="pre")]
    arms += [point(0.1, kind=kind) for kind in ("every_call", "multi4", "single")]
    (ax,) = accuracy_against_sigma(arms).axes
    logs = np.log10([best.get_xdata()[0] * final.get_xdata()[0] for best, final in marks(ax)]) / 2
    assert logs[0] == pytest.approx(np.log10(ax.get_xticks()[0])) and logs[4] == pytest.approx(-1)
    assert (np.diff(logs) > 0.1).all() and logs[2] < logs[3] - 0.5
    assert same_color(marks(ax)[0][0].get_color(), marks(ax)[2][0].get_color())


def test_a_stopped_run_is_lighter_smaller_and_named():
    figure = accuracy_against_sigma([point(1e-3), point(1e-2, stopped_early=True, kind="every_call")])
    (full, _), (stopped, _) = marks(figure.axes[0])
    assert sum(to_rgb(stopped.get_color())) > sum(to_rgb(full.get_color()))
    assert stopped.get_markersize() < full.get_markersize()
    assert "stopped early" in legend(figure) and "noise every call" not in legend(figure)


@pytest.mark.parametrize(
    ("arms", "ticks", "n_legend"),
    [
        ([point(3e-3)], ["$10^{-3}$", "$10^{-2}$"], 3),
        ([point(1e-3)], ["$10^{-3}$"], 3),
        ([point(0)], ["0"], 3),
        ([point(0), point(0, best=0.8)], ["0"], 3),
        ([point(0, best=0, final=0), point(1.0, best=1, final=1)], ["0", "$10^{0}$"], 4),
        ([point(0, kind="clean_copies")], ["0"], 3),
    ],
)
def test_missing_pieces(arms, ticks, n_legend):
    figure = accuracy_against_sigma(arms)
    assert tick_names(figure.axes[0]) == ticks
    assert len(legend(figure)) == n_legend
    left, right = figure.axes[0].get_xlim()
    drawn = [mark.get_xdata()[0] for pair in marks(figure.axes[0]) for mark in pair]
    assert len(drawn) == 2 * len(arms) and left < min(drawn) and max(drawn) < right


def test_texts_keep_apart_with_everything_that_can_occur(overlaps):
    kinds = ("initial_state", "every_segment", "every_call", "multi4", "single", "ptrm_segment", "eqr")
    arms = [point(0, model=model) for model in ("trm_mlp", "hrm", "srm_mlp")]
    arms += [point(10.0 ** (i - 6), kind=kind, model="hrm", location="z_H") for i, kind in enumerate(kinds)]
    arms += [point(0, kind="clean_copies", model="hrm"), point(0, flossing="pre", model="hrm", stopped_early=True)]
    assert not overlaps(accuracy_against_sigma(arms))


def test_a_figure_needs_a_run():
    with pytest.raises(ValueError, match="at least one panel"):
        accuracy_against_sigma([])

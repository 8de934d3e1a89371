import numpy as np
import pytest

from rrm.figures import survival_figure
from rrm.figures.style import GREY
from rrm.statistics import escape_probability, kaplan_meier


def escapes(n, chance, depth, seed=0):
    """Escape times at a constant chance, and which of them were seen."""
    time = np.random.default_rng(seed).geometric(chance, n)
    return np.minimum(time, depth), time <= depth


def after(time, escaped, depth):
    late = time > depth
    return escape_probability(time[late] - depth, escaped[late])


def draw(data, depth=16):
    return survival_figure(
        {name: kaplan_meier(*escapes) for name, escapes in data.items()},
        {name: after(*escapes, depth) for name, escapes in data.items()},
        depth,
    )


def legend(figure):
    return [name.get_text() for name in figure.legends[0].get_texts()]


def words(ax):
    return [text.get_text() for text in ax.texts]


def test_the_curve_its_band_and_the_chance(overlaps):
    time, escaped = escapes(400, 0.02, 256)
    figure = draw({"TRM": (time, escaped)})
    (ax,) = figure.axes
    steps, exponential, depth, _ = ax.lines  # the last one is the sample before the numbers
    curve, chance = kaplan_meier(time, escaped), after(time, escaped, 16)
    assert steps.get_xdata()[1:] == pytest.approx(curve.time)
    assert steps.get_ydata() == pytest.approx(np.r_[100, 100 * curve.survival])
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((100 * curve.low.min(), 100))
    share = 100 * (time > 16).mean()
    x, y = exponential.get_data()
    assert (x[0], y[0]) == pytest.approx((16, share)) and y[-1] == pytest.approx(
        share * (1 - chance.estimate) ** (x[-1] - 16)
    )
    assert set(depth.get_xdata()) == {16} and depth.get_color() == GREY
    assert ax.get_xscale() == "log" and ax.get_xlabel() == "segments" and "% of puzzles" in ax.get_ylabel()
    assert legend(figure)[0] == f"TRM: {escaped.sum()} of 400 puzzles solved\np = {chance:#.2g} per segment"
    assert "after segment 16" in legend(figure)[1] and "training depth, 16 segments" in legend(figure)[2]
    assert not overlaps(figure)


def test_puzzles_unsolved_at_the_training_depth_are_drawn_from_there_on(overlaps):
    time, escaped = escapes(400, 0.02, 256)
    late = time > 16
    curves = {"all": kaplan_meier(time, escaped), "unsolved": kaplan_meier(time[late], escaped[late])}
    figure = survival_figure(curves, {"unsolved": after(time, escaped, 16)}, 16)
    (ax,) = figure.axes
    whole, unsolved, constant = ax.lines[:3]
    assert whole.get_xdata()[0] < 1 and unsolved.get_xdata()[0] == constant.get_xdata()[0] == 16
    assert unsolved.get_ydata()[0] == constant.get_ydata()[0] == 100
    ticks = [int(tick.get_text()) for tick in ax.get_xticklabels()]
    at_risk = dict(zip(ticks, words(ax)[1 + len(ticks) :], strict=True))
    assert at_risk[16] == str(late.sum()) and all((count == "") == (tick < 16) for tick, count in at_risk.items())
    assert not overlaps(figure)


def test_numbers_at_risk_stand_below_their_ticks():
    time = np.repeat([1, 2, 16], [10, 5, 25])
    (ax,) = survival_figure({"TRM": kaplan_meier(time, time < 16)}, {}, 4).axes
    assert [name.get_text() for name in ax.get_xticklabels()] == ["1", "2", "4", "8", "16"]
    assert words(ax)[1:] == ["40", "30", "25", "25", "25"]


@pytest.mark.parametrize(
    ("data", "depth"),
    [
        ({"tiny": escapes(20, 0.1, 2)}, 2),
        ({"nobody escapes": (np.full(30, 64), np.zeros(30, bool))}, 16),
        ({"all at once": (np.ones(30), np.ones(30, bool))}, 16),
        ({"deep": escapes(4096, 0.001, 20_000)}, 16),
        ({f"one of seven, with a long name, number {i}": escapes(300, 0.01 * (i + 1), 100, i) for i in range(7)}, 16),
    ],
    ids=["two segments", "no escape", "one time", "deep", "seven curves"],
)
def test_awkward_curves(data, depth, overlaps):
    figure = draw(data, depth)
    assert not overlaps(figure)
    (ax,) = figure.axes
    looks = {(line.get_color(), line.get_linestyle()) for line in ax.lines if line.get_drawstyle() == "steps-post"}
    assert len(looks) == len(data)
    assert len(words(ax)) == 1 + len(data) * len(ax.get_xticks())


def test_an_undefined_chance_is_said_and_not_drawn():
    figure = draw({"tiny": escapes(20, 0.1, 2)}, 2)
    assert "p undefined" in legend(figure)[0] and len(legend(figure)) == 2
    assert len(figure.axes[0].lines) == 3  # curve, training depth, sample


def test_a_chance_needs_its_curve():
    with pytest.raises(ValueError, match="at least one curve"):
        survival_figure({}, {}, 16)
    with pytest.raises(ValueError, match="chances by their names.*'HRM'"):
        survival_figure({"TRM": kaplan_meier([1], [True])}, {"HRM": escape_probability([], [])}, 16)

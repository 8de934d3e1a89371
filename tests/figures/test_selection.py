import numpy as np
import pytest

from rrm.figures.selection import selection_figure
from rrm.figures.style import GREY, SOLVED
from rrm.statistics.calibration import calibration
from rrm.statistics.proportions import wilson_interval
from rrm.statistics.selection import selection
from rrm.statistics.within_problem import mean_correlation, mixed_problems, pooled_correlation, within_problem

RNG = np.random.default_rng(0)
SOLVED_BY = RNG.random((60, 16)) < RNG.beta(0.5, 0.5, (60, 1))
Q, GROWTH = SOLVED_BY + RNG.normal(size=(60, 16)), RNG.normal(size=(60, 16)) - SOLVED_BY
TABLE = selection(SOLVED_BY, np.where(SOLVED_BY, 0, RNG.integers(1, 5, (60, 16))),
                  {"best Q": Q, "most stable": -GROWTH, "lowest residual": -GROWTH, "lowest lambda_1": Q})  # fmt: skip
CALIBRATION = calibration(1 / (1 + np.exp(-Q)), SOLVED_BY)


def correlations():
    mixed = mixed_problems(SOLVED_BY)
    values = within_problem(Q[mixed], -GROWTH[mixed])
    within = {name: (v, mean_correlation(v)) for name, v in (("within problems", values), ("partial", values / 2))}
    return within, {"pooled, all problems": pooled_correlation(Q, -GROWTH)}


def draw(table=TABLE, found=CALIBRATION, within=None, pooled=None):
    known = correlations()
    return selection_figure("trm, σ = 0.3", table, 16, wilson_interval(30, 60), found,
                            known[0] if within is None else within, known[1] if pooled is None else pooled)  # fmt: skip


def labelled(ax, words):
    (line,) = [line for line in ax.lines if words in str(line.get_label())]
    return line


def test_panels_show_the_numbers(overlaps):
    figure = draw()
    accuracy, reliability, correlation = figure.axes
    for name in ("random", "majority", "best Q", "oracle"):
        expected = [100 * row.accuracy.estimate for row in TABLE if row.selector == name]
        assert labelled(accuracy, name).get_ydata() == pytest.approx(expected)
    assert labelled(accuracy, "oracle").get_xdata() == pytest.approx([1, 4, 16])
    assert labelled(accuracy, "no noise").get_ydata() == pytest.approx([50, 50])
    points = labelled(reliability, "solved, by")
    assert points.get_ydata() == pytest.approx([each.observed.estimate for each in CALIBRATION.bins])
    assert f"Brier {CALIBRATION.brier.estimate:.3f}" in labelled(reliability, "Brier").get_label()
    within, pooled = correlations()
    for words, mean, colour in (
        ("within problems", within["within problems"][1], SOLVED.colour),
        ("pooled", pooled["pooled, all problems"], GREY),
    ):
        mark = labelled(correlation, words)
        assert mark.get_xdata()[0] == pytest.approx(mean.estimate) and mark.get_color() == colour
    (filled,) = [patch for patch in correlation.patches if patch.get_fill()]
    assert filled.get_data().values.sum() == within["within problems"][1].n
    assert not overlaps(figure)


def test_missing_pieces(overlaps):
    figure = draw([row for row in TABLE if row.k == 1], None, {}, {})
    assert ["".join(text.get_text() for text in ax.texts) for ax in figure.axes] == [
        "",
        "no Q head",
        "too few mixed problems,\nor no Q head",
    ]
    assert not overlaps(figure)
    undefined = {"within problems": (np.full(3, np.nan), mean_correlation([np.nan]))}
    assert not overlaps(draw(within=undefined))
    with pytest.raises(ValueError, match="at least one selector"):
        draw([])

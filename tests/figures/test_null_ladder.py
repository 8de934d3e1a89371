import math
from dataclasses import replace

import pytest
from matplotlib.colors import same_color

from rrm.figures import null_ladder
from rrm.figures.style import GREY, LAMBDA
from rrm.statistics import Interval
from rrm.statistics.ladder import Ladder, Rung, Step


def interval(estimate, margin=0.02, n=2048):
    return Interval(estimate, estimate - margin, estimate + margin, 0.95, n)


def step(name, gain, margin, null_gain=None):
    p = 1e-4 if gain > margin else 0.5
    return Step(
        name, interval(0.08), interval(0.97), interval(gain, margin), null_gain, p, tests=2,
        detectable=0.001,
    )  # fmt: skip


UNDEFINED = Interval(math.nan, math.nan, math.nan, 0.95, 3)
FOUND = Ladder(
    n=2048,
    n_failed=254,
    prevalence_log_loss=0.3745,
    rungs=tuple(Rung(name, interval(0.9), interval(0.1)) for name in ("late drift", "q_halt", "lambda_1", "spectrum")),
    base=replace(step("all 2 null scores", 0.28, 0.02), log_loss=interval(0.0912, 0.01), auc=interval(0.95)),
    steps=(step("lambda_1", 0.004, 0.001), step("spectrum", 0.0001, 0.0004)),
)
CONTROLS = {"within drift deciles": interval(0.7, n=1800), "stop-time matched, lead 2": interval(0.55)}
NULLS = {
    "stop-time matched, lead 2": interval(0.48),
    "labels shuffled": interval(0.5),
    "transient chaos": interval(0.975, 0.002, 20_000),
}


def rows(ax):
    return [name.get_text().replace("\n", " ").replace("\xa0", " ") for name in ax.get_yticklabels()]


def marks(ax):
    return [line for line in ax.lines if line.get_marker() not in ("", "None")]


def words(ax):
    return "\n".join(text.get_text() for text in ax.texts)


def test_scores_controls_and_nulls_stand_in_groups_each_null_below_its_control(overlaps):
    figure = null_ladder("TRM", FOUND, CONTROLS, NULLS)
    aucs, gains = figure.axes
    assert rows(aucs) == [
        "null scores alone", "late drift", "q_halt", "all 2 null scores",
        "exponents alone", r"$\lambda_1$", "spectrum",
        "exponent, controlled", "within drift deciles (n = 1800)", "stop-time matched, lead 2", "its null",
        "null models", "labels shuffled", "transient chaos (n = 20000)",
    ]  # fmt: skip
    drawn = [mark.get_xdata()[0] for mark in marks(aucs)]
    assert drawn == pytest.approx([0.9, 0.9, 0.95, 0.9, 0.9, 0.7, 0.55, 0.48, 0.5, 0.975])
    assert "254 failed of 2048 puzzles" in figure.get_suptitle()
    assert "0.975 [0.973, 0.977]" in words(aucs) and "0.480 [0.460, 0.500]" in words(aucs)
    assert not overlaps(figure)


def test_exponents_are_purple_and_nulls_grey_with_lines_through_all_rows():
    (aucs, _) = null_ladder("TRM", FOUND, CONTROLS, NULLS).axes
    colours = [mark.get_color() for mark in marks(aucs)]
    assert [same_color(colour, LAMBDA.colour) for colour in colours] == [False] * 3 + [True] * 4 + [False] * 3
    assert all(same_color(colour, GREY) for colour in (*colours[:3], *colours[-3:]))
    references = [line.get_xdata()[0] for line in aucs.lines if list(line.get_ydata()) == [0, 1]]
    assert references == pytest.approx([0.5, 0.975, 0.5])  # the null of a control has no line


def test_gains_are_in_thousandths_open_where_nothing_is_added():
    (_, gains) = null_ladder("TRM", FOUND, {}, {}).axes
    first, second = marks(gains)
    assert first.get_xdata()[0] == pytest.approx(4) and second.get_xdata()[0] == pytest.approx(0.1)
    assert first.get_markerfacecolor() == LAMBDA.colour and second.get_markerfacecolor() == "white"
    assert "10^{-3}$ nats per puzzle" in gains.get_xlabel()
    assert "+4.00 [+3.00, +5.00]" in words(gains) and "\N{MINUS SIGN}0.30" in words(gains)
    assert "success rate alone 0.3745" in words(gains) and "all 2 null scores 0.0912 [0.0812, 0.1012]" in words(gains)
    low, high = gains.get_xlim()
    assert low < 0 < high


def test_the_gain_of_the_null_stands_below_in_grey(overlaps):
    known = (step("lambda_1", 0.004, 0.001, interval(0.002, 0.001)), step("spectrum", 0.0001, 0.0004))
    figure = null_ladder("TRM", replace(FOUND, steps=known), {}, {})
    (_, gains) = figure.axes
    measured, null, _ = marks(gains)
    assert null.get_xdata()[0] == pytest.approx(2) and same_color(null.get_color(), GREY)
    assert null.get_ydata()[0] > measured.get_ydata()[0]  # the axis points down
    assert not overlaps(figure)


def test_large_gains_are_in_nats():
    (_, gains) = null_ladder("TRM", replace(FOUND, steps=(step("lambda_1", 0.3, 0.1),)), {}, {}).axes
    assert "10^" not in gains.get_xlabel() and "nats per puzzle" in gains.get_xlabel()
    assert marks(gains)[0].get_xdata()[0] == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("label", "controls", "nulls"),
    [
        ("TRM", {}, {}),
        ("TRM", {"within rating strata": UNDEFINED}, {"untrained network": UNDEFINED}),
        (
            "long " * 30,
            {"within deciles of late drift of the answer half": interval(0.3)},
            {"transient": interval(0.9)},
        ),
    ],
)
def test_missing_undefined_and_long(label, controls, nulls, overlaps):
    figure = null_ladder(label, FOUND, controls, nulls)
    aucs, _ = figure.axes
    assert words(aucs).count("undefined") == sum(
        bool(math.isnan(i.estimate)) for i in (*controls.values(), *nulls.values())
    )
    assert all(aucs.get_xlim()[0] < i.low for i in controls.values() if i.low == i.low)
    assert not overlaps(figure)


def test_every_score_undefined_still_leaves_a_figure(overlaps):
    rungs = tuple(replace(rung, auc=UNDEFINED) for rung in FOUND.rungs)
    assert not overlaps(null_ladder("TRM", replace(FOUND, rungs=rungs), {}, {}))

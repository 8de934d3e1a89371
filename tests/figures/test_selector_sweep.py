import numpy as np
import pytest

from rrm.figures.selector_sweep import selector_sweep_figure
from rrm.statistics.proportions import wilson_interval
from rrm.statistics.selection import against_depth, selection

RNG = np.random.default_rng(0)
SOLVED = RNG.random((60, 16)) < RNG.beta(0.5, 0.5, (60, 1))
SCORES = {"best Q": SOLVED + RNG.normal(size=(60, 16))}
TABLE = selection(SOLVED, SOLVED, SCORES)
AGAINST = against_depth(SOLVED, SOLVED, SCORES, {k: RNG.random(60) < 0.4 + 0.02 * k for k in (1, 4)})
CHOICE = {(sigma, where): wilson_interval(int(10 + 20 * sigma + place), 40) for sigma in (0.1, 0.3, 1.0)
          for place, where in enumerate(("H", "L", "both"))}  # fmt: skip


def draw(choice=CHOICE, against=AGAINST, table=TABLE):
    chosen = max(choice, key=lambda at: choice[at].estimate)
    return selector_sweep_figure("trm", "best Q", 8, choice, chosen, wilson_interval(20, 40), table, against)


def labelled(ax, words):
    (line,) = [line for line in ax.lines if str(line.get_label()).startswith(words)]
    return line


def test_panels_show_the_numbers(overlaps):
    figure = draw()
    noise, calls = figure.axes
    assert labelled(noise, "noise on $z_L$").get_ydata() == pytest.approx(
        [100 * CHOICE[sigma, "L"].estimate for sigma in (0.1, 0.3, 1.0)]
    )
    assert labelled(noise, "chosen").get_ydata()[0] == pytest.approx(80)
    best_q = [100 * row.accuracy.estimate for row in TABLE if row.selector == "best Q"]
    assert labelled(noise, "the same").get_ydata()[0] == pytest.approx(best_q[-1])
    assert labelled(calls, "best Q").get_ydata() == pytest.approx(best_q)
    deep = labelled(calls, "one deep")
    assert deep.get_ydata() == pytest.approx([100 * row.deep.estimate for row in AGAINST if row.selector == "oracle"])
    assert [tick.get_text() for tick in calls.get_xticklabels()] == ["8", "32", "128"] and len(deep.get_xdata()) == 2
    assert not overlaps(figure)


def test_one_setting_and_no_deep_rollout(overlaps):
    figure = draw({(0.3, "L"): wilson_interval(30, 40)}, [])
    assert not overlaps(figure) and not any("deep" in str(line.get_label()) for line in figure.axes[1].lines)
    with pytest.raises(ValueError, match="a figure of the choice by 'best Q' needs settings and a table"):
        draw(table=[row for row in TABLE if row.selector != "best Q"])


@pytest.mark.parametrize("choice", [CHOICE, {}])
def test_symmetric_copies_stand_beside_the_noise(overlaps, choice):
    figure = draw(choice | {(0.0, "symmetry"): wilson_interval(38, 40)})
    noise = figure.axes[0]
    copies = labelled(noise, "symmetric copies")
    assert copies.get_ydata() == pytest.approx([95]) and labelled(noise, "chosen").get_ydata()[0] == pytest.approx(95)
    assert [tick.get_text() for tick in noise.get_xticklabels()] == ["copies", *(["0.1", "0.3", "1"] if choice else [])]
    assert not overlaps(figure)

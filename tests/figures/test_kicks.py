import numpy as np
import pytest

from rrm.figures import kick_figure
from rrm.figures.style import FAILED, NULL, SOLVED
from rrm.statistics import wilson_interval

SHARES = {
    "freed_puzzles": [0.5, 0.1, 0.75],
    "freed_pairs": [0.2, 0.025, 0.4],
    "lost_puzzles": [0.1, 0, 0.3],
    "lost_pairs": [0.03, 0, 0.1],
}


def draw(realised=(0.1, 0.01, 1.0), copies=4, failed=40, succeeded=60, **shares):
    return kick_figure(realised, copies, failed=failed, succeeded=succeeded, **(SHARES | shares))


def legend(figure):
    return [name.get_text() for name in figure.legends[0].get_texts()]


def test_shares_bands_and_the_null_stand_against_the_size_of_the_kick(overlaps):
    figure = draw()
    freed, lost = figure.axes
    for ax, look, puzzles, pairs in (
        (freed, FAILED, [10, 50, 75], [2.5, 20, 40]),
        (lost, SOLVED, [0, 10, 30], [0, 3, 10]),
    ):
        of_puzzles, of_pairs, null = ax.lines
        assert of_puzzles.get_xdata() == pytest.approx([0.01, 0.1, 1])
        assert of_puzzles.get_ydata() == pytest.approx(puzzles) and of_puzzles.get_color() == look.colour
        assert of_pairs.get_ydata() == pytest.approx(pairs) and of_pairs.get_markerfacecolor() == "white"
        assert null.get_ydata() == pytest.approx([100 * (1 - (1 - share / 100) ** 4) for share in pairs])
        assert null.get_color() == NULL.colour
        assert ax.get_xscale() == "log" and "state units" in ax.get_xlabel()
    band = freed.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx(
        (100 * wilson_interval(4, 40).low, 100 * wilson_interval(30, 40).high)
    )
    assert ["40 failed puzzles" in freed.get_title(loc="left"), "60 solved puzzles" in lost.get_title(loc="left")] == [
        True,
        True,
    ]
    assert legend(figure)[0] == "puzzles, at least one of 4 restarts" and not overlaps(figure)


def test_the_band_of_pairs_counts_puzzles_and_holds_its_share():
    (freed, _) = draw(copies=100, failed=4, freed_pairs=[0.12, 0.13, 0.37]).axes
    line, band = freed.lines[1], freed.collections[2].get_paths()[0].vertices
    for x, y in zip(*line.get_data(), strict=True):
        ends = band[band[:, 0] == x, 1]
        assert ends.min() < y < ends.max() and ends.max() - ends.min() > 40


def test_a_kick_of_zero_is_not_drawn():
    (freed, _) = draw(realised=(0.0, 0.01, 1.0)).axes
    assert freed.lines[0].get_xdata() == pytest.approx([0.01, 1])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"failed": 0, "freed_puzzles": [np.nan] * 3, "freed_pairs": [np.nan] * 3}, ["no such puzzle", ""]),
        ({"realised": (0.0, 0.0, 0.0)}, ["no kick arrived in the state"] * 2),
        ({"realised": (0.3,), **{name: [0.5] for name in SHARES}}, ["", ""]),
        ({"copies": 1}, ["", ""]),
    ],
)
def test_missing_pieces(data, words, overlaps):
    figure = draw(**data)
    assert ["".join(text.get_text() for text in ax.texts) for ax in figure.axes] == words
    assert len(legend(figure)) == (1 if data.get("copies") == 1 else 3)
    assert not overlaps(figure)

"""The figure of the flossing toy: every seed is drawn where its budget stands."""

import numpy as np

from rrm.figures import flossing_toy_figure
from rrm.figures.flossing_toy import SMOOTH


def test_a_line_a_seed_against_the_budget_spent(overlaps):
    rng = np.random.default_rng(0)
    curves = {
        "without flossing": (np.arange(1000), rng.uniform(0.4, 1, (5, 1000))),
        "flossing: pre": (np.arange(900) + 100, np.full((5, 900), 0.9)),
    }
    spectra = {"before": -np.sort(rng.exponential(size=(5, 40))), "after pre-flossing": np.full((5, 40), -0.1)}
    figure = flossing_toy_figure(curves, spectra)
    learning, exponents = figure.axes
    *_, flossed = [line for line in learning.lines if len(line.get_xdata()) == 900 // SMOOTH]
    assert flossed.get_xdata()[0] == 100 + (SMOOTH - 1) / 2 and np.allclose(flossed.get_ydata(), 0.9)
    # Five seeds an arm or moment, and the line of chance or of zero.
    assert len(learning.lines) == len(exponents.lines) == 11
    assert exponents.lines[0].get_xdata()[-1] == 40 and not overlaps(figure)

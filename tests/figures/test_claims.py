"""The forest of claims: what each row shows, in units of the smallest effect that counts."""

import math

import numpy as np
import pytest

from rrm.figures.claims import ForestRow, claims_figure
from rrm.statistics.claims import judge


def test_rows_are_in_units_of_the_smallest_effect_that_counts():
    auc = {0: 0.88, 1: 0.90, 2: 0.92}
    judged = judge([(auc, 0.5, 0.2), ({0: 0.9}, 0.0, 0.01), ({}, 0.0, 1.0)])
    nulls = [0.48, math.nan, math.nan]
    rows = [ForestRow(f"lambda_1, row {n}", "+1 AUC", one, nulls[n]) for n, one in enumerate(judged)]
    (ax,) = claims_figure(rows).axes
    marks = {line.get_marker(): np.asarray(line.get_xdata(), float) for line in ax.lines}
    assert marks["o"] == pytest.approx((0.9 - 0.5) / 0.2)
    assert marks["."] == pytest.approx([(value - 0.5) / 0.2 for value in auc.values()])
    assert marks["|"] == pytest.approx((0.48 - 0.5) / 0.2)
    assert marks[">"] == 6  # 90 times the smallest effect that counts, at the edge
    said = [text.get_text() for text in ax.texts]
    assert said[0].endswith("n = 3") and said[2] == "no seed"
    assert [label.get_text() for label in ax.get_yticklabels()][0] == r"$\lambda_1$, row 0"

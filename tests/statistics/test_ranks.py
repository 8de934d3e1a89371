"""The four ranks of matrices whose directions are known."""

import math

import numpy as np
import pytest

from rrm.statistics.ranks import Ranks, ranks


def test_ranks_of_known_matrices():
    assert ranks(np.eye(7)) == Ranks(*[pytest.approx(7)] * 4)
    one = np.outer([1.0, 2, 3], [4.0, 5])
    assert ranks(one) == Ranks(*[pytest.approx(1)] * 4)
    s = np.array([3.0, 4.0])
    share = s / s.sum()
    found = ranks(np.diag(s))
    assert found.effective == pytest.approx(math.exp(-(share * np.log(share)).sum()))
    assert (found.stable, found.participation) == (pytest.approx(25 / 16), pytest.approx(625 / (81 + 256)))
    assert found.energy_90 == 2 and ranks(np.diag([1.0, 3.0])).energy_90 == 1  # 9 of 10 is 90 %
    assert math.isnan(ranks(np.zeros((3, 2))).effective)


def test_ranks_do_not_depend_on_scale_or_turns_and_signs_hide_a_low_rank():
    """Gaussian factors as in the table of measured values: rank 8 in 512 directions, and its signs."""
    rng = np.random.default_rng(0)
    low = rng.normal(size=(512, 8)) @ rng.normal(size=(8, 512))
    plain, signs = ranks(low), ranks(np.sign(low))
    assert [plain.effective, plain.energy_90] == pytest.approx([8, 7], abs=0.15)
    assert plain.stable == pytest.approx(5.6, abs=1) and plain.participation == pytest.approx(7.7, abs=0.2)
    assert [signs.effective, signs.energy_90] == pytest.approx([302, 125], rel=0.03)
    assert [signs.stable, signs.participation] == pytest.approx([8.8, 16], rel=0.15)
    turn = np.linalg.qr(rng.normal(size=(512, 512)))[0]
    turned = ranks(3 * turn @ low)
    for name in ("effective", "stable", "participation"):
        assert getattr(turned, name) == pytest.approx(getattr(plain, name))

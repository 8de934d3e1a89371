import numpy as np
import pytest

from rrm.statistics import late_drift, rounding_norm
from rrm.statistics.settling import otsu_threshold, settle_time, settling_sweep, settling_table


def otsu_by_force(x):
    """Smallest pooled within-group variance over every split between neighbours."""
    x = np.sort(x)
    within = {(x[i - 1] + x[i]) / 2: i * x[:i].var() + (x.size - i) * x[i:].var() for i in range(1, x.size)}
    return min(within, key=within.get)


def test_late_drift_is_the_mean_of_the_last_four():
    drift = np.array([[9.0, 9, 1, 2, 3, 4], [0, 0, 5, 5, 5, 5]])
    assert late_drift(drift) == pytest.approx([2.5, 5])
    assert late_drift(drift, last=1) == pytest.approx([4, 5])


def test_late_drift_of_a_short_rollout_takes_all_of_it():
    assert late_drift([[1.0, 4.0], [2.0, 2.0]]) == pytest.approx([2.5, 2])


@pytest.mark.parametrize("drift", [np.ones((3, 0)), np.ones(5)])
def test_late_drift_needs_segments(drift):
    with pytest.raises(ValueError, match="last 4 segments"):
        late_drift(drift)


def test_settle_time_by_hand():
    drift = [[9, 1, 1, 1], [1, 9, 1, 1], [1, 1, 1, 9], [1, 1, 1, 1], [9, 9, 9, 2], [1, np.nan, 1, 1]]
    assert list(settle_time(drift, tau=2)) == [2, 3, 5, 1, 4, 3]
    with pytest.raises(ValueError, match="segments"):
        settle_time([1, 2], 1)


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_otsu_equals_brute_force_on_a_mixture(share):
    rng = np.random.default_rng(0)
    x = np.where(rng.random(150) < share, rng.normal(0, 0.3, 150), rng.normal(2, 0.5, 150))
    assert otsu_threshold(x) == pytest.approx(otsu_by_force(x), abs=1e-12)
    assert 0.5 < otsu_threshold(x) < 1.5


def test_otsu_keeps_equal_values_together():
    assert otsu_threshold([1, 1, 1, 1, 2]) == 1.5
    assert otsu_threshold([3, 1, 1, 9, 9]) == 6


@pytest.mark.parametrize(("x", "message"), [([2, 2], "two distinct"), ([], "two distinct"), ([1, np.nan], "finite")])
def test_otsu_says_what_is_missing(x, message):
    with pytest.raises(ValueError, match=message):
        otsu_threshold(x)


def test_table_counts_by_hand():
    drift = [1, 1, 1, 1.1, 100, 100, 110]
    correct = [1, 1, 0, 1, 1, 0, 0]
    table = settling_table(drift, correct)
    assert (table.A, table.B, table.C, table.D) == (3, 1, 1, 2)
    assert table.tau == pytest.approx(np.sqrt(1.1 * 100))


def test_a_frozen_state_is_settled():
    table = settling_table([0, 0, 1, 100], [True, True, True, False])
    assert (table.A, table.B, table.C, table.D) == (3, 0, 0, 1)


@pytest.mark.parametrize(
    ("drift", "correct", "message"),
    [
        ([1, 2], [True], "shapes"),
        ([1, -2], [True, False], "not negative"),
        ([1, np.nan], [True, False], "finite"),
        ([0, 0], [True, False], "nothing to split"),
        ([0, 3], [True, False], "two distinct"),
    ],
)
def test_table_says_what_is_wrong(drift, correct, message):
    with pytest.raises(ValueError, match=message):
        settling_table(drift, correct)


def test_sweep_repeats_the_table_at_its_threshold():
    rng = np.random.default_rng(0)
    correct = rng.random(200) < 0.6
    drift = np.exp(rng.normal(np.where(correct, 0, 3)))
    table, share = settling_table(drift, correct), np.mean(drift <= settling_table(drift, correct).tau)
    sweep = settling_sweep(drift, correct, [100 * share, 0, 100])
    assert (sweep.A[0], sweep.B[0], sweep.C[0], sweep.D[0]) == (table.A, table.B, table.C, table.D)
    assert sweep.A[1] + sweep.B[1] == 1 and sweep.C[2] + sweep.D[2] == 0
    whole = settling_sweep(drift, correct)
    assert list(whole.percentile) == [*range(5, 100, 5)]
    assert (whole.A + whole.B + whole.C + whole.D == 200).all() and (np.diff(whole.A + whole.B) > 0).all()


def test_rounding_norm_equals_rounding():
    z = np.random.default_rng(0).normal(size=82 * 512)
    assert rounding_norm(z.size, "bfloat16") == pytest.approx(0.34, abs=0.005)
    for dtype in ("float16", "float32"):
        assert np.linalg.norm(z.astype(dtype) - z) == pytest.approx(rounding_norm(z.size, dtype), rel=0.03)
    bits = z.astype(np.float32).view(np.uint32)
    nearest = (bits + 0x7FFF + (bits >> 16 & 1)) & np.uint32(0xFFFF0000)
    assert np.linalg.norm(nearest.view(np.float32) - z) == pytest.approx(rounding_norm(z.size, "bfloat16"), rel=0.02)
    assert rounding_norm(9, "float64") == pytest.approx(rounding_norm(9, "float32") / 2**29)
    with pytest.raises(ValueError, match="float64"):
        rounding_norm(1, "float8")

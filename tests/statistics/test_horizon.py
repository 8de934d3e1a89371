import numpy as np
import pytest

from rrm.statistics.auc_interval import auc_interval
from rrm.statistics.convergence_null import convergence_null
from rrm.statistics.horizon import horizon_curve
from rrm.statistics.transient_chaos import transient_chaos


def test_the_toy_lies_on_its_null_and_has_no_antecedent_signal():
    toy, step = transient_chaos(3000, 16, eps=0.04, seed=5), np.arange(1, 17)
    rates = np.diff(toy.lambda_cumulative * step, axis=1, prepend=0)
    solved_at = toy.capture_time[:, None] <= step
    drift = np.random.default_rng(0).random(rates.shape) * np.where(step > toy.capture_time[:, None], 0.01, 1)
    rng = np.random.default_rng(1)
    nulls = [convergence_null(rates, toy.capture_time, rng) for _ in range(10)]
    curve = horizon_curve(rates, drift, solved_at, nulls=nulls)
    assert [point.window for point in curve] == [2, 4, 6, 8, 10, 12, 14, 16]
    for point in curve[1:]:
        assert point.lambda_window.estimate == pytest.approx(point.transient_chaos.estimate, abs=0.02)
    for point in curve[:-1]:
        assert point.lambda_antecedent.estimate == pytest.approx(0.5, abs=0.06)
        assert point.lambda_antecedent.n == 3000 - round(3000 * point.solved.estimate)
        assert point.lambda_window.estimate > point.lambda_last.estimate
    last = curve[-1]
    assert last.lambda_last == last.lambda_window == auc_interval(rates.mean(axis=1), ~toy.captured)
    assert last.drift_last == auc_interval(drift[:, -1], ~toy.captured)
    assert np.isnan(last.lambda_antecedent.estimate) and np.isnan(last.drift_antecedent.estimate)


def test_windows_and_missing_classes():
    rates, solved_at = np.random.default_rng(0).random((40, 5)), np.zeros((40, 5), dtype=bool)
    solved_at[:20, 4] = True
    curve = horizon_curve(rates, rates, solved_at)
    assert [point.window for point in curve] == [2, 4, 5]
    assert np.isnan(curve[0].lambda_window.estimate) and np.isnan(curve[0].transient_chaos.estimate)
    assert curve[0].lambda_antecedent == curve[0].lambda_last
    assert [point.window for point in horizon_curve(rates, rates, solved_at, windows=(3,))] == [3]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"windows": (0,)}, "between 1 and 5"),
        ({"windows": (6,)}, "between 1 and 5"),
        ({"drift": np.ones((4, 4))}, "all be"),
    ],
)
def test_bad_input_is_named(changes, message):
    arrays = {"lambda_segments": np.ones((4, 5)), "drift": np.ones((4, 5)), "solved_at": np.ones((4, 5))}
    with pytest.raises(ValueError, match=message):
        horizon_curve(**(arrays | changes))

import numpy as np
import pytest

from rrm.statistics.auc import auc
from rrm.statistics.logistic import log_loss, out_of_fold


def two_classes(n=600, gap=2.0, seed=0):
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.3
    return rng.normal(gap * positive), positive, rng


def loss(features, positive, **options):
    return log_loss(out_of_fold(features, positive, **options), positive)


def entropy(p):
    return -p * np.log(p) - (1 - p) * np.log(1 - p)


def test_reaches_the_likelihood_of_the_true_model():
    # Equal-variance normal classes are logistic in the score itself: log-odds = gap * x - gap^2 / 2 + log prior odds.
    x, positive, _ = two_classes(20_000)
    truth = 1 / (1 + np.exp(-(2 * x - 2 + np.log(0.3 / 0.7))))
    excess = loss([x], positive) - log_loss(truth, positive)
    assert abs(excess.mean()) < 0.002


def test_a_monotone_transform_changes_next_to_nothing_and_a_window_is_found():
    x, positive, _ = two_classes()
    assert loss([np.exp(3 * x)], positive).mean() == pytest.approx(loss([x], positive).mean(), abs=1e-3)
    middle = np.abs(x) < 0.5
    assert auc(x, middle) == pytest.approx(0.4, abs=0.1)
    assert auc(out_of_fold([x], middle), middle) > 0.97


def test_no_row_is_judged_by_a_model_that_saw_it():
    rng = np.random.default_rng(1)
    positive = rng.random(300) < 0.4
    noise = rng.normal(size=(300, 60))
    assert loss([noise], positive).mean() > entropy(positive.mean()) - 0.005
    assert 0.3 < auc(out_of_fold([noise], positive), positive) < 0.6


def test_copies_constants_and_noise_neither_help_nor_harm():
    x, positive, rng = two_classes()
    alone = loss([x], positive).mean()
    for extra in (x, np.full(600, 7.0), rng.normal(size=(600, 8)), np.stack([x, x, np.zeros(600)], axis=1)):
        assert loss([x, extra], positive).mean() == pytest.approx(alone, abs=2e-3)


def test_complete_separation_stays_finite():
    positive = np.arange(400) < 100
    for x in (positive * 1.0, positive + np.random.default_rng(0).random(400)):
        row = loss([x, x], positive)
        assert np.isfinite(row).all() and row.mean() < 0.01


def test_large_samples_start_from_a_thinned_fit(monkeypatch):
    x, positive, _ = two_classes(3000)
    whole = out_of_fold([x], positive)
    monkeypatch.setattr("rrm.statistics.logistic._START", 100)
    monkeypatch.setattr("rrm.statistics.logistic._BLOCK", 700)
    assert np.abs(out_of_fold([x], positive) - whole).max() < 2e-3


def test_the_seed_decides_the_partition():
    x, positive, _ = two_classes(100)
    assert (out_of_fold([x], positive, seed=1) == out_of_fold([x], positive, seed=1)).all()
    assert (out_of_fold([x], positive, seed=1) != out_of_fold([x], positive, seed=2)).any()


def test_log_loss_by_hand_and_clipped():
    assert log_loss([0.5, 0.25, 0, 1], [1, 0, 1, 1]) == pytest.approx([np.log(2), np.log(4 / 3), 6 * np.log(10), 1e-6])


@pytest.mark.parametrize(
    ("features", "positive", "options", "message"),
    [
        ([[1, 2, np.nan, 3]], [0, 1, 0, 1], {}, "1 of 4 rows are not finite"),
        ([[1, 2, 3]], [0, 1, 0, 1], {}, "features must be"),
        ([], [0, 1, 0, 1], {}, "features must be"),
        ([np.zeros((4, 0))], [0, 1, 0, 1], {}, "features must be"),
        ([[1, 2, 3, 4]], [0, 1, 0, 0], {}, "two members of each class"),
        ([[1, 2, 3, 4]], [0, 1, 0, 1], {"folds": 1}, "1 folds"),
    ],
)
def test_bad_input_is_named(features, positive, options, message):
    with pytest.raises(ValueError, match=message):
        out_of_fold(features, positive, **options)

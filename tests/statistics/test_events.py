import numpy as np
import pytest

from rrm.statistics.events import (
    by_phase,
    crossings,
    early_signs,
    find_events,
    first_crossing,
    flat_stretches,
    rolling,
    turn,
)


def history(every=25, last=4000, memorised=100, grokked=2500, lost=None):
    """A run that memorises and groks at the given steps; test accuracy rises over the 1000 steps before."""
    steps = np.arange(0, last + 1, every)
    train = np.where(steps >= memorised, 1.0, 0.3)
    test = np.zeros(len(steps)) if grokked is None else np.clip((steps - (grokked - 950)) / 1000, 0, 1)
    if lost is not None:
        test = np.where((steps >= lost[0]) & (steps < lost[1]), 0.5, test)
    return {"train/accuracy": (steps, train), "test/accuracy": (steps, test)}


def test_events_and_phases_by_hand():
    events = find_events(history())
    assert (events.memorised, events.grokked, events.delay, events.resolution) == (100, 2500, 2400, 25)
    # A tenth of the way from 0 to .95 is .095, at step 1645; the last logged one before is 1625.
    assert events.rising == 1625
    assert events.phases == {
        "memorisation": (0, 100), "plateau": (100, 1625), "grokking": (1625, 2500), "after": (2500, 4001)
    }  # fmt: skip
    assert (events.train_pairs_kept, events.test_pairs_kept) == pytest.approx((1, 1))
    parts = by_phase(history(), events)
    assert sum(len(part["test/accuracy"][0]) for part in parts.values()) == 161


def test_a_run_that_never_groks_is_all_plateau():
    events = find_events(history(grokked=None))
    assert events.grokked is events.delay is events.rising is None and events.last == 4000
    assert events.phases == {"memorisation": (0, 100), "plateau": (100, 4001)}
    assert np.isnan(events.test_pairs_kept) and np.isnan(events.test_variance)
    assert find_events(history(memorised=9000, grokked=None)).phases == {"memorisation": (0, 4001)}


def test_a_run_that_generalises_at_once_has_no_plateau():
    events = find_events(history(memorised=3000, grokked=2500))
    assert events.delay == -500 and events.phases == {"memorisation": (0, 2500), "after": (2500, 4001)}


# Fault 8 of an earlier system: thresholds counted in logged rows.
@pytest.mark.parametrize("every", [1, 25, 100])
def test_events_do_not_depend_on_how_often_rows_are_logged(every):
    events = find_events(history(every=every, lost=(3000, 3300)))
    assert (events.memorised, events.grokked) == (100, 2500) and events.resolution == every
    assert 0 <= 1645 - events.rising < 100
    assert events.test_pairs_kept == pytest.approx(0.8) and events.train_pairs_kept == pytest.approx(1)
    # 300 of 1500 steps at .5, the others near 1.
    assert events.test_variance == pytest.approx(0.2 * 0.8 * 0.25, rel=0.05)
    steps, test = history(every=every, lost=(3000, 3300))["test/accuracy"]
    stretches = flat_stretches(steps, test, width=600)
    # The first stretch may reach into the rise until the variance is 1e-3.
    assert len(stretches) == 2 and stretches[0][0] == 0 and 1550 <= stretches[0][1] <= 1800
    assert stretches[1][1] == 4000 and 3200 <= stretches[1][0] <= 3300


def test_rows_that_are_not_evenly_spaced_weigh_as_many_steps_as_they_hold():
    steps = np.r_[np.arange(0, 1000, 100), np.arange(1000, 1100, 1), 1100, 2000]
    test = np.where(steps < 1000, 1.0, np.where(steps < 1100, 0.0, 1.0))
    events = find_events({"train/accuracy": (steps, test), "test/accuracy": (steps, test)})
    assert events.grokked == 0 and events.test_pairs_kept == pytest.approx(0.95)


def test_crossings_in_both_directions():
    steps, values = np.arange(10, 60, 10), np.array([0.1, 0.95, 0.9, np.nan, 1.0])
    assert crossings(steps, values, 0.95) == [(20, True), (30, False), (50, True)]
    assert first_crossing(steps, values, 1.1) is None and first_crossing(steps, values, 0.0) == 10


def test_a_turn_is_an_extreme_that_was_left_again():
    steps = np.arange(0, 2001, 10)
    norm = 60 - np.abs(steps - 800) / 50.0
    assert turn(steps, norm, 0, 2000) == (800, "maximum") and turn(steps, -norm, 0, 2000) == (800, "minimum")
    assert turn(steps, norm, 0, 700) is None and turn(steps, norm, 900, 2000) is None
    assert turn(steps, norm, 0, 810) is None  # it has gone back by less than a tenth of its range
    spiked = np.where(steps == 1500, 500.0, norm)
    assert turn(steps, spiked, 0, 2000) == (1500, "maximum")
    step, extreme = turn(steps, spiked, 0, 2000, width=40)
    assert extreme == "maximum" and abs(step - 800) <= 20


def test_early_signs_lead_in_steps():
    curves = history()
    steps = curves["test/accuracy"][0]
    curves |= {
        "train/loss": (steps, 1.0 / (1 + steps)),
        "test/loss": (steps, -np.abs(steps - 300.0)),
        "probe/weight_norm/total": (steps[::4], -np.abs(steps[::4] - 1000.0)),
        "probe/fourier/gini": (steps, steps / 4000),
    }
    signs = early_signs(curves, find_events(curves), width=0)
    assert [(sign.name, sign.step, sign.lead) for sign in signs] == [
        ("test/loss", 300, 2200), ("probe/weight_norm/total", 1000, 1500)
    ]  # fmt: skip


def test_rolling_statistics_are_over_steps():
    mean, spread = rolling(np.array([0, 10, 30, 40]), np.array([1.0, 3.0, 5.0, 9.0]), 20)
    assert mean == pytest.approx([2.0, 3.0]) and spread == pytest.approx([1.0, 0.0])
    assert rolling(np.array([0, 10]), np.array([1.0, 3.0]), 20)[0].size == 0


def test_a_run_without_accuracies_is_named():
    with pytest.raises(ValueError, match="no series test/accuracy"):
        find_events({"train/accuracy": (np.array([0]), np.array([0.0]))})


def test_turns_of_flat_and_of_tiny_series():
    steps = np.arange(0, 100, 10)
    flat = np.array([0, 1, 3, 3, 3, 1, 0, 3, 0, 0.0])
    assert turn(steps, flat, 0, 90) == (30, "maximum") and turn(steps, 1e-12 * flat, 0, 90) == (30, "maximum")
    assert turn(steps, np.ones(10), 0, 90) is None

"""Rates, matched losses and verdicts of a stability study, on curves that are made by hand."""

import numpy as np
import pytest

from rrm.reports.training_stability import (
    first_apart,
    matched_rates,
    plateau_rate,
    ratio_interval,
    running_rate,
    stability_lines,
)
from rrm.toys.training_stability import NORMS, StabilityRun

SETTING = {"window": [0, 600], "settle": 200, "plateau": 300}


def made(arm, seed, rate, decades=1.0, drop=1e-2):
    """A training whose tangent grows at `rate` and whose loss starts at `drop` and falls by decades a hundred steps."""
    step = np.arange(25, 601, 25)
    loss = drop * 10 ** (-decades * step / 100)
    curves = {name: np.linspace(0, 1, len(step)) for name in ("test/loss", "test/accuracy", "weight_norm", "gini")}
    growth = {f"growth/{norm}": np.cumsum(rate * 25 * np.ones(len(step))) for norm in NORMS}
    curves = {"step": step, "train/loss": loss} | curves | growth
    return StabilityRun(arm, seed, SETTING, {k: list(map(float, v)) for k, v in curves.items()}, 0.1, 0.1, 0, 1.0)


def test_rates_are_those_of_the_curves():
    run = made("grokking", 0, 0.003)
    assert plateau_rate(run) == pytest.approx(0.003)
    running = running_rate(run)
    assert np.isnan(running[: 300 // 25 - 1]).all() and running[300 // 25 - 1 :] == pytest.approx(0.003)


def test_rates_are_compared_at_the_losses_that_both_cross():
    run = made("grokking", 0, 0.003)
    run.curves["growth/weights"] = [min(step, 250) * 0.003 for step in run.curves["step"]]
    # This control stands in its whole window where the run stands from step 200 to 400.
    control = made("no decay", 0, 0.001, decades=0.5, drop=1e-3)
    assert matched_rates(run, control) == pytest.approx((50 * 0.003 / 200, 0.001))
    assert np.isnan(matched_rates(run, made("no decay", 0, 0.001, drop=1e9))).all()


def test_ratio_has_an_interval_for_positive_rates_only():
    ratio = ratio_interval([2, 4, 8], [1, 2, 4])
    assert ratio.estimate == pytest.approx(2) and ratio.n == 3
    assert np.isnan(ratio_interval([1, -1], [1, 1]).estimate)


def test_arms_are_apart_from_the_step_on_which_no_seed_crosses_again():
    values = np.array([[1, 3, 1, 3, 4], [1, 3, 2, 5, 5]])
    controls = np.array([[1, 1, 2, 2, 2], [0, 1, 1, 1, 2]])
    assert first_apart(values, controls, [10, 20, 30, 40, 50]) == 40
    assert first_apart(controls, values, [10, 20, 30, 40, 50]) == 40
    assert first_apart(values, values, [10, 20, 30, 40, 50]) is None
    assert first_apart(np.array([[np.nan, 2.0]]), np.array([[0.0, 1.0]]), [10, 20]) == 20


def test_verdict_needs_five_seeds_and_names_decay_where_the_null_expands_as_fast():
    def text(grokking, seeds=5):
        rates = {"grokking": grokking, "shuffled answers": 0.0036, "no decay": 0.001}
        # A spread over seeds in one arm, without which no interval has a width.
        spread = {"grokking": 0.01, "shuffled answers": 0.0, "no decay": 0.0}
        runs = [made(arm, s, rate * (1 + spread[arm] * s)) for s in range(seeds) for arm, rate in rates.items()]
        return "\n".join(stability_lines(runs))

    assert "contradicts the 5 to 10 times" in text(0.003) and "a mark of weight decay" in text(0.003)
    assert "confirms the 5 to 10 times" in text(0.007) and "tells more than decay and loss" in text(0.007)
    assert "4 seeds are too few" in text(0.003, 4)


def test_a_sign_leads_where_it_tells_the_seeds_of_two_arms_apart_first():
    runs = [made(arm, s, r) for s in range(5) for arm, r in (("grokking", 0.003), ("shuffled answers", 0.004))]
    lines = "\n".join(stability_lines(runs))
    assert "The growth rate leads" in lines and "in the growth rate from step 300 on, the Gini coefficient nev" in lines
    for run in runs[::2]:
        run.curves["gini"] = [value + 2 for value in run.curves["gini"]]
    lines = "\n".join(stability_lines(runs))
    assert "The growth rate does not lead" in lines
    assert "the Gini coefficient from step 25 on, the growth rate from step 300 on, the weight norm never" in lines

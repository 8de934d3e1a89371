"""The report on runs that grok, from made-up series."""

from dataclasses import replace

import numpy as np
import pytest

from rrm.reports.grokking import actions_at, comparisons, report, statistics_rows
from rrm.statistics.early_signs import shared_signs
from rrm.statistics.fourier import fourier
from rrm.statistics.training_runs import TrainingRun, TrainingRuns


def run(seed, decay, grok, last=4000):
    """A run whose weight norm turns 1500 steps before it groks, and grows where it never does."""
    steps = np.arange(0, last + 1, 50)
    end = min(grok, 10 * last)
    curves = {
        "train/accuracy": (steps, np.clip(steps / 100, 0, 1)),
        "test/accuracy": (steps, np.clip((steps - end + 950) / 1000, 0, 1)),
        "test/loss": (steps, -np.abs(steps - 300.0)),
        "probe/weight_norm/total": (steps, 60 - np.abs(steps - end + 1500) / 100),
        "probe/path/kinetic_action": (steps, 7000.0 * np.minimum(steps, 1000) / 1000),
        "validation/area": (steps, steps * 1.0),
    }
    return TrainingRun(f"{decay}-{seed}", "mlp", f"decay {decay}", seed, {"decay": decay}, curves)


SEEDS = range(5)
RUNS = TrainingRuns([run(s, "1", 2500 + 50 * s) for s in SEEDS] + [run(s, "0", 99999) for s in SEEDS])


def test_what_turns_in_runs_that_never_grok_is_no_sign():
    loss, norm = shared_signs(RUNS)
    assert (norm.name, norm.lead, norm.before, norm.turned_without, norm.without) == (
        "probe/weight_norm/total", 1500, 5, 0, 5
    )  # fmt: skip
    assert loss.name == "test/loss" and loss.turned_without == 5 and loss.grokked == len(loss.leads) == 5
    sentences = report(RUNS, {}).sentences
    (sign,) = [said for said in sentences if said.startswith("Turned")]
    assert "before every one of 5 runs grokked, and in none of 5 that never do" in sign
    assert "probe/weight_norm/total by 1500 steps" in sign and "test/loss" not in sign
    assert any("No run without grokking" in said for said in report(RUNS[:5], {}).sentences)


def test_verdicts_need_five_seeds():
    (compared,) = comparisons(RUNS)
    assert "the first groks sooner (p = 0.00" in compared.sentence()
    few = report(RUNS.select(decay="1", seed=0), {})
    assert any(said.startswith("Fewer than 5 seeds: mlp, decay 1") for said in few.sentences)


def test_actions_are_read_at_the_events():
    assert actions_at(RUNS[0]) == {"kinetic action": (pytest.approx(700), 7000)}
    action = {"probe/path/kinetic_action": (np.array([0, 1000]), np.array([0.0, 10.0]))}
    sparse = replace(RUNS[0], curves=RUNS[0].curves | action)
    assert actions_at(sparse) == {"kinetic action": (pytest.approx(1), pytest.approx(np.nan, nan_ok=True))}
    text = report(RUNS, {}).text
    assert "mlp, decay 0  grokking or the last step     700 -> 7000" in text
    assert "validation/area" not in text and "5 of 5" in text and "> 4000" in text


def test_all_statistics_are_in_the_rows():
    rows = statistics_rows(RUNS)
    assert {row["phase"] for row in rows} == {"all", "memorisation", "plateau", "grokking", "after"}
    assert {"derived/accuracy_delta", "derived/weight_growth_rate"} <= {row["series"] for row in rows}
    assert "statistics by phase, mean +- SD over steps" in report(RUNS[:1], {}).tables
    assert statistics_rows(TrainingRuns([])) == []


def test_names_of_metrics_are_those_that_a_store_takes():
    p = 11
    a, b, c = np.meshgrid(*[np.arange(p)] * 3, indexing="ij")
    ideal = fourier(9 * np.cos(2 * np.pi * 3 * (a + b - c) / p), "add")
    said = report(RUNS[:1], {"mlp, decay 1, seed 0": ideal})
    assert said.metrics["mlp decay 1/grokked_step_median"] == 2500
    assert said.metrics["mlp decay 1 seed 0/fve"] == pytest.approx(1)
    assert "the characters of add explain 100.0 % of the variance" in said.sentences[-1]
    alone = report(TrainingRuns([]), {"a": ideal})
    assert list(alone.tables) == ["Fourier structure of a"] and list(alone.figures) == ["grokking_fourier"]

import math

import numpy as np
import pytest

from rrm.statistics.training_runs import TrainingRun, TrainingRuns


def run(name, seed, decay, at, last=1000):
    steps = np.arange(0, last + 1, 50)
    curves = {
        "train/accuracy": (steps, 1.0 * (steps >= 100)),
        "test/accuracy": (steps, 1.0 * (steps >= at)),
        "test/loss": (steps, np.abs(steps - at) / 100.0),
    }
    return TrainingRun(name, "token_mlp", f"weight decay {decay}", seed, {"p": "59", "weight_decay": decay}, curves)


RUNS = TrainingRuns([run("a", 0, "1", 300), run("b", 1, "1", 500), run("c", 0, "0", 9999)])


def test_runs_are_selected_and_grouped_by_settings():
    assert [found.name for found in RUNS.select(weight_decay=1.0, p="59")] == ["a", "b"]
    assert [found.name for found in RUNS.select(grokked=False)] == ["c"] and not RUNS.select(weight_decay="2")
    assert RUNS.varied == ["weight_decay"] and RUNS.arms == ["token_mlp, weight decay 1", "token_mlp, weight decay 0"]
    assert {value: [found.name for found in group] for value, group in RUNS.grouped("seed").items()} == {
        "0": ["a", "c"], "1": ["b"]
    }  # fmt: skip
    found = RUNS.group_by("weight_decay", "test/loss", "final")
    assert found["1"].mean == pytest.approx(6) and (found["1"].least, found["1"].most, found["1"].n) == (5, 7, 2)


def test_runs_are_ranked():
    order = RUNS.ranked("test/loss", "min", minimize=True, most=2)
    assert [(found.name, number) for found, number in order] == [("a", 0), ("b", 0)]
    late = RUNS.ranked("test/loss", "min", minimize=True, after_step=400)
    assert [found.name for found, _ in late] == ["b", "a", "c"]
    assert RUNS.rankings({"test/accuracy": False, "probe/none": True}, "mean")["b"] == {"test/accuracy": 2}
    assert RUNS.best_settings(at="mean") == {"weight_decay": "1"} and RUNS.best_settings("none") == {}
    with pytest.raises(ValueError, match="'last' is no number of a series: use one of final, min, max, mean"):
        RUNS.ranked("test/loss", "last")
    assert math.isnan(RUNS.named("c").number("none"))


def test_the_summary_shows_runs_that_never_grok():
    rows = {row["run"]: row for row in RUNS.summary()}
    assert rows["a"]["grokked"] == "300" and rows["c"]["grokked"] == "> 1000" and rows["c"]["kept after"] == ""
    assert rows["a"]["test >= 95 %"] == "70" and list(rows)[-1] == "c"
    assert [times.words() for times in RUNS.grok_times()] == [
        "token_mlp, weight decay 1: 2 of 2 runs grok, median step 300 (300 to 500)",
        "token_mlp, weight decay 0: 0 of 1 runs grok within 1000 steps",
    ]


def test_histories_are_asked_in_sql():
    rows = RUNS.query(
        "SELECT run, grokked, MAX(value) AS most FROM history JOIN runs USING (run) WHERE series = 'test/accuracy' "
        "AND step <= 400 GROUP BY run ORDER BY run"
    )
    assert [tuple(row.values()) for row in rows] == [("a", 300, 1.0), ("b", 500, 0.0), ("c", None, 0.0)]


def test_runs_that_cannot_be_told_apart_are_named():
    with pytest.raises(ValueError, match="two runs have the name a"):
        TrainingRuns([RUNS[0], RUNS[0]])
    with pytest.raises(ValueError, match="two runs of token_mlp, weight decay 1 have the seed 0"):
        TrainingRuns([RUNS[0], run("d", 0, "1", 200)]).grok_times()
    with pytest.raises(ValueError, match="run bare has no series train/accuracy"):
        TrainingRuns([TrainingRun("bare", "", "", 0, {}, {})])

import numpy as np
import pytest

from rrm.statistics.events import find_events
from rrm.statistics.histories import aggregates, align, correlations, deltas, derived, shares, summarise, time_to


def series(*pairs):
    steps, values = zip(*pairs, strict=True)
    return np.array(steps), np.array(values, float)


def test_a_summary_is_over_steps_and_not_over_rows():
    dense = series(*((step, 1.0) for step in range(100)), (100, 3.0), (200, 3.0))
    assert summarise(*dense).mean == pytest.approx(2) and summarise(*dense).std == pytest.approx(1)
    sparse = series((0, 1.0), (100, 3.0), (200, 3.0))
    assert summarise(*sparse).mean == pytest.approx(2) and summarise(*sparse).std == pytest.approx(1)
    found = summarise(*series((0, 5.0), (10, np.nan), (20, 2.0)))
    assert (found.least, found.most, found.final, found.n) == (2, 5, 2, 2)
    assert np.isnan(summarise(*series((0, np.nan))).mean)


# Fault 4 of an earlier system: smoothness with the opposite sign.
def test_derived_series_and_their_signs():
    e = np.e
    curves = {
        "train/loss": series((0, 4.0), (10, 2.0), (20, 1.0)),
        "test/loss": series((0, 4.0), (20, 5.0)),
        "train/accuracy": series((0, 0.5), (20, 1.0)),
        "test/accuracy": series((0, 0.25), (20, 0.25)),
        "probe/weight_norm/total": series((0, 1.0), (10, e), (20, 1.0)),
        "probe/gradient/norm": series((0, 0.5), (10, e)),
        "probe/jacobian/squared_frobenius": series((0, 1.0), (20, e**2), (40, 1.0)),
    }
    found = {name.removeprefix("derived/"): of for name, of in derived(curves).items()}
    assert [of.tolist() for of in found["generalization_gap"]] == [[0, 20], [0.0, 4.0]]
    assert found["loss_ratio"][1].tolist() == [1.0, 5.0] and found["accuracy_delta"][1].tolist() == [0.25, 0.75]
    assert found["grad_weight_ratio"][1] == pytest.approx([0.5, 1])
    assert found["weight_growth_rate"][0].tolist() == [10, 20]
    assert found["weight_growth_rate"][1] == pytest.approx([0.1, -0.1])
    # A network that reacts more to its input becomes less smooth.
    assert found["smoothing_rate"][1] == pytest.approx([-0.1, 0.1])
    assert not derived({"train/loss": curves["train/loss"]})


def test_statistics_of_phases():
    steps = np.arange(0, 401, 10)
    curves = {
        "train/accuracy": (steps, (steps >= 100).astype(float)),
        "test/accuracy": (steps, (steps >= 300).astype(float)),
        "probe/weight_norm/total": (steps, steps.astype(float)),
    }
    found = aggregates(curves, find_events(curves))
    assert {name.split("/")[0] for name in found} == {"memorisation", "plateau", "grokking", "after"}
    # The last row at the chance level is at step 290.
    assert found["plateau/probe/weight_norm/total"].mean == pytest.approx(190)
    assert found["memorisation/probe/weight_norm/total"].final == 90
    assert aggregates(curves)["probe/weight_norm/total"].most == 400
    assert shares(curves)["test/accuracy >= 0.95"] == pytest.approx(0.25)
    assert shares(curves)["train/accuracy >= 0.98"] == pytest.approx(0.75)
    assert time_to(curves, "test/accuracy", (0.5, 2.0)) == {0.5: 300, 2.0: None}


def test_rank_correlations_at_common_steps():
    random, steps = np.random.default_rng(0), np.arange(200)
    rising = np.exp(steps / 20.0)
    curves = {"up": (steps, rising), "down": (steps[::2], -rising[::2]), "flat": (steps, np.ones(200)),
              "noise": (steps, random.standard_normal(200)), "elsewhere": (steps + 1000, rising)}  # fmt: skip
    names, matrix = correlations(curves)
    at = {name: place for place, name in enumerate(names)}
    assert matrix[at["up"], at["down"]] == pytest.approx(-1) and matrix[at["down"], at["down"]] == pytest.approx(1)
    assert abs(matrix[at["up"], at["noise"]]) < 0.2
    assert np.isnan(matrix[at["up"], at["flat"]]) and np.isnan(matrix[at["up"], at["elsewhere"]])


def test_runs_side_by_side_by_step_and_by_event():
    runs = {"slow": {"x": series((0, 0.0), (100, 100.0))}, "fast": {"x": series((0, 0.0), (50, 100.0))}, "bare": {}}
    assert align(runs, "x", np.array([0, 25, 75])) == pytest.approx(
        np.array([[0, 25, 75], [0, 50, np.nan], [np.nan] * 3]), nan_ok=True
    )
    by_event = align(runs, "x", np.array([-10, 0]), {"slow": 60, "fast": 30})
    assert by_event == pytest.approx(np.array([[50, 60], [40, 60], [np.nan] * 2]), nan_ok=True)
    assert deltas(runs, "slow", "x", np.array([25]))["fast"] == pytest.approx([25])
    with pytest.raises(ValueError, match="no run 'other': use one of slow, fast, bare"):
        deltas(runs, "other", "x", np.array([0]))

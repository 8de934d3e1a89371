"""Which axis goes with success: found where one does, and claimed by chance no more often than promised."""

import math

import numpy as np
import pytest

from rrm.reports import importance
from rrm.reports.importance import axis_importance
from rrm.statistics.axes import LEAST_DRAWN, axes_of, importance_sentence

MODELS, KINDS, LOCATIONS = ("trm_mlp", "trm_att", "hrm", "srm_mlp"), ("initial_state", "every_call"), ("both", "z_H")


def drawn(count, rng, objective):
    """Records of a search; half of the models are trm_mlp, as where a sampler has found it to be good."""
    records = []
    for number in range(count):
        kind = str(rng.choice(KINDS))
        config = {
            "trial": number,
            "seed": int(rng.integers(9)),
            "model": str(rng.choice(MODELS, p=(0.5, 0.2, 0.2, 0.1))),
            "sigma": float(10 ** rng.uniform(-4, 0)),
            "kind": kind,
            "location": "both" if kind == "initial_state" else str(rng.choice(LOCATIONS)),
        }
        records.append((config, objective(config) + rng.normal()))
    return records


@pytest.mark.parametrize(
    ("axis", "objective"),
    [
        ("model", lambda config: 6.0 * (config["model"] == "trm_mlp")),
        ("sigma", lambda config: 6 * (config["sigma"] < 0.01)),
    ],
)
def test_the_axis_that_matters_is_found(axis, objective, monkeypatch):
    monkeypatch.setattr(importance, "SHUFFLES", 99)
    records = drawn(24, np.random.default_rng(3), objective)
    found = axis_importance([*records, (records[0][0], math.nan)], seed=0)
    assert {one.name for one in found} == {"model", "sigma", "kind", "location"}
    assert [one.name for one in found if one.important] == [axis]
    assert found[0].name == axis and found[0].p_value <= 0.05 < found[1].p_value
    said = importance_sentence(found, 24, 28)
    assert said.startswith(f"{axis} (importance") and " goes with which of 24 drawn trials came into the better" in said


def test_noise_names_an_axis_at_the_nominal_rate(monkeypatch):
    monkeypatch.setattr(importance, "SHUFFLES", 59)
    rng, named = np.random.default_rng(0), 0
    for seed in range(30):
        records = drawn(16, rng, lambda config: 0.0)
        two_axes = [({name: config[name] for name in ("model", "kind")}, value) for config, value in records]
        named += any(one.important for one in axis_importance(two_axes, seed))
    # 5 % of 30 searches are 1.5; more than 5 has a probability of 0.3 %.
    assert named <= 5


def test_null_of_all_axes_at_once_keeps_its_level():
    rng, named = np.random.default_rng(0), []
    for _ in range(500):
        common = rng.normal(size=(200, 1))
        found = importance._against_null(np.exp(common + rng.normal(size=(200, 4))))
        named.append([value > null_95 for value, null_95, _ in found])
        assert all((value > null_95) == (p_value <= 0.05) for value, null_95, p_value in found)
    assert 0.02 < np.any(named, axis=1).mean() < 0.08  # 0.05 with a standard error of 0.01
    (value, null_95, p_value), *_ = importance._against_null(np.vstack([[9.0, 0.0], rng.uniform(size=(199, 2))]))
    assert value > null_95 and p_value <= 2 / 200 + 1e-12


def test_too_few_trials_and_equal_objectives(monkeypatch):
    monkeypatch.setattr(importance, "SHUFFLES", 39)
    records = drawn(LEAST_DRAWN - 1, np.random.default_rng(0), lambda config: 0.0)
    assert axis_importance(records, 0) == []
    assert f"--trials {19 + 1}" in importance_sentence([], LEAST_DRAWN - 1, 19)
    records = [(config, 0.0) for config, _ in drawn(16, np.random.default_rng(0), lambda config: 0.0)]
    found = axis_importance(records, 0)
    assert found and not any(one.important for one in found) and all(one.p_value == 1 for one in found)
    assert "No axis stands out" in importance_sentence(found, 16, 20)


def test_axes_of_configurations():
    configs = [
        {"trial": 0, "seed": 1, "sigma": 1e-3, "depth": 2, "model": "hrm", "flossing": "none"},
        {"trial": 1, "seed": 2, "sigma": 1e-1, "depth": 6, "model": "trm_att", "flossing": "none", "kind": "a"},
        {"trial": 2, "seed": 2, "sigma": 1e-2, "depth": 4, "model": "hrm", "flossing": "none", "kind": "b"},
    ]
    sigma, depth, model, kind = axes_of(configs)
    assert (sigma.name, sigma.low, sigma.high, sigma.log) == ("sigma", 1e-3, 1e-1, True)
    assert (depth.low, depth.high, depth.log) == (2, 6, False)
    assert model.choices == ("hrm", "trm_att") and kind.choices == ("a", "b")

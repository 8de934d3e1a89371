"""The searcher driven by hand, as Tune drives it, and the scheduler's mercy. No Ray runs here."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from optuna.trial import TrialState
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from rrm.cluster.search import CLOCK, BaselinesFirst, Nearest, scheduler, searcher
from rrm.jobs.objectives import OBJECTIVES

OBJECTIVE = OBJECTIVES["accuracy"].metric
FIXED = [{"model": model, "seed": 3, "sigma": 0.0, "flossing": "none"} for model in ("trm_mlp", "hrm")]


def space(trial, models=("trm_mlp", "hrm")):
    model = trial.suggest_categorical("model", models)
    sigma = trial.suggest_float("sigma", 1e-4, 1.0, log=True)
    kind = trial.suggest_categorical("kind", ("initial_state", "every_call"))
    location = "both" if kind == "initial_state" else trial.suggest_categorical("location", ("both", "z_H", "z_L"))
    return {"model": model, "sigma": sigma, "kind": kind, "location": location, "flossing": "none"}


def outcome(config: dict, objectives) -> dict:
    """Results that depend on the configuration alone."""
    accuracy = 0.5 - 0.1 * abs(math.log10(config["sigma"] + 1e-5) + 2) + 0.01 * (config["model"] == "hrm")
    values = {"accuracy": accuracy, "success_lambda_1": -(accuracy**2), "calls": 1e4 + 1e5 * config["sigma"]}
    return {OBJECTIVES[name][0]: values[name] for name in objectives} | {"training_iteration": 1}


def named(*names):
    return [OBJECTIVES[name] for name in names]


def hand_out(search: Searcher, ids, objectives) -> list:
    """Suggest and complete trials one by one; -> the configurations."""
    configs = []
    for name in ids:
        configs.append(search.suggest(name))
        if configs[-1] != Searcher.FINISHED:
            search.on_trial_result(name, outcome(configs[-1], objectives))
            search.on_trial_complete(name, outcome(configs[-1], objectives))
    return configs


def states(search: BaselinesFirst) -> list[TrialState]:
    return [trial.state for trial in search._ot_study.trials]


def test_nearest_point_of_any_space():
    near = Nearest({"sigma": 0.0, "kind": "none", "depth": 11, "width": 33, "choice": 0, "model": "hrm", "share": 0.6})
    assert near.suggest_float("sigma", 1e-4, 1.0, log=True) == 1e-4
    assert near.suggest_categorical("kind", ("initial_state", "every_call")) == "initial_state"
    assert near.suggest_categorical("location", ("both", "z_H")) == "both"  # not in the configuration
    assert near.suggest_float("rate", 0.1, 0.9) == 0.1
    assert near.suggest_categorical("model", ("trm_mlp", "hrm")) == "hrm"
    assert near.suggest_int("depth", 1, 8) == 8 and near.suggest_int("width", 16, 64, step=16) == 32
    assert near.suggest_categorical("choice", (0.1, 0.01)) == 0.01
    assert near.suggest_float("share", 0.0, 1.0, step=0.25) == 0.5
    assert all(distribution._contains(distribution.to_internal_repr(near.params[name]))
               for name, distribution in near.distributions.items())  # fmt: skip


@pytest.mark.parametrize("objectives", [("accuracy",), ("accuracy", "success_lambda_1", "calls")])
def test_each_configuration_is_handed_out_once_through_a_kill(tmp_path, objectives):
    unbroken = hand_out(BaselinesFirst(space, FIXED, 7, named(*objectives)), "abcdefgh", objectives)
    assert unbroken[:2] == [FIXED[0] | {"trial": 0}, FIXED[1] | {"trial": 1}]
    assert [config["trial"] for config in unbroken] == list(range(8))
    assert all(config["seed"] == 7 and config["sigma"] >= 1e-4 for config in unbroken[2:])

    killed = BaselinesFirst(space, FIXED, 7, named(*objectives))
    hand_out(killed, "abc", objectives)
    running = killed.suggest("d")
    killed.save(str(tmp_path / "searcher"))
    killed.suggest("lost")  # Tune's snapshot does not know this trial either
    restored = BaselinesFirst(space, FIXED, 7, named(*objectives))
    restored.restore(str(tmp_path / "searcher"))
    assert running == unbroken[3]
    restored.on_trial_complete("d", outcome(running, objectives))
    assert hand_out(restored, "efgh", objectives) == unbroken[4:]
    assert states(restored) == [TrialState.COMPLETE] * 8


def test_fixed_configurations_in_flight_survive_a_kill(tmp_path):
    killed = BaselinesFirst(space, FIXED, 7)
    killed.suggest("a")
    killed.save(str(tmp_path / "searcher"))
    restored = BaselinesFirst(space, FIXED, 7)
    restored.restore(str(tmp_path / "searcher"))
    restored.on_trial_complete("a", {OBJECTIVE: 0.25})
    (told,) = restored._ot_study.trials
    assert told.values == [0.25] and told.params["sigma"] == 1e-4
    assert restored.suggest("b") == FIXED[1] | {"trial": 1}


def test_without_a_space_the_search_ends_with_the_fixed_configurations(tmp_path):
    spec = SimpleNamespace(space=None)
    search = searcher(spec, FIXED, ["trm_mlp", "hrm"], None, 7)
    assert hand_out(search, "a", ("accuracy",)) == [FIXED[0] | {"trial": 0}]
    search.save(str(tmp_path / "searcher"))
    restored = searcher(spec, FIXED, ["trm_mlp", "hrm"], None, 7)
    restored.restore(str(tmp_path / "searcher"))
    assert hand_out(restored, "bcd", ("accuracy",)) == [FIXED[1] | {"trial": 1}, Searcher.FINISHED, Searcher.FINISHED]


@pytest.mark.parametrize("objectives", [("accuracy",), ("accuracy", "success_lambda_1")])
def test_a_trial_without_a_finite_objective_fails_and_the_search_goes_on(objectives):
    search, last = BaselinesFirst(space, FIXED, 7, named(*objectives)), OBJECTIVES[objectives[-1]][0]
    good = outcome({"sigma": 0.1, "model": "hrm"}, objectives)
    bad = [good | {last: math.nan}, {name: value for name, value in good.items() if name != last}, None, good]
    for name, result in zip("ab", (good | {last: math.inf}, good), strict=True):
        search.suggest(name)
        search.on_trial_complete(name, result)
    for name, result in zip("cdef", bad, strict=True):
        search.suggest(name)
        search.on_trial_complete(name, result, error=result is None)
    fail = TrialState.FAIL
    assert states(search) == [TrialState.COMPLETE, fail, fail, fail, TrialState.COMPLETE]
    assert search.suggest("g")["trial"] == 6


def test_axes_narrowed_by_the_command_line():
    spec = SimpleNamespace(space=lambda trial, models, sigmas: {"sigma": trial.suggest_categorical("sigma", sigmas)})
    search = searcher(spec, FIXED[:1], ["hrm"], [0.0, 0.5], 7)
    search.suggest("a")
    assert search.suggest("b")["sigma"] == 0.5


def test_drawn_configurations_take_turns_among_model_types(tmp_path):
    def search():
        return BaselinesFirst(space, FIXED, 7, models=("trm_mlp", "hrm"))

    before = search()
    configs = hand_out(before, "abcde", ("accuracy",))
    before.save(str(tmp_path / "searcher"))
    restored = search()
    restored.restore(str(tmp_path / "searcher"))
    configs += hand_out(restored, "fgh", ("accuracy",))
    assert [config["model"] for config in configs] == ["trm_mlp", "hrm"] * 4


def test_asha_stops_the_weaker_half_of_a_model_type_but_none_of_the_first():
    asha = scheduler(4, spared=2)
    storage = SimpleNamespace(trial_dir_name=None)
    other = SimpleNamespace(trial_id="other", config={"trial": 9, "model": "hrm"}, storage=storage)
    asha.on_trial_add(None, other)
    assert asha.on_trial_result(None, other, {CLOCK: 2, OBJECTIVE: 1.0}) == "CONTINUE"
    strength = [0.1, 0.2, 0.9, 0.3]
    decisions = []
    for number in np.argsort(strength)[::-1]:  # the strongest reaches its half first
        trial = SimpleNamespace(trial_id=str(number), config={"trial": number, "model": "srm_mlp"}, storage=storage)
        asha.on_trial_add(None, trial)
        result = {CLOCK: 2, OBJECTIVE: strength[number]}
        decisions.append((int(number), asha.on_trial_result(None, trial, result)))
        last = asha.on_trial_result(None, trial, result | {CLOCK: 4})
        assert last == "STOP"  # the budget is spent
    assert decisions == [(2, "CONTINUE"), (3, "STOP"), (1, "CONTINUE"), (0, "CONTINUE")]
    assert isinstance(scheduler(4, 2, named("accuracy", "calls")), FIFOScheduler)


@pytest.mark.parametrize("written", ["whole", "cut", "gone"])
def test_asha_remembers_results_whose_file_the_dying_driver_left_damaged(tmp_path, written):
    def asha_that_knows(strengths):
        asha = scheduler(4, spared=0)
        for number, strength in enumerate(strengths):
            folder = tmp_path / str(number)
            folder.mkdir()
            rows = [json.dumps({CLOCK: clock, OBJECTIVE: strength}) for clock in (1, 2)]
            text = {"whole": rows, "cut": [rows[0], rows[1][:9]], "gone": []}[written]
            (folder / "result.json").write_text("\n".join(text))
            storage = SimpleNamespace(trial_dir_name=folder.name, trial_fs_path=str(folder))
            last = {CLOCK: 2, OBJECTIVE: strength}
            config = {"trial": 0, "model": "hrm"}
            known = SimpleNamespace(trial_id=str(number), config=config, storage=storage, last_result=last)
            asha.on_trial_add(None, known)
        return asha

    asha = asha_that_knows([0.8, 0.9])
    storage = SimpleNamespace(trial_dir_name=None)
    new = SimpleNamespace(trial_id="new", config={"trial": 2, "model": "hrm"}, storage=storage)
    asha.on_trial_add(None, new)
    assert asha.on_trial_result(None, new, {CLOCK: 2, OBJECTIVE: 0.1}) == "STOP"

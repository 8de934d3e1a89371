"""Who is beaten by whom when several objectives count."""

import math

import optuna

from rrm.jobs.objectives import OBJECTIVES
from rrm.reports.pareto import front_sentence, pareto_front

VALUES = [(0.8, -0.1, 5.0), (0.8, -0.1, 4.0), (0.9, 0.2, 9.0), (0.7, 0.0, 4.5), (0.99, math.nan, 1.0), (0.8, -0.1, 4.0)]
FIRST_TWO = {name: OBJECTIVES[name] for name in ("accuracy", "success_lambda_1")}


def test_front_is_optunas():
    study = optuna.create_study(
        directions=["maximize" if each.mode == "max" else "minimize" for each in OBJECTIVES.values()]
    )
    for value in VALUES:
        known = all(map(math.isfinite, value))
        state = optuna.trial.TrialState.COMPLETE if known else optuna.trial.TrialState.FAIL
        study.add_trial(optuna.trial.create_trial(state=state, values=value if known else None))
    expected = sorted(trial.number for trial in study.best_trials)
    assert pareto_front(VALUES, OBJECTIVES) == expected == [1, 2, 5]
    assert pareto_front([], OBJECTIVES) == [] and pareto_front([(math.nan, 0.0)], FIRST_TWO) == []


def test_front_in_words():
    said = front_sentence(list("abcdef"), VALUES, OBJECTIVES)
    assert "6 trials" in said and said.index("c (accuracy 0.9") < said.index("b (accuracy 0.8") and "a (" not in said
    assert "one training run each, without intervals" in said
    assert "success_lambda_1 is the median over the puzzles that each trial solves itself" in said
    assert "calls is the compute until the best of several noisy evaluations" in said
    assert "calls" not in front_sentence(list("abcdef"), [value[:2] for value in VALUES], FIRST_TWO)
    assert "no Pareto front" in front_sentence(["a"], [(math.nan, 0.0)], FIRST_TWO)

"""Who is beaten by whom when several objectives count."""

import math

import optuna

from rrm.jobs.spec import OBJECTIVES
from rrm.reports.pareto import front_sentence, pareto_front

VALUES = [(0.8, -0.1, 5.0), (0.8, -0.1, 4.0), (0.9, 0.2, 9.0), (0.7, 0.0, 4.5), (0.99, math.nan, 1.0), (0.8, -0.1, 4.0)]
NAMES = ("accuracy", "success_lambda_1", "calls")


def test_front_is_optunas():
    study = optuna.create_study(directions=["maximize" if OBJECTIVES[n][1] == "max" else "minimize" for n in NAMES])
    for value in VALUES:
        known = all(map(math.isfinite, value))
        state = optuna.trial.TrialState.COMPLETE if known else optuna.trial.TrialState.FAIL
        study.add_trial(optuna.trial.create_trial(state=state, values=value if known else None))
    expected = sorted(trial.number for trial in study.best_trials)
    assert pareto_front(VALUES, NAMES) == expected == [1, 2, 5]
    assert pareto_front([], NAMES) == [] and pareto_front([(math.nan, 0.0)], NAMES[:2]) == []


def test_front_in_words():
    said = front_sentence(list("abcdef"), VALUES, NAMES)
    assert "6 trials" in said and said.index("c (accuracy 0.9") < said.index("b (accuracy 0.8") and "a (" not in said
    assert "one training run each, without intervals" in said
    assert "success_lambda_1 is the median over the puzzles that each trial solves itself" in said
    assert "calls is the compute until the best of several noisy evaluations" in said
    assert "calls" not in front_sentence(list("abcdef"), [value[:2] for value in VALUES], NAMES[:2])
    assert "no Pareto front" in front_sentence(["a"], [(math.nan, 0.0)], NAMES[:2])

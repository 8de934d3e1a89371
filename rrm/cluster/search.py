"""Searcher and scheduler of a sweep: baselines first and unharmed, both restored with their memory."""

import json
from collections.abc import Callable
from pathlib import Path

import optuna
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from rrm.cluster.spec import SweepSpec

OBJECTIVE = "validation/objective"
CLOCK = "evaluation"


class Nearest:
    """Stands in for an Optuna trial: answers every question with the configuration's value or the nearest allowed."""

    def __init__(self, config: dict):
        self.config, self.params, self.distributions = config, {}, {}

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        self.distributions[name] = optuna.distributions.FloatDistribution(low, high, log=log)
        self.params[name] = min(max(self.config[name], low), high)
        return self.params[name]

    def suggest_categorical(self, name: str, choices):
        self.distributions[name] = optuna.distributions.CategoricalDistribution(choices)
        self.params[name] = self.config[name] if self.config[name] in choices else choices[0]
        return self.params[name]


class BaselinesFirst(OptunaSearch):
    """TPE (seeded, multivariate) that hands out the baselines before it draws anything.

    The baselines lie outside the drawn space (sigma = 0 has no logarithm), so Optuna is told of each as of its nearest
    point there, the smallest sigma. Every configuration carries its number, which names the trial for good, through
    restores as well.
    """

    def __init__(self, space: Callable, baselines: list[dict], seed: int):
        sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=len(baselines) + 1)
        super().__init__(space=space, metric=OBJECTIVE, mode="max", sampler=sampler)
        self._baselines = list(baselines)
        self._handed: dict[str, dict] = {}
        self._count = 0

    def suggest(self, trial_id: str) -> dict:
        number, self._count = self._count, self._count + 1
        if number < len(self._baselines):
            self._handed[trial_id] = self._baselines[number]
            return {"trial": number, **self._baselines[number]}
        return {"trial": number, **super().suggest(trial_id)}

    def save(self, checkpoint_path: str) -> None:
        # The space is code, which pickle cannot write; a restored searcher brings its own.
        space, self._space = self._space, None
        super().save(checkpoint_path)
        self._space = space

    def restore(self, checkpoint_path: str) -> None:
        space = self._space
        super().restore(checkpoint_path)
        self._space = space

    def on_trial_result(self, trial_id: str, result: dict) -> None:
        if trial_id not in self._handed:
            super().on_trial_result(trial_id, result)

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        if trial_id not in self._handed:
            super().on_trial_complete(trial_id, result, error)
        elif result and OBJECTIVE in result:
            nearest = Nearest(self._handed[trial_id])
            self._space(nearest)
            self._ot_study.add_trial(
                optuna.trial.create_trial(
                    params=nearest.params, distributions=nearest.distributions, value=result[OBJECTIVE]
                )
            )


class FairASHA(ASHAScheduler):
    """ASHA (Li et al., arXiv 1810.05934) on equal budgets, that spares baselines and remembers after a restore.

    Tune restores the searcher but not the rungs of the scheduler: the results of known trials are read back from their
    result.json.
    """

    def on_trial_add(self, tune_controller, trial) -> None:
        super().on_trial_add(tune_controller, trial)
        if not trial.storage.trial_dir_name:  # a new trial: its folder has no name yet
            return
        path = Path(trial.storage.trial_fs_path, "result.json")
        if path.exists():
            for line in path.read_text().splitlines():
                row = json.loads(line)
                if CLOCK in row and OBJECTIVE in row:
                    self._trial_info[trial.trial_id].on_result(trial, row[CLOCK], row[OBJECTIVE])

    def on_trial_result(self, tune_controller, trial, result: dict) -> str:
        decision = super().on_trial_result(tune_controller, trial, result)
        spared = trial.config["sigma"] == 0 and result[CLOCK] < self._max_t
        return self.CONTINUE if spared else decision


def searcher(spec: SweepSpec, models: list[str], sigmas: list[float] | None, seed: int) -> BaselinesFirst:
    """The searcher of a sweep whose axes the command line may have narrowed."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    positive = [sigma for sigma in sigmas or [] if sigma > 0]
    return BaselinesFirst(lambda trial: spec.space(trial, models, positive), spec.baselines(models), seed)


def scheduler(evaluations: int) -> FairASHA:
    """Stops the weaker half at half of the budget: before that, small models solve nothing and cannot be told apart."""
    grace = max(1, evaluations // 2)
    return FairASHA(
        time_attr=CLOCK, metric=OBJECTIVE, mode="max", max_t=evaluations, grace_period=grace, reduction_factor=2
    )

"""Searcher and scheduler of a sweep: fixed configurations run first and to their end; --resume restores both."""

import copy
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from numbers import Real
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import ConcurrencyLimiter
from ray.tune.search.optuna import OptunaSearch

from rrm.jobs.objectives import OBJECTIVES, SearchObjective
from rrm.jobs.spec import Config, SweepSpec

CLOCK = "evaluation"
ACCURACY = (OBJECTIVES["accuracy"],)


Distribution = CategoricalDistribution | FloatDistribution | IntDistribution


class Nearest:
    """Stands in for an Optuna trial: suggests the value of a configuration, or the nearest one that the space allows.

    An axis that the configuration does not have gets the first choice, or the lowest number.
    """

    def __init__(self, config: Config):
        self.config = config
        self.params: dict[str, Any] = {}
        self.distributions: dict[str, BaseDistribution] = {}

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        return self._answer(name, FloatDistribution(low, high, log=log, step=step))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        return self._answer(name, IntDistribution(low, high, log=log, step=step))

    def suggest_categorical(self, name: str, choices: Sequence) -> Any:
        return self._answer(name, CategoricalDistribution(choices))

    def _answer(self, name: str, distribution: Distribution) -> Any:
        self.distributions[name] = distribution
        self.params[name] = _nearest(self.config.get(name), distribution)
        return self.params[name]


def _nearest(value: Any, distribution: Distribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        choices = distribution.choices
        if value not in choices and all(isinstance(v, Real) for v in (value, *choices)):
            return min(choices, key=lambda choice: abs(choice - value))
        return value if value in choices else choices[0]
    if not isinstance(value, Real):
        return distribution.low
    value = min(max(value, distribution.low), distribution.high)
    if distribution.step:  # Optuna lowers `high` to the last multiple of the step
        value = distribution.low + round((value - distribution.low) / distribution.step) * distribution.step
    return value


class BaselinesFirst(OptunaSearch):
    """TPE (seeded, multivariate) that hands out the fixed configurations before it draws any.

    A fixed configuration may lie outside the drawn space (sigma = 0 has no logarithm): Optuna learns its scores at the
    nearest point of the space. Every configuration gets a number, which names the trial also after a restore (a fixed
    one may bring its own number); a drawn one also gets the seed of the sweep. Without a space the search ends after
    the fixed configurations.

    With several `objectives` the sampler looks for their Pareto front. A trial with a missing or non-finite objective
    is recorded as FAILED, so that the sampler ignores it: any number in its place would be invented, and without a
    record the trial would stay RUNNING for ever.

    Drawn configurations take turns among `models`, the values of the axis "model": a sampler left alone would soon draw
    none but the type that is easiest to train.

    The search calls `handed_out`, where it is set, with every configuration and its number before Tune sees them.
    """

    def __init__(
        self,
        space: Callable[[optuna.Trial], Config] | None,
        fixed: list[Config],
        seed: int,
        objectives: Sequence[SearchObjective] = ACCURACY,
        models: Sequence[str] = (),
    ):
        sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=len(fixed) + 1)
        self._metrics: list[str] = [objective.metric for objective in objectives]
        modes: list[str] = [objective.mode for objective in objectives]
        if len(objectives) == 1:
            super().__init__(space=space, metric=self._metrics[0], mode=modes[0], sampler=sampler)
        else:
            super().__init__(space=space, metric=self._metrics, mode=modes, sampler=sampler)
        self._fixed, self._models = list(fixed), list(models)
        self._training_seed = seed
        self._handed: dict[str, Config] = {}
        self._count = 0
        self.handed_out: Callable[[Config], object] | None = None

    def suggest(self, trial_id: str) -> Any:
        number = self._count
        if number < len(self._fixed):
            config = self._handed[trial_id] = self._fixed[number]
        elif self._space:
            if len(self._models) > 1:
                assert self._ot_study is not None
                self._ot_study.enqueue_trial({"model": self._models[number % len(self._models)]})
            config = {"seed": self._training_seed} | (super().suggest(trial_id) or {})
        else:
            return self.FINISHED
        self._count += 1
        config = {"trial": number} | config
        if self.handed_out:
            self.handed_out(config)
        return config

    def save(self, checkpoint_path: str) -> None:
        # pickle cannot write the space and the callback, which are code; a restored searcher has them already.
        code = self._space, self.handed_out
        self._space = self.handed_out = None
        super().save(checkpoint_path)
        self._space, self.handed_out = code

    def restore(self, checkpoint_path: str) -> None:
        code = self._space, self.handed_out
        super().restore(checkpoint_path)
        self._space, self.handed_out = code

    def on_trial_result(self, trial_id: str, result: dict) -> None:
        if trial_id not in self._handed:
            super().on_trial_result(trial_id, result)

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        values = [(result or {}).get(metric, math.nan) for metric in self._metrics]
        known = all(math.isfinite(value) for value in values)
        if trial_id not in self._handed:
            super().on_trial_complete(trial_id, result if known else None, error=not known)
        elif known and self._space:
            nearest, space, study = Nearest(self._handed[trial_id]), self._space, self._ot_study
            assert callable(space) and study is not None
            space(nearest)
            study.add_trial(
                optuna.trial.create_trial(params=nearest.params, distributions=nearest.distributions, values=values)
            )


class AtOnce(ConcurrencyLimiter):
    """Hands out as many configurations at once as this cluster holds, also after a restore from another cluster."""

    def set_state(self, state: dict) -> None:
        super().set_state(state | {"max_concurrent": self.max_concurrent})


class FairASHA(ASHAScheduler):
    """ASHA (Li et al., arXiv 1810.05934) within each model type, which keeps its rungs through a restore.

    A trial has rivals of its own model type only: when one type has solved nothing yet, another may have long learned.
    The first `spared` trials, the fixed configurations, run to the end of their budget.

    Tune restores the searcher but not the rungs of the scheduler, so this class reads the results of known trials from
    their result.json. Tune rewrites that file in place, and a killed driver may leave a torn line. A torn line is
    skipped: the last result is in Tune's state, too.
    """

    def __init__(self, spared: float, **settings: Any):
        super().__init__(**settings)
        self._spared = spared
        self._by_model: dict[str, Any] = {}

    def on_trial_add(self, tune_controller: TuneController, trial: Trial) -> None:
        super().on_trial_add(tune_controller, trial)
        # The one bracket of the scheduler stays empty: each model type has a copy.
        bracket = self._by_model.setdefault(trial.config["model"], copy.deepcopy(self._brackets[0]))
        self._trial_info[trial.trial_id] = bracket
        if not trial.storage or not trial.storage.trial_dir_name:  # a new trial: its folder has no name yet
            return
        path = Path(trial.storage.trial_fs_path, "result.json")
        for row in [*_rows(path), trial.last_result or {}]:
            if CLOCK in row and self._metric in row:
                # A metric that is to be low has its sign turned, as by `on_trial_result`.
                self._trial_info[trial.trial_id].on_result(trial, row[CLOCK], self._metric_op * row[self._metric])

    def on_trial_result(self, tune_controller: TuneController, trial: Trial, result: dict) -> str:
        decision = super().on_trial_result(tune_controller, trial, result)
        spared = trial.config["trial"] < self._spared and result[CLOCK] < self._max_t
        return self.CONTINUE if spared else decision


def _rows(path: Path) -> Iterator[dict]:
    """The results in a result.json; damaged lines are skipped."""
    if path.exists():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError):
                yield json.loads(line)


def searcher(
    spec: SweepSpec,
    fixed: list[Config],
    models: list[str],
    sigmas: list[float] | None,
    seed: int,
    objectives: Sequence[SearchObjective] = ACCURACY,
) -> BaselinesFirst:
    """The searcher of a sweep: `fixed` first, then configurations of the models and sigmas on the command line."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return BaselinesFirst(_narrowed(spec, models, sigmas), fixed, seed, objectives, models)


def _narrowed(
    spec: SweepSpec, models: list[str], sigmas: list[float] | None
) -> Callable[[optuna.Trial], Config] | None:
    """The space of a sweep within the options --model and --sigma; None without a space."""
    space, positive = spec.space, [sigma for sigma in sigmas or [] if sigma > 0]
    return space and (lambda trial: space(trial, models, positive))


def scheduler(evaluations: int, spared: float, objectives: Sequence[SearchObjective] = ACCURACY) -> TrialScheduler:
    """A scheduler that stops the weaker half of each model type's trials at two thirds of their budget, `evaluations`.

    Before that, small models solve nothing and cannot be told apart. The first `spared` trials are never stopped. With
    several objectives, or one that is measured at the end of a training, no trial is stopped: their values are known
    only then.
    """
    if len(objectives) > 1 or objectives[0].measure:
        return FIFOScheduler()
    grace, (objective,) = max(1, 2 * evaluations // 3), objectives
    return FairASHA(
        spared, time_attr=CLOCK, metric=objective.metric, mode=objective.mode, max_t=evaluations, grace_period=grace,
        reduction_factor=2,
    )  # fmt: skip


def sampled(spec: SweepSpec, models: list[str], sigmas: list[float] | None, seed: int, count: int = 16) -> list[Config]:
    """`count` random configurations of the space, for checks before the sweep starts; none without a space."""
    space = _narrowed(spec, models, sigmas)
    if space is None:
        return []
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return [space(study.ask()) for _ in range(count)]

"""What a sweep is: the axes, the training run of one configuration, and budgets by name. Light to import."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """Budget and data of a sweep.

    trials: how many, baselines included.  steps: optimizer steps of an unperturbed trial.  evaluations: validation
    points per trial, the clock of ASHA.  task, givens (lowest and highest number of given cells): the puzzles generated
    when no data is named.  train, validation, test: numbers of puzzles.
    """

    trials: int
    steps: int
    evaluations: int
    task: str
    givens: tuple[int, int]
    train: int
    validation: int
    test: int


@dataclass(frozen=True)
class SweepSpec:
    """A sweep recipe; see `tune_specs`.

    models: the model types of the first axis.  baselines(models): configurations run first and never stopped.
    space(trial, models, sigmas): a configuration drawn by Optuna, define-by-run.  recipe(config, task, preset, seed):
    its training run.  matching: how the arms are made comparable, printed with the findings.

    Configurations are flat dictionaries with "model", "sigma" and "flossing" among their keys.
    """

    name: str
    models: tuple[str, ...]
    baselines: Callable
    space: Callable
    recipe: Callable
    matching: str
    presets: dict[str, Preset]

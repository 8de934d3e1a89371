"""What a sweep is: the axes, the training run of one configuration, and budgets by name. Light to import."""

from collections.abc import Callable
from dataclasses import dataclass

# What a search may optimise: the metric, the direction, and what to know before two trials are compared by it.
OBJECTIVES = {
    "accuracy": (
        "validation/objective",
        "max",
        "on validation at the last evaluation, with 0.01 of the share of right cells",
    ),
    "success_lambda_1": (
        "validation/success_lambda_1",
        "min",
        "the median over the puzzles that each trial solves itself: one that solves only the easy ones looks calmer",
    ),
    "calls": ("validation/best_call_units", "min", "the compute until the best of several noisy evaluations"),
}


@dataclass(frozen=True)
class Preset:
    """Budget and data of a sweep.

    trials: how many configurations are tried, the fixed ones included; a sweep without a space ignores it.  seeds:
    training seeds of the comparison that ends the sweep.  steps: optimizer steps of an unperturbed trial.  evaluations:
    validation points per trial, the clock of ASHA.  task, givens (lowest and highest number of given cells): the
    puzzles generated when no data is named.  train, validation, test: numbers of puzzles.
    """

    trials: int
    seeds: int
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

    models: the model types of the first axis.  fixed(models): configurations run first and never stopped, the baseline
    of every model type among them.  recipe(config, task, preset, seed): the training run of one configuration.
    matching: how the arms are made comparable, printed with the findings.

    arm(config, recipe): what the arm of a configuration is called, without model and seed; by default the "arm" of the
    configuration, else what its recipe does to plain training, in words. Configurations that train differently must
    not share a name.  baseline: the name of the arm that all others of a model type are compared with.

    space(trial, models, sigmas): a configuration drawn by Optuna, define-by-run; `sigmas` are the values of --sigma,
    None for the whole range. The best drawn configuration and its baseline are then trained again on fresh seeds.
    Without a space all fixed configurations are trained on the same seeds.

    A configuration is a flat dictionary with "model" among its keys; the sweep adds "seed" and "trial", its number.
    """

    name: str
    models: tuple[str, ...]
    fixed: Callable
    recipe: Callable
    matching: str
    presets: dict[str, Preset]
    space: Callable | None = None
    takes_sigma: bool = False
    arm: Callable | None = None
    baseline: str = "baseline"

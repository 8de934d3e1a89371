"""Checks before a sweep starts: every configuration can be trained, and arms that train differently have two names."""

from argparse import Namespace
from collections.abc import Callable, Mapping

import torch

from rrm.cluster.search import sampled
from rrm.errors import InputError
from rrm.jobs.recipes import Recipes, TrialRecipe, refuse_conflicts
from rrm.jobs.spec import Config, DataSpec, Preset, SweepSpec
from rrm.models import build
from rrm.studies.sources import check_fit
from rrm.tasks import get_task
from rrm.tasks.difficulty import tier_edges
from rrm.tasks.splits import Splits, puzzles_needed
from rrm.training.assemble import assemble
from rrm.training.part import Context, Data
from rrm.training.stream import TrainStream

LOOKED_AT = 256  # configurations drawn at random to find out which puzzles a space may ask for


def fixed_configurations(spec: SweepSpec, models: list[str], preset: Preset, seed: int) -> list[Config]:
    """The fixed configurations: on one seed before a search, else on every seed, seed by seed."""
    seeds = 1 if spec.space else preset.seeds
    return [config | {"seed": seed + more} for more in range(seeds) for config in spec.fixed(models)]


def possible_configurations(spec: SweepSpec, args: Namespace, preset: Preset, count: int = 16) -> list[Config]:
    """The fixed configurations, and `count` configurations that a search may draw."""
    drawn = sampled(spec, args.model, args.sigma, args.seed, count)
    return fixed_configurations(spec, args.model, preset, args.seed) + [{"seed": args.seed} | one for one in drawn]


def check_recipes(
    spec: SweepSpec, args: Namespace, preset: Preset, recipes: Recipes, splits: Mapping[str, Splits]
) -> None:
    """Build every kind of model and recipe once, and refuse those that cannot run before anything starts.

    Arms are compared by name, so two arms of one name that train differently are refused, too, and so are test puzzles
    without tiers where arms are compared by them.
    """
    named: dict[tuple[str, str | None, str], TrialRecipe] = {}
    for config in possible_configurations(spec, args, preset):
        trial = recipes.make(config | {"seed": args.seed})
        name = config["model"], trial.data, trial.arm.name
        if named.setdefault(name, trial).recipe != trial.recipe:
            raise InputError(
                f"two configurations of {name[0]} that train differently are both called {trial.arm.name!r}: give the "
                f"sweep {spec.name} an arm(config, recipe) that tells them apart, or its configurations an 'arm'"
            )
        _check_data(trial, args, spec.data_of(config, preset), splits)
        trial.recipe.share(args.workers_per_trial)
        if trial.recipe.arithmetic:
            assemble(trial.recipe)  # a recipe with a table has all that its parts have to fit
        elif not spec.trainer:
            _check_model(trial, splits)
    _check_baselines(spec, args.model, list(named))
    if spec.tiers:
        for data in splits.values():
            tier_edges(data.test.rating)


def _check_data(trial: TrialRecipe, args: Namespace, wanted: DataSpec | None, splits: Mapping[str, Splits]) -> None:
    """InputError where there are too few puzzles for a batch, or the batch cannot be shared."""
    if wanted is None or trial.data is None:
        return
    batch_size, train = trial.recipe.batch_size, splits[trial.data].train
    if args.data and len(train) < batch_size:
        needed = puzzles_needed(args.data, (wanted.train, wanted.validation, wanted.test), batch_size)
        raise InputError(
            f"--data {args.data} leaves {len(train)} puzzles for training, and a step takes {batch_size}: give a file "
            f"with at least {needed} distinct puzzles"
        )
    TrainStream(train, get_task(train.task), batch_size, args.seed, world=args.workers_per_trial)


def _check_model(trial: TrialRecipe, splits: Mapping[str, Splits]) -> None:
    """InputError where the model does not fit its puzzles, or the budget does not pay for the evaluations.

    The source is built as in training: a curriculum may refuse the puzzles.
    """
    recipe = trial.recipe
    with torch.device("meta"):
        model = build(recipe.model)
    if trial.data is None:
        recipe.steps(model)
        return
    found = splits[trial.data]
    for part in (found.train, found.validation, found.test):
        check_fit(model, part)
    data, loss = Data(get_task(found.train.task), found.train, found.validation), recipe.LOSSES[recipe.loss]
    shared = (model, loss, recipe.perturbed, recipe.batch_size, recipe.seed, data)
    recipe.source_settings.build(Context(*shared, steps=recipe.steps(model)))


def _check_baselines(spec: SweepSpec, models: list[str], named: list[tuple[str, str | None, str]]) -> None:
    """InputError where a model type has no baseline on some data."""
    if spec.baseline is None:
        return
    pairs = dict.fromkeys((model, data) for model, data, _ in named)
    pairs |= dict.fromkeys((model, "") for model in models if model not in {model for model, _ in pairs})
    for model, data in pairs:
        if (model, data, spec.baseline) not in named:
            where = f"{model} on {data}" if data else model
            raise InputError(
                f"the sweep {spec.name} has no arm called {spec.baseline!r} for {where}, "
                "and every other is compared with it: add one to fixed(models), or name another as baseline"
            )


def check_unchanged(recipes: Recipes, configs: list[Config], drawn: Callable[[Config], bool]) -> None:
    """InputError where an earlier and a later trial have one arm but train differently.

    Args:
        configs: of the trials that are to come, those included that have begun, with their numbers.
        drawn: whether a search draws a configuration.
    """
    begun = {known.config["trial"]: known for known in recipes.begun()}
    to_come = [recipes.make(config) for config in configs if config["trial"] not in begun]
    refuse_conflicts([*begun.values(), *to_come], drawn)

"""A trainer from a recipe and puzzles."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import nn

from rrm.curves import CurveFile
from rrm.models import build
from rrm.tasks.base import PuzzleSet, Task
from rrm.training.hook import Hook
from rrm.training.part import Context, Data
from rrm.training.recipe import Recipe
from rrm.training.trainer import Trainer, unwrapped


def assemble(
    recipe: Recipe,
    task: Task | None = None,
    train: PuzzleSet | None = None,
    validation: PuzzleSet | None = None,
    *,
    rank: int = 0,
    world: int = 1,
    device: str = "cpu",
    wrap: Callable[[nn.Module], nn.Module] = unwrapped,
    curve: CurveFile | None = None,
) -> Trainer:
    """The training of a recipe, on puzzles or on the table that it names; keyword arguments as `Trainer` has them.

    It never sees test puzzles.

    Raises:
        InputError: where the parts do not fit each other, the puzzles or the budget.
    """
    torch.manual_seed(recipe.seed)
    model = build(recipe.model).to(device)
    data = Data(task, train, validation) if task and train and validation else None
    loss, arithmetic = recipe.LOSSES[recipe.loss], recipe.arithmetic
    steps = recipe.steps(model)
    context = Context(
        model, loss, recipe.perturbed, recipe.batch_size, recipe.draws, data, rank, world, arithmetic, steps
    )
    return build_parts(recipe, context, device=device, wrap=wrap, curve=curve)


def build_parts(
    recipe: Recipe,
    context: Context,
    *,
    device: str = "cpu",
    wrap: Callable[[nn.Module], nn.Module] = unwrapped,
    curve: CurveFile | None = None,
    watching: Mapping[str, Hook] = MappingProxyType({}),
) -> Trainer:
    """The training of a recipe whose parts are built from `context`; `watching` are hooks that change nothing."""
    objective = recipe.objective_settings.build(context)
    source = recipe.source_settings.build(context)
    hooks = {name: settings.build(context) for name, settings in recipe.hook_settings.items()}
    hooks |= watching
    shared = {"rank": context.rank, "world": context.world}
    return Trainer(recipe, objective, source, hooks, **shared, device=device, wrap=wrap, curve=curve)

"""A trainer from a recipe and puzzles."""

from collections.abc import Callable

import torch
from torch import nn

from rrm.curves import CurveFile
from rrm.models import build
from rrm.tasks.base import PuzzleSet, Task
from rrm.training.part import Context, Data
from rrm.training.recipe import Recipe
from rrm.training.registry import LOSSES
from rrm.training.trainer import Trainer, unwrapped


def assemble(
    recipe: Recipe,
    task: Task,
    train: PuzzleSet,
    validation: PuzzleSet,
    *,
    rank: int = 0,
    world: int = 1,
    device: str = "cpu",
    wrap: Callable[[nn.Module], nn.Module] = unwrapped,
    curve: CurveFile | None = None,
) -> Trainer:
    """The training of a recipe; keyword arguments as `Trainer` has them. Test puzzles are never seen here.

    Raises:
        InputError: where the parts do not fit each other, the puzzles or the budget.
    """
    torch.manual_seed(recipe.seed)
    context = Context(
        model=build(recipe.model).to(device),
        loss=LOSSES[recipe.loss],
        perturbation=recipe.perturbed,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        data=Data(task, train, validation),
        rank=rank,
        world=world,
    )
    objective = recipe.objective_settings.build(context)
    source = recipe.source_settings.build(context)
    hooks = {name: settings.build(context) for name, settings in recipe.hook_settings.items()}
    return Trainer(recipe, objective, source, hooks, rank=rank, world=world, device=device, wrap=wrap, curve=curve)

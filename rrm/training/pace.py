"""How fast a training runs here, measured on its first steps: by this a long job says how long it will take."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from rrm.errors import InputError
from rrm.training.recipe import Recipe
from rrm.training.trainer import Trainer

STEPS = 3  # the first one warms up


@dataclass(frozen=True)
class Pace:
    """unit_s: seconds of training a call unit.  evaluation_s: seconds of an evaluation."""

    unit_s: float
    evaluation_s: float

    def seconds(self, recipe: Recipe) -> float:
        """Seconds that the whole training of a recipe takes."""
        return recipe.budget * self.unit_s + recipe.evaluations * self.evaluation_s


def measure_pace(recipe: Recipe, build: Callable[[Recipe], Trainer]) -> Pace:
    """The pace of a recipe, whose trainer `build` makes: a few steps without hooks, then an evaluation.

    A source that asks for a hook gives way to a uniform one.
    """
    price = recipe.units_per_step(build(recipe).model)
    try:
        recipe.source_settings.check(())
    except InputError:
        recipe = replace(recipe, source={"kind": "uniform"})
    trainer = build(replace(recipe, budget=1.01 * STEPS * price, evaluations=1, hooks={}))
    for _ in trainer.run():
        pass
    return Pace(trainer.seconds["train"] / trainer.call_units, trainer.seconds["evaluate"])

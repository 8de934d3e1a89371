"""A grid over named axes, whose values presets and the command line may change. Light to import."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from rrm.jobs.spec import Config, Preset, SweepSpec, grid, named_by

if TYPE_CHECKING:
    from rrm.training.recipe import Recipe

MODEL = "model"
NONE = "none"  # how the command line spells None


@dataclass(frozen=True)
class Axis:
    """One axis.

    values: those of the grid, all of one type.  meaning: for --help.  optional: whether None is a value, too.
    """

    values: tuple[Any, ...]
    meaning: str
    optional: bool = False

    def read(self, text: str) -> Any:
        """A value from the command line; ValueError for another type."""
        if self.optional and text == NONE:
            return None
        kind = next((type(value) for value in self.values if value is not None), float)
        if kind is not bool:
            return kind(text)
        if text not in ("yes", "no"):
            raise ValueError(text)
        return text == "yes"

    @property
    def words(self) -> str:
        """The values as the command line spells them."""
        spelled = {None: NONE, True: "yes", False: "no"}
        return " ".join(
            spelled[value] if value is None or isinstance(value, bool) else f"{value}" for value in self.values
        )


@dataclass(frozen=True)
class GridPreset:
    """budget: seeds, steps and evaluations.  axes: values that take the place of those of the grid."""

    budget: Preset
    axes: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class GridSpec:
    """A sweep of every combination of the values of its axes, on every seed, without early stopping.

    axes: by name, "model" among them.  shown: axes that stand in every configuration, though they have one value;
    other axes of one value are part of the recipe alone.  recipe(config, task, preset, seed): as of a `SweepSpec`, with
    a value of every axis in `config`.  rest: other fields of the `SweepSpec`.
    """

    name: str
    axes: Mapping[str, Axis]
    presets: Mapping[str, GridPreset]
    recipe: Callable[[Config, None, Preset, int], Recipe]
    matching: str
    shown: tuple[str, ...] = ()
    rest: Mapping[str, Any] = field(default_factory=dict)

    def sweep(self, preset: str, chosen: Mapping[str, Sequence[Any] | None]) -> SweepSpec:
        """The sweep of a preset, with the values that were `chosen` for some axes; an arm is named by what varies."""
        values = {name: axis.values for name, axis in self.axes.items()} | dict(self.presets[preset].axes)
        values |= {name: tuple(dict.fromkeys(given)) for name, given in chosen.items() if given}
        models = values.pop(MODEL)
        varied = [name for name, given in values.items() if len(given) > 1]
        constant = {name: given[0] for name, given in values.items() if len(given) == 1}
        stated = {name: given for name, given in values.items() if name in varied or name in self.shown}
        return SweepSpec(
            name=self.name,
            models=models,
            fixed=partial(_every, stated),
            recipe=partial(_complete, self.recipe, constant),
            matching=self.matching,
            presets={name: made.budget for name, made in self.presets.items()},
            arm=named_by(*(varied or self.shown)),
            baseline=None,
            **self.rest,
        )


def _every(axes: Mapping[str, tuple[Any, ...]], models: list[str]) -> list[Config]:
    return grid(model=models, **axes)


def _complete(
    recipe: Callable[..., Recipe], constant: Config, config: Config, task: None, preset: Preset, seed: int
) -> Recipe:
    return recipe(constant | config, task, preset, seed)

"""The recipe of each trial: computed once, when the trial is handed out, then read from the folder of the job."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rrm.errors import InputError
from rrm.jobs.data import DataKeys
from rrm.jobs.folder import read_json, write_json
from rrm.jobs.naming import trial_name
from rrm.jobs.record import Arm
from rrm.jobs.spec import Config, DataSpec, Preset, SweepSpec, named_by
from rrm.tasks import get_task
from rrm.training import interventions
from rrm.training.assemble import assemble
from rrm.training.recipe import Recipe, upgrade
from rrm.training.trainer import Trainer

RECIPES = "recipes"


@dataclass(frozen=True)
class TrialRecipe:
    """A trial as it was handed out.

    Attributes:
        config: the configuration with its seed, and with its number unless it is only checked.
        arm: the arm to which it belongs in comparisons.
        data: key of its data (`DataKeys`).
        recipe: its training run.
    """

    config: Config
    arm: Arm
    data: str | None
    recipe: Recipe

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        arm, recipe = self.arm.to_dict(), self.recipe.to_dict()
        return {"config": self.config, "arm": arm, "data": self.data, "recipe": recipe}


def _read(known: dict[str, Any]) -> Recipe:
    return Recipe(**upgrade(known))


@dataclass(frozen=True)
class Recipes:
    """The recipes of a sweep's trials.

    An edited spec changes later trials only, and nothing that reports say of earlier ones.

    Attributes:
        folder: of the job.
        preset: budget of every trial.
        keys: the sets of puzzles.
        recipe, arm, baseline, data, read, trainer: as in `SweepSpec`, the rest of which no worker needs.
    """

    folder: Path
    preset: Preset
    keys: DataKeys
    recipe: Callable[..., Recipe]
    arm: Callable[[Config, Recipe], str] | None
    baseline: str | None
    data: Callable[[Config, Preset], DataSpec | None]
    read: Callable[[dict[str, Any]], Recipe]
    trainer: Callable[..., Trainer]

    @classmethod
    def of_spec(cls, spec: SweepSpec, folder: Path, preset: Preset, keys: DataKeys) -> "Recipes":
        """The recipes of a sweep in the folder of its job."""
        data, read, trainer = spec.data or _of_preset, spec.read or _read, spec.trainer or assemble
        return cls(folder, preset, keys, spec.recipe, spec.arm, spec.baseline, data, read, trainer)

    def make(self, config: Config) -> TrialRecipe:
        """The recipe of a configuration by the present spec."""
        key = self.keys.of(self.data(config, self.preset))
        task = None if key is None else get_task(self.keys.tasks[key])
        recipe = self.recipe(config, task, self.preset, config["seed"])
        made = TrialRecipe(config, self._arm(config, recipe), key, recipe)
        # As it comes back from its file, where a pair is a list.
        return self._of_dict(json.loads(json.dumps(made.to_dict())))

    def _of_dict(self, known: dict[str, Any]) -> TrialRecipe:
        """The content of a file of recipes/."""
        return TrialRecipe(known["config"], Arm.from_dict(known["arm"]), known["data"], self.read(known["recipe"]))

    def _arm(self, config: Config, recipe: Recipe) -> Arm:
        # The interventions of a recipe with parts of its own are not known here.
        found = interventions.summary(recipe) if type(recipe) is Recipe else {}
        free = {key: value for key, value in config.items() if key not in ("model", "seed", "trial", "arm")}
        words = interventions.name_of(**found) if found else named_by(*free)(config, recipe)
        name = self.arm(config, recipe) if self.arm else config.get("arm") or words
        return Arm(name, name == self.baseline, free | found)

    def hand_out(self, config: Config) -> TrialRecipe:
        """Compute and write the recipe of a new trial."""
        made = self.make(config)
        (self.folder / RECIPES).mkdir(parents=True, exist_ok=True)
        write_json(self.folder / RECIPES, trial_name(config), made.to_dict())
        return made

    def known(self, config: Config) -> TrialRecipe | None:
        """The written recipe of a trial; None where none was written for this configuration."""
        found = read_json(self.folder / RECIPES, trial_name(config))
        same = found and found["config"] == json.loads(json.dumps(config))
        return self._of_dict(found) if found and same else None

    def of(self, config: Config) -> TrialRecipe:
        """The recipe of a trial. For a trial of an rrm without recipes/ it is made by the present spec and written.

        Only the driver may call it, because it writes.
        """
        return self.known(config) or self.hand_out(config)

    def begun(self) -> list[TrialRecipe]:
        """The written recipes of the trials that have begun, in the order of their numbers.

        A trial that was handed out but never began is handed out again, with a recipe by the spec of that time.
        """
        files = sorted((self.folder / RECIPES).glob("trial-*.json"))
        names = [file.stem for file in files if any(self.folder.glob(f"tune*/{file.stem}"))]
        found = [read_json(self.folder / RECIPES, name) for name in names]
        return [self._of_dict(known) for known in found if known]


def _of_preset(config: Config, preset: Preset) -> DataSpec | None:
    return preset.data


def refuse_conflicts(trials: Iterable[TrialRecipe], drawn: Callable[[Config], bool]) -> None:
    """InputError for two trials of one model type, data and arm whose recipes differ in more than the seed.

    They would count as one arm in every comparison. Only configurations that a search has drawn may share a name by
    the rounding of its numbers: none of them is compared.
    """
    known: dict[tuple[str, str | None, str], list[TrialRecipe]] = {}
    for trial in trials:
        others = known.setdefault((trial.config["model"], trial.data, trial.arm.name), [])
        for other in others:
            unlike = _unlike(trial.recipe, other.recipe)
            by_chance = (drawn(trial.config) or drawn(other.config)) and _without_seed(trial) != _without_seed(other)
            if unlike and not by_chance:
                raise InputError(
                    f"{trial_name(other.config)} and {trial_name(trial.config)} of {trial.config['model']} are both "
                    f"called {trial.arm.name!r} and train with another {unlike}: undo the change of the sweep's "
                    "recipe, give the arm another name, or start a new sweep with another --name"
                )
        others.append(trial)


def _without_seed(trial: TrialRecipe) -> Config:
    return {name: value for name, value in trial.config.items() if name not in ("seed", "trial")}


def _unlike(one: Recipe, other: Recipe) -> str:
    """The fields in which two recipes differ, the seed left out; "" for none."""
    plain = [made.to_dict() for made in (one, other)]
    return ", ".join(name for name in plain[0] if name != "seed" and plain[0][name] != plain[1][name])

"""The specification of a sweep: axes, the recipe and data of a configuration, budgets by name. Light to import."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rrm.jobs.objectives import OBJECTIVES, SearchObjective

if TYPE_CHECKING:
    from rrm.jobs.predictions import TierReport
    from rrm.training.recipe import Recipe
    from rrm.training.trainer import Trainer

Config = dict[str, Any]

# Stages after training, by the names of `rrm.studies.stages.STAGES`.
PERTURBATION_STAGES = ("score", "measure", "compare", "search", "draw", "say", "log")
LEAST = 4  # puzzles of a step on large boards
TIERED = 32  # test puzzles on large boards that are compared by tiers of difficulty

# Without Lyapunov spectra, which need recursive models.
GRID_STAGES = ("score", "compare", "search", "draw", "say", "log")


@dataclass(frozen=True)
class DataSpec:
    """A set of puzzles to generate: lowest and highest number of given cells, numbers of puzzles.

    `givens` as for `rrm.tasks.Task.generate`.  rated: rate the puzzles by `rrm.tasks.difficulty.rated`, those of files
    too.
    """

    task: str
    train: int
    validation: int
    test: int
    givens: int | tuple[int, int] | None = None
    rated: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.givens, list):  # an axis that was read back from a file
            object.__setattr__(self, "givens", tuple(self.givens))

    @property
    def key(self) -> str:
        """The name of the set in names of files and tags, such as "sudoku-4x4-6-8-256-64-128"."""
        givens = self.givens if isinstance(self.givens, tuple) else () if self.givens is None else (self.givens,)
        return "-".join(map(str, (self.task, *givens, self.train, self.validation, self.test)))


@dataclass(frozen=True)
class Preset:
    """Budget and data of a sweep.

    trials: how many configurations are tried, the fixed ones included; a sweep without a space ignores it.  seeds:
    training seeds of the comparison that ends the sweep.  steps: optimizer steps of an unperturbed trial.  evaluations:
    validation points per trial, the clock of ASHA.  task, givens, train, validation, test: the puzzles generated when
    no data is named, as in `DataSpec`; without a task the sweep names its data itself.  batch_size: puzzles of a step.
    k: exponents per puzzle where spectra are measured.  quick: named data of more cells than the preset's own gets a
    smaller budget (`fitted`).
    """

    trials: int
    seeds: int
    steps: int
    evaluations: int
    task: str | None = None
    givens: int | tuple[int, int] | None = None
    train: int = 0
    validation: int = 0
    test: int = 0
    batch_size: int = 32
    k: int = 8
    quick: bool = False

    def fitted(self, own_cells: int, cells: int, tiered: bool = False) -> Preset:
        """The preset for puzzles of `cells` cells instead of `own_cells`: the cells of batch, training, validation and
        test stay about as many, so that a sweep takes about as long. Batches keep `LEAST` puzzles, enough for each of
        several rollouts, and a training enough steps to pay for an episode of flossing. Boards that are larger have 2
        exponents at the most: a spectrum of attention grows with the square of the cells. A test set that is `tiered`
        keeps `TIERED` puzzles.
        """
        ratio = max(1.0, cells / own_cells)
        batch_size = max(LEAST, round(self.batch_size / ratio))
        steps = round(self.steps * min(1.0, self.batch_size / (batch_size * ratio)))
        sizes = {name: max(LEAST, round(getattr(self, name) / ratio)) for name in ("validation", "test")}
        sizes["test"] = max(sizes["test"], min(self.test, TIERED) if tiered else 0)
        sizes |= {"steps": max(steps, 5 * self.evaluations), "k": min(self.k, 2) if ratio > 1 else self.k}
        return replace(self, batch_size=batch_size, quick=False, **sizes)

    @property
    def data(self) -> DataSpec | None:
        """The puzzles of the preset; None without a task."""
        return DataSpec(self.task, self.train, self.validation, self.test, self.givens) if self.task else None


@dataclass(frozen=True)
class SweepSpec:
    """A sweep recipe; see `tune_specs`.

    models: the model types of the first axis.  fixed(models): configurations run first and never stopped, the baseline
    of every model type among them.  recipe(config, task, preset, seed): the training run of one configuration.
    matching: a sentence on how the arms are made comparable, printed with the findings.

    arm(config, recipe): the name of the arm of a configuration, without model and seed; by default the "arm" of the
    configuration, else the interventions of its recipe in words. Configurations that train differently must
    not share a name (`named_by` calls them by their axes).  baseline: the name of the arm that all others of a model
    type are compared with; None where nothing is compared.

    data(config, preset): the `DataSpec` of a configuration, by default the preset's; None where its objective brings
    data of its own. Arms are compared on the same data alone. A search must draw each set of a few.

    space(trial, models, sigmas): a configuration drawn by Optuna, define-by-run; `sigmas` are the values of --sigma,
    None for the whole range. The best drawn configuration of every model type that learns, and its baseline, are then
    trained again on fresh seeds; a type learns if one of the two scores at least `learns` on validation, because where
    all fail, seeds tell nothing. Without a space all fixed configurations are trained on the same seeds.

    trainer(recipe, task, train, validation, *, rank, world, device, wrap, curve): the training of a recipe, by default
    `rrm.training.assemble.assemble`; task and puzzles are None where the objective brings its data.  read(known): the
    recipe of its plain values, by default a `Recipe`. An experiment with parts of its own brings both.  probes:
    settings of the hook "probes" in every trial, unless the command line names probes; none by default.

    stages: the stages after training, in order: names of `rrm.studies.stages.STAGES`, or functions of a
    `rrm.studies.sweep_run.SweepRun`.  tiers: what the stage "tiers" compares.  objectives: the objectives that a search
    may have.  score: the score, a fraction and the higher the better, that is shown and by which arms are compared.

    A configuration is a flat dictionary with "model" among its keys; the sweep adds "seed" and "trial", its number.
    """

    name: str
    models: tuple[str, ...]
    fixed: Callable[[list[str]], list[Config]]
    recipe: Callable[..., Recipe]
    matching: str
    presets: Mapping[str, Preset]
    space: Callable[..., Config] | None = None
    takes_sigma: bool = False
    arm: Callable[[Config, Recipe], str] | None = None
    baseline: str | None = "baseline"
    data: Callable[[Config, Preset], DataSpec | None] | None = None
    trainer: Callable[..., Trainer] | None = None
    read: Callable[[dict[str, Any]], Recipe] | None = None
    probes: Mapping[str, Any] = field(default_factory=dict)
    stages: tuple[str | Callable[..., None], ...] = PERTURBATION_STAGES
    objectives: Mapping[str, SearchObjective] = field(default_factory=lambda: OBJECTIVES)
    score: str = "exact"
    learns: float = 0.05
    tiers: TierReport | None = None

    def data_of(self, config: Config, preset: Preset) -> DataSpec | None:
        """The data of a configuration; None for data of its own."""
        return self.data(config, preset) if self.data else preset.data


def grid(**axes: Iterable[Any]) -> list[Config]:
    """Every combination of the values of the axes; the last axis varies fastest."""
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def named_by(*axes: str) -> Callable[[Config, Recipe], str]:
    """An `arm` of a SweepSpec that calls a configuration by its values on these axes, "lr 0.001, width 64"."""

    def arm(config: Config, recipe: Recipe) -> str:
        return ", ".join(f"{axis} {config[axis]:g}" if isinstance(config[axis], float) else f"{axis} {config[axis]}"
                         for axis in axes)  # fmt: skip

    return arm

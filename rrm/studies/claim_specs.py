"""The sweeps that the claims are judged by: baselines of three model types, arms on few puzzles, flossing's own toy."""

from dataclasses import replace
from typing import Any

from rrm.jobs.spec import Config, Preset, SweepSpec, grid
from rrm.reports.claims.stability import MODELS
from rrm.reports.claims.training import (
    ALL_LEARN,
    BASELINE,
    COPIES,
    FLOSSED,
    PERTURBED,
    PERTURBED_LONG,
    RANDOM_LEARNS,
    WINNER,
)
from rrm.reports.perturbation import panels
from rrm.studies.measured import measure_trials, provenance
from rrm.studies.sweep_run import SweepRun
from rrm.tasks import Task
from rrm.toys.delayed_bits import TanhNetwork, binary_cross_entropy
from rrm.toys.flossing import PRESETS as TOYS
from rrm.toys.flossing import ToyRecipe
from rrm.training.assemble import build_parts
from rrm.training.part import Context
from rrm.training.recipe import Recipe
from rrm.training.recipes import cpu_sudoku, flossed
from rrm.training.trainer import Trainer, unwrapped

EXPERIMENT = "claims"


def measure_all(run: SweepRun) -> None:
    """A stage: measure Lyapunov spectra of every trial, because the unit of a claim is the training seed."""
    tests = {key: splits.test for key, splits in run.splits.items()}
    names = provenance(run.tracker, run.record)
    run.results, work = measure_trials(run.folder, run.trials, tests, names, run.resources, run.analysis, run.preset.k)
    run.panels = panels(run.results)
    run.work_s += work


# Steps of each model type in units of the preset's, so that each solves 40 to 80 % of the test puzzles.
SHARE = {"trm_mlp": 1.0, "hrm": 2.3, "srm_mlp": 1.5}


def _baselines(models: list[str]) -> list[Config]:
    return grid(model=models, arm=(BASELINE,))


def _baseline(config: Config, task: Task, preset: Preset, seed: int) -> Recipe:
    budget = 12 * 32 * preset.steps * SHARE[config["model"]]
    return cpu_sudoku(task, config["model"], budget=budget, evaluations=preset.evaluations, seed=seed)


MODELS_SPEC = SweepSpec(
    name=EXPERIMENT,
    models=tuple(MODELS),
    fixed=_baselines,
    recipe=_baseline,
    matching="Model types are not compared with each other.",
    presets={
        name: Preset(
            trials=0, seeds=seeds, steps=138, evaluations=3,
            task="sudoku-4x4", givens=(5, 9), train=1024, validation=256, test=512,
        )
        for name, seeds in (("quick", 2), ("full", 5))
    },
    stages=("score", measure_all, "compare", "say", "log"),
)  # fmt: skip

# Four rollouts of a puzzle share the batch at equal calls; at equal steps the budget pays for all of them.
_FOUR = 4
ARMS: dict[str, dict[str, Any]] = {
    BASELINE: {},
    PERTURBED: {"perturbation": {"kind": "multi4"}},
    COPIES: {"perturbation": {"kind": "clean_copies", "copies": _FOUR - 1}},
    PERTURBED_LONG: {"perturbation": {"kind": "multi4"}},
    WINNER: {"perturbation": {"kind": "winner_take_all"}},
    ALL_LEARN: {"perturbation": {"kind": "all_learn"}},
    RANDOM_LEARNS: {"perturbation": {"kind": "random_learns"}},
    FLOSSED: {"flossing": "pre"},
}


def _arms(models: list[str]) -> list[Config]:
    return grid(model=models, arm=ARMS)


def _arm(config: Config, task: Task, preset: Preset, seed: int) -> Recipe:
    """The training run of an arm: 64 puzzles without symmetric copies, learned by heart long before the end.

    A baseline that is limited by its puzzles leaves room for an arm to be better, and its peak may be lost. Tried for a
    loss, on 512 unseen 4 x 4 puzzles with 5 to 9 givens, with the normalised SwiGLU and one seed, accuracy at the peak
    -> at the end, at full depth: 64 puzzles, 600 steps .90 -> .86 (without averaging and weight decay .90 -> .88; at
    halting .80 -> .75); 32 puzzles, 350 steps .68, still rising; 256 puzzles at twice the learning rate .99; 1,024
    puzzles with symmetric copies, no exploration in halting 1.00; 64 puzzles at four times the learning rate, weight
    decay 1, no averaging, no exploration, read after twice the segments .86 -> .79, up and down in between. On 6 x 6,
    128 puzzles, 600 steps .55, still rising. On mazes of 8 x 8, 64 of them, 200 steps solve none. Nothing collapses.
    """
    arm, long = ARMS[config["arm"]], config["arm"] == PERTURBED_LONG
    rollouts = _FOUR if "perturbation" in arm else 1
    made = cpu_sudoku(
        task,
        config["model"],
        batch_size=32 if long else 32 // rollouts,
        budget=12 * 32 * preset.steps * (rollouts if long else 1),
        evaluations=preset.evaluations,
        source={"kind": "originals"},
        seed=seed,
    )
    # The mixer of the quickest learning: all arms are trained to the end in the time there is.
    made = replace(made, model=made.model | {"swiglu": "normalised"})
    if "perturbation" in arm:
        made = replace(made, perturbation=arm["perturbation"])
    return flossed(made, arm.get("flossing", "none"))


ARMS_SPEC = SweepSpec(
    name=EXPERIMENT,
    models=("trm_mlp",),
    fixed=_arms,
    recipe=_arm,
    matching=f"Arms are equal in network calls, but for {PERTURBED_LONG}, which has four times as many.",
    presets={
        name: Preset(
            trials=0, seeds=seeds, steps=steps, evaluations=12,
            task="sudoku-4x4", givens=(5, 9), train=64, validation=256, test=512,
        )
        for name, seeds, steps in (("quick", 2, 80), ("full", 5, 500))
    },
    stages=("score", "compare", "say", "log"),
)  # fmt: skip


def _toy(config: Config, task: None, preset: Preset, seed: int) -> ToyRecipe:
    return replace(TOYS["small"], schedule=config["arm"], budget=preset.steps).recipe(seed)


def _toy_trainer(
    recipe: Recipe, task: None, train: None, validation: None, *, rank: int = 0, world: int = 1, device: str = "cpu",
    wrap: Any = unwrapped, curve: Any = None,
) -> Trainer:  # fmt: skip
    network = TanhNetwork(recipe.model["units"], recipe.model["gain"], recipe.seed)
    context = Context(network, binary_cross_entropy, recipe.perturbed, recipe.batch_size, recipe.seed)
    return build_parts(recipe, context, device=device, wrap=wrap, curve=curve)


def _read_toy(known: dict[str, Any]) -> ToyRecipe:
    return ToyRecipe(**known)


TOY_SPEC = SweepSpec(
    name=EXPERIMENT,
    models=("tanh",),
    fixed=lambda models: grid(model=models, arm=("none", "pre")),
    recipe=_toy,
    matching="Arms are equal in network calls: flossing is paid for with training steps.",
    presets={
        "quick": Preset(trials=0, seeds=2, steps=1500, evaluations=1),
        "full": Preset(trials=0, seeds=5, steps=1500, evaluations=1),
    },
    baseline="none",
    trainer=_toy_trainer,
    read=_read_toy,
    stages=("score", "compare", "say", "log"),
    score="accuracy",
)

"""The sweep that claims on curricula are judged by: a small model on rated 6 x 6 puzzles, in arms."""

from dataclasses import replace
from typing import Any

from rrm.jobs.spec import Config, DataSpec, Preset, SweepSpec, grid
from rrm.reports.claims.curricula import (
    EASY,
    MIXED,
    RANDOM,
    RANDOM_AGAIN,
    UNIFORM,
    UNIFORM_AGAIN,
    P,
    quarter,
)
from rrm.tasks import Task
from rrm.training.recipe import Recipe
from rrm.training.recipes import small_cpu

# Steps of a round, and of one that has the puzzles in another order.
_ROUND, _OTHER = 20, 27
_TRIALS = {"puzzles": 32, "rollouts": 4, "segments": 2, "sigma": 0.3}

# A kind of curriculum, and the steps of its rounds.
ARMS: dict[str, tuple[str, int]] = {
    UNIFORM: ("uniform", _ROUND),
    UNIFORM_AGAIN: ("uniform", _OTHER),
    RANDOM: ("random_pacing", _ROUND),
    RANDOM_AGAIN: ("random_pacing", _OTHER),
    EASY: ("easy_to_hard", _ROUND),
    P: ("learnability", 2 * _ROUND),
    MIXED: ("mixed_tiers", _ROUND),
}
_QUARTERS = {quarter(arm): arm for arm in (RANDOM, RANDOM_AGAIN, EASY)}


def _arms(models: list[str]) -> list[Config]:
    return grid(model=models, arm=(*ARMS, *_QUARTERS))


def _recipe(config: Config, task: Task, preset: Preset, seed: int) -> Recipe:
    """The training run of an arm, as in the sweep of curricula."""
    name: str = config["arm"]
    kind, every = ARMS[_QUARTERS.get(name, name)]
    hooks: dict[str, Any] = {"trials": {"every": every, **_TRIALS}} if kind == "learnability" else {}
    return small_cpu(
        task,
        config["model"],
        steps=preset.steps / (4 if name in _QUARTERS else 1),
        batch_size=preset.batch_size,
        warmup_steps=20,
        evaluations=preset.evaluations,
        source={"kind": "curriculum", "curriculum": {"kind": kind}, "every": every},
        hooks=hooks,
        seed=seed,
    )


def _rated(config: Config, preset: Preset) -> DataSpec | None:
    return preset.data and replace(preset.data, rated=True)


CURRICULA_SPEC = SweepSpec(
    name="claims",
    models=("trm_mlp",),
    fixed=_arms,
    recipe=_recipe,
    data=_rated,
    matching="Arms are equal in network calls, but for those with a quarter of them.",
    presets={
        name: Preset(
            trials=0, seeds=seeds, steps=steps, evaluations=4, batch_size=12,
            task="sudoku-6x6", givens=(14, 32), train=2048, validation=128, test=512,
        )
        for name, seeds, steps in (("quick", 2, 120), ("full", 10, 480))
    },
    baseline=UNIFORM,
    stages=("score", "compare", "say", "log"),
)  # fmt: skip

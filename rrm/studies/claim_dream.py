"""The sweep that claims on the dream loop are judged by: a small model with few labelled 4 x 4 puzzles, in arms."""

from dataclasses import replace
from typing import Any

from rrm.jobs.spec import Config, Preset, SweepSpec, grid
from rrm.reports.claims.dream import (
    FILTERED,
    FILTERED_AGAIN,
    FRESH,
    GRAPH,
    NOISY,
    TRUE,
    UNFILTERED,
    WRONG,
    P,
)
from rrm.tasks import Task
from rrm.training.recipe import Recipe
from rrm.training.recipes import small_cpu

_GIVENS = (4, 8)
_SIGMA = 0.3
_LOOP: dict[str, Any] = {
    "proposer": {"kind": "unlabelled"}, "rounds": 7, "puzzles": 32, "rollouts": 4, "sigma": _SIGMA, "fresh": 16,
}  # fmt: skip
# Changes of the loop; None for an arm without one.
ARMS: dict[str, dict[str, Any] | None] = {
    TRUE: None,
    NOISY: None,
    FILTERED: {},
    FILTERED_AGAIN: {"rounds": 6, "puzzles": 37},
    UNFILTERED: {"verifier": "everything"},
    WRONG: {"accept_wrong": 0.1},
    P: {"proposer": {"kind": "unlabelled", "by": "learnability"}, "weights": "learnability"},
    FRESH: {"proposer": {"kind": "fresh", "givens": _GIVENS}},
    GRAPH: {"proposer": {"kind": "graph", "givens": _GIVENS}},
}


def _arms(models: list[str]) -> list[Config]:
    return grid(model=models, arm=ARMS)


def _recipe(config: Config, task: Task, preset: Preset, seed: int) -> Recipe:
    """The training run of an arm, as in the sweep of dream loops."""
    loop = ARMS[config["arm"]]
    hooks = {} if loop is None else {"dream": _LOOP | {"start": preset.steps // 3} | loop}
    made = small_cpu(
        task,
        config["model"],
        steps=preset.steps,
        batch_size=preset.batch_size,
        evaluations=preset.evaluations,
        source={"kind": "dream", "labelled": 32, "copies": False},
        hooks=hooks,
        seed=seed,
    )
    if config["arm"] == NOISY:
        noise = {"kind": "every_segment", "sigma": _SIGMA, "clean_branch": False, "warmup": 1 / 3}
        made = replace(made, perturbation=noise)
    return made


DREAM_SPEC = SweepSpec(
    name="claims",
    models=("trm_mlp",),
    fixed=_arms,
    recipe=_recipe,
    matching="Arms are equal in network calls: attempts of a loop leave it fewer training steps.",
    # With 240 steps a loop, which pays for its attempts, solves less than a tenth.
    presets={
        name: Preset(
            trials=0, seeds=seeds, steps=steps, evaluations=4, batch_size=16,
            task="sudoku-4x4", givens=_GIVENS, train=1024, validation=64, test=512,
        )
        for name, seeds, steps in (("quick", 2, 360), ("full", 10, 450))
    },
    baseline=FILTERED,
    stages=("score", "compare", "say", "log"),
)  # fmt: skip

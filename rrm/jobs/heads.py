"""Trainings whose heads are compared: all arms of a seed begin with the same weights, so heads keep their places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rrm.jobs.spec import Config, Preset, SweepSpec, grid

if TYPE_CHECKING:
    from rrm.tasks import Task
    from rrm.training.recipe import Recipe

BASELINE, OTHER_ORDER, RANDOM_LABELS, PERTURBED = "baseline", "other order", "random labels", "perturbed"
ARMS: dict[str, dict[str, Any]] = {
    BASELINE: {},
    # The null of a change of heads: what the order of the puzzles alone brings.
    OTHER_ORDER: {"order": 1},
    # The control of the rank of a change of weights: as many steps of the same optimizer with nothing to learn.
    RANDOM_LABELS: {"source": {"kind": "random_labels"}},
    PERTURBED: {"perturbation": {"kind": "every_segment", "sigma": 0.3, "location": "z_L", "copies": 1}},
}
# Two rollouts of a puzzle leave half as many puzzles a step.
SHARES = {PERTURBED: 1 / 2}
# 16 heads: a tenth of them is one or two.
HEADS: dict[str, Any] = {"num_heads": 8, "L_layers": 2}


def fixed(models: list[str]) -> list[Config]:
    """Every arm of every model type."""
    return grid(model=models, arm=ARMS)


def recipe(config: Config, task: Task, preset: Preset, seed: int) -> Recipe:
    """The training run of one arm."""
    from dataclasses import replace

    from rrm.training.recipes import cpu_sudoku

    arm = config["arm"]
    made = cpu_sudoku(
        task,
        config["model"],
        batch_size=round(preset.batch_size * SHARES.get(arm, 1)),
        budget=12 * preset.batch_size * preset.steps,
        evaluations=preset.evaluations,
        seed=seed,
        **ARMS[arm],
    )
    return replace(made, model=made.model | HEADS)


SPEC = SweepSpec(
    name="heads_sweep",
    models=("trm_att",),
    fixed=fixed,
    recipe=recipe,
    matching="Arms are equal in network calls: two rollouts of a puzzle leave half as many puzzles a step.",
    presets={
        "default": Preset(
            trials=0, seeds=5, steps=300, evaluations=6,
            task="sudoku-4x4", givens=(5, 9), train=1024, validation=256, test=512,
        ),
        "smoke": Preset(
            trials=0, seeds=1, steps=30, evaluations=2, quick=True,
            task="sudoku-4x4", givens=(8, 10), train=256, validation=64, test=64,
        ),
    },
    stages=("score", "compare", "say", "log"),
)  # fmt: skip

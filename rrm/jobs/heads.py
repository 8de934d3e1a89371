"""Trainings whose heads are compared: all arms of a seed begin with the same weights, so heads keep their places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rrm.jobs.spec import Config, DataSpec, Preset, SweepSpec, grid

if TYPE_CHECKING:
    from rrm.tasks import Task
    from rrm.training.recipe import Recipe

BASELINE, OTHER_ORDER, RANDOM_LABELS, PERTURBED = "baseline", "other order", "random labels", "perturbed"
FLOSSED, EASY_FIRST, DREAM = "flossed", "easy to hard", "dream loop"
ARMS: dict[str, dict[str, Any]] = {
    BASELINE: {},
    # The null of a change of heads: what the order of the puzzles alone brings.
    OTHER_ORDER: {"order": 1},
    # The control of the rank of a change of weights: as many steps of the same optimizer with nothing to learn.
    RANDOM_LABELS: {"source": {"kind": "random_labels"}},
    PERTURBED: {"perturbation": {"kind": "every_segment", "sigma": 0.3, "location": "z_L", "copies": 1}},
    FLOSSED: {},
    EASY_FIRST: {"source": {"kind": "curriculum", "curriculum": {"kind": "easy_to_hard"}}},
    # Half of the training puzzles have labels. The others are proposed to the loop.
    DREAM: {"source": {"kind": "dream"}},
}
# Two rollouts of a puzzle leave half as many puzzles a step.
SHARES = {PERTURBED: 1 / 2}
# 16 heads: a tenth of them is one or two.
HEADS: dict[str, Any] = {"num_heads": 8, "L_layers": 2}
# Of the dream loop: the share of the steps before it begins, and its rounds. 4 noisy attempts and a clean one a puzzle.
AWAKE, ROUNDS = 2 / 3, 4
LOOP: dict[str, Any] = {"proposer": {"kind": "unlabelled"}, "rollouts": 4, "sigma": 0.3, "fresh": 32}


def fixed(models: list[str]) -> list[Config]:
    """Every arm of every model type."""
    return grid(model=models, arm=ARMS)


def recipe(config: Config, task: Task, preset: Preset, seed: int) -> Recipe:
    """The training run of one arm."""
    import math
    from dataclasses import replace

    from rrm.training.recipes import cpu_sudoku, flossed

    arm = config["arm"]
    budget = 12 * preset.batch_size * preset.steps
    made = cpu_sudoku(
        task,
        config["model"],
        batch_size=round(preset.batch_size * SHARES.get(arm, 1)),
        budget=budget,
        evaluations=preset.evaluations,
        seed=seed,
        **ARMS[arm],
    )
    made = replace(made, model=made.model | HEADS)
    if arm == FLOSSED:
        return flossed(made, "inter")
    if arm == DREAM:
        step, calls = 12 * preset.batch_size, (4 + 1) * made.objective["halt_max_steps"] * 6
        # Of a short training one round at one puzzle is left, and the step behind it.
        start = min(round(AWAKE * preset.steps), preset.steps - math.ceil(calls / step) - 1)
        # Half of the calls that are left then are for attempts.
        attempts = (budget - step * start) / 2
        rounds = max(1, min(ROUNDS, int(attempts / calls)))
        puzzles = max(1, int(attempts / (rounds * calls)))
        hook = LOOP | {"start": start, "rounds": rounds, "puzzles": puzzles}
        return replace(made, source=made.source | {"labelled": preset.train // 2}, hooks={"dream": hook})
    return made


def data(config: Config, preset: Preset) -> DataSpec | None:
    """The puzzles of the preset, rated."""
    from dataclasses import replace

    return replace(preset.data, rated=True) if preset.data else None


SPEC = SweepSpec(
    name="heads_sweep",
    models=("trm_att",),
    fixed=fixed,
    recipe=recipe,
    data=data,
    matching="Arms are equal in network calls: two rollouts of a puzzle leave half as many puzzles a step, and "
    "flossing and the attempts of a loop leave fewer steps.",
    presets={
        "default": Preset(
            trials=0, seeds=5, steps=300, evaluations=3,
            task="sudoku-4x4", givens=(5, 9), train=1024, validation=128, test=256,
        ),
        "smoke": Preset(
            trials=0, seeds=1, steps=30, evaluations=2, quick=True,
            task="sudoku-4x4", givens=(8, 10), train=256, validation=64, test=64,
        ),
    },
    stages=("score", "compare", "say", "log"),
)  # fmt: skip

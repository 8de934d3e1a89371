"""How large everything is, by kind of device: the real sizes on an accelerator, tiny ones for a rehearsal on a CPU."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from rrm.models import build
from rrm.tasks import Task, get_task
from rrm.training.recipe import Recipe
from rrm.training.recipes import hrm_sudoku, srm_sudoku, trm_sudoku

RECIPES: dict[str, Callable[[Task], Recipe]] = {
    "trm_sudoku": trm_sudoku,
    "hrm_sudoku": hrm_sudoku,
    "srm_sudoku": srm_sudoku,
}

# Only the depth of SRM grows: at the end a step has ten times the calls of the first one. SRM comes first among the
# compiled ones, because the training asks whether compiling pays.
AT_END = 0.99
STEP_TIMES = (
    ("trm_sudoku", 0.0, False),
    ("hrm_sudoku", 0.0, False),
    ("srm_sudoku", 0.0, False),
    ("srm_sudoku", AT_END, False),
    ("srm_sudoku", 0.0, True),
    ("srm_sudoku", AT_END, True),
    ("trm_sudoku", 0.0, True),
    ("hrm_sudoku", 0.0, True),
)


@dataclass(frozen=True)
class Sizes:
    """Sizes of the check; where a field is empty, the recipe of the paper decides.

    Attributes:
        limits: seconds of each stage; None: all that are left.
        task: of all stages but the parity.
        model: changes of the models of the papers.
        batch: puzzles of a training step.
        steps: of a whole training.
        step_times: (recipe, share of the training that is over, compiled) of the steps that are timed, in order of
            value.
        repeat: steps that are timed of each.
        product: n of the n x n matrix product that gives the rate of the device.
        tangent_width: of the networks whose tangents are compared with automatic differentiation.
        spectra: (precision, compiled, examples) of the spectra that are measured, in order of value.
        subset: examples of the comparison with float64.
        k, segments: of a spectrum.
        goal_s: seconds per spectrum.
        puzzles: for training, validation and test.
        evaluations: of a whole training.
        save_every_s: seconds between two checkpoints.
        part_bytes: most bytes of a part of a checkpoint.
    """

    limits: dict[str, float | None]
    task: str = "sudoku-9x9"
    model: dict[str, Any] = field(default_factory=dict)
    batch: int | None = None
    steps: int | None = None
    step_times: tuple[tuple[str, float, bool], ...] = STEP_TIMES
    repeat: int = 10
    product: int = 8192
    tangent_width: int = 512
    spectra: tuple[tuple[str, bool, int], ...] = (
        ("float32", True, 2048),
        ("bfloat16 calls", True, 2048),
        ("TF32 products", True, 64),
        ("float32", False, 64),
    )
    subset: int = 32
    k: int = 8
    segments: int = 16
    goal_s: float | None = 0.09
    puzzles: tuple[int, int, int] = (10_000, 1024, 1)
    evaluations: int = 200
    save_every_s: float = 60.0
    part_bytes: int = 15 << 20

    def recipe(self, name: str, **changes: Any) -> Recipe:
        """The recipe of a paper at these sizes."""
        recipe = replace(RECIPES[name](get_task(self.task)), **changes)
        recipe = replace(recipe, model=recipe.model | self.model, batch_size=self.batch or recipe.batch_size)
        if self.steps is None:
            return recipe
        with torch.device("meta"):
            model = build(recipe.model)
        return replace(recipe, budget=recipe.units_per_step(model) * (self.steps + 0.5), warmup_steps=0)


SIZES = {
    "cuda": Sizes({"parity": 75, "step_time": 170, "spectra": 270, "nccl": 45, "training": None}),
    "cpu": Sizes(
        {"parity": 60, "step_time": 60, "spectra": 60, "nccl": 60, "training": None},
        task="sudoku-4x4",
        model={"hidden_size": 32, "num_heads": 2, "puzzle_emb_ndim": 32},
        batch=8,
        steps=12,
        step_times=STEP_TIMES[:5],
        repeat=1,
        product=256,
        tangent_width=32,
        spectra=(("float32", False, 8), ("bfloat16 calls", False, 8), ("TF32 products", False, 4)),
        subset=4,
        k=2,
        segments=2,
        goal_s=None,
        puzzles=(32, 16, 1),
        evaluations=6,
        save_every_s=0.0,
        part_bytes=256 << 10,
    ),
}

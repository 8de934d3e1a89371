"""The maze recipes of the papers: their sizes and steps, and a step of training at a small width."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from rrm.models import build, parameter_count
from rrm.tasks import get_task
from rrm.training import recipes
from rrm.training.assemble import assemble

# recipe: (task of the paper, parameters, steps)
PAPERS = {
    "trm_maze": ("maze-30x30", 6_822_914, 65_104),
    "hrm_maze": ("maze-30x30", 27_270_146, 26_041),
    "srm_maze": ("maze-30x30", 6_818_816, 3_906),
    "eqr_maze": ("maze-unique-30x30", 263_938, 100_000),
}


@pytest.mark.parametrize("name", PAPERS)
def test_sizes_and_steps_of_the_papers(name):
    task, parameters, steps = PAPERS[name]
    recipe = getattr(recipes, name)(get_task(task))
    with torch.device("meta"):
        model = build(recipe.model)
    assert (parameter_count(model), recipe.steps(model)) == (parameters, steps)


@pytest.mark.parametrize("name", PAPERS)
def test_a_small_copy_trains(name):
    task = get_task(PAPERS[name][0].replace("30x30", "6x6"))
    recipe = getattr(recipes, name)(task)
    small = recipe.model | {"hidden_size": 16, "num_heads": 2, "forward_dtype": "float32"}
    small |= {"puzzle_emb_ndim": 16} if small.get("puzzle_emb_ndim") else {}
    per_step = recipe.budget / (PAPERS[name][2] + 0.5)
    recipe = replace(recipe, model=small, batch_size=4, evaluations=1, budget=2.5 * per_step * 4 / recipe.batch_size)
    puzzles = task.generate(8, seed=0)
    (metrics,) = assemble(recipe, task, puzzles, puzzles).run()
    assert metrics["step"] == 2 and np.isfinite(metrics["train/loss"])

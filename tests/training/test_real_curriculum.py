"""A curriculum over real puzzles, ordered by ratings that were made here."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from rrm.models import build
from rrm.tasks import get_task
from rrm.tasks.difficulty import noise, rated
from rrm.tasks.splits import read_splits
from rrm.training.assemble import assemble
from rrm.training.recipes import cpu_sudoku


def test_easy_puzzles_come_first_by_a_reliable_rating(request, tmp_path):
    path = request.config.rootpath.parent / "shared/data/sudoku-real"
    if not path.is_dir():
        pytest.skip(f"no real puzzles at {path}")
    torch.set_num_threads(1)
    splits = read_splits(path, (60, 4, 4), 0, tmp_path)
    task, train = get_task(splits.train.task), rated(splits.train)
    found = noise(train)
    assert list(found) == ["all", "17-clue", "forum_hardest_1905_11+"]
    assert found["all"].reliability > 0.97 and found["forum_hardest_1905_11+"].single < 0.9
    # the file's ratings, made by another solver and on one copy, agree but for their noise
    assert 0.8 < np.corrcoef(np.log1p(train.rating), np.log1p(splits.train.rating))[0, 1] < 0.99
    source = {"kind": "curriculum", "curriculum": {"kind": "easy_to_hard"}, "every": 2}
    recipe = cpu_sudoku(task, batch_size=6, evaluations=1, budget=1.0, halt_max_steps=1, source=source)
    recipe = replace(recipe, budget=6.5 * recipe.units_per_step(build(recipe.model)))
    run = assemble(recipe, task, train, splits.validation)
    middle = np.median(train.rating)
    harder = [float((train.rating[run.source.batch(step)["rows"]] > middle).mean()) for step in range(6)]
    assert harder[0] == harder[1] == 0 and harder[-1] > 0
    run = assemble(recipe, task, train, splits.validation)
    assert [metrics["step"] for metrics in run.run()] == [6]

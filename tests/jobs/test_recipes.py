"""Recipes are computed when trials are handed out, and arms are told apart by name; data sets by key. Without Ray."""

from dataclasses import replace

import pytest

from rrm.errors import InputError
from rrm.jobs.data import load_data
from rrm.jobs.recipes import refuse_conflicts
from rrm.jobs.spec import DataSpec, Preset, grid, named_by
from rrm.training.recipes import cpu_sudoku
from tests.sweeps import recipes_of

PRESET = Preset(0, 1, 500, 2, "sudoku-4x4", (7, 9), 64, 8, 40)
CONFIG = {"trial": 1, "model": "trm_mlp", "arm": "slow", "seed": 3}


def recipes(folder, lr=1e-3):
    def recipe(config, task, preset, seed):
        return cpu_sudoku(task, config["model"], lr=lr, seed=seed)

    return recipes_of(recipe, PRESET, folder)


def test_a_trial_keeps_the_recipe_with_which_it_was_handed_out(tmp_path):
    made = recipes(tmp_path).hand_out(CONFIG)
    edited = recipes(tmp_path, lr=2e-3)
    assert edited.known(CONFIG) == edited.of(CONFIG) == made and made.recipe.lr == 1e-3
    assert made.recipe == recipes(tmp_path).make(CONFIG).recipe and made.arm.name == "slow"
    assert edited.known(CONFIG | {"seed": 4}) is None  # the number was handed out to another configuration
    assert edited.begun() == []
    (tmp_path / "tune" / "trial-001").mkdir(parents=True)
    assert edited.begun() == [made]
    other = CONFIG | {"trial": 2}
    assert edited.of(other).recipe.lr == edited.known(other).recipe.lr == 2e-3  # as of an older rrm, now written


def test_arms_of_one_name_that_train_differently_are_refused_unless_a_search_drew_them(tmp_path):
    one, again = (recipes(tmp_path).make(CONFIG | {"trial": n, "seed": n}) for n in range(2))
    other = recipes(tmp_path, lr=2e-3).make(CONFIG | {"trial": 2})
    refuse_conflicts([one, again], lambda config: False)
    with pytest.raises(InputError, match="trial-000 and trial-002 of trm_mlp are both called 'slow' .* another lr: "):
        refuse_conflicts([one, again, other], lambda config: False)
    with pytest.raises(InputError, match="are both called"):  # the spec has changed since it was drawn
        refuse_conflicts([one, other], lambda config: True)
    rounded = replace(other, config=other.config | {"sigma": 0.1000001})
    refuse_conflicts([one, rounded], lambda config: config["trial"] == 2)
    refuse_conflicts([one, replace(other, data="another")], lambda config: False)


def test_a_grid_is_every_combination_and_names_itself():
    assert grid(p=(2, 3), lr=[0.1, 0.01]) == [
        {"p": 2, "lr": 0.1}, {"p": 2, "lr": 0.01}, {"p": 3, "lr": 0.1}, {"p": 3, "lr": 0.01},
    ]  # fmt: skip
    assert named_by("lr", "p")({"p": 2, "lr": 1e-4, "seed": 0}, None) == "lr 0.0001, p 2"


def test_sets_of_puzzles_have_keys_where_there_are_several(tmp_path):
    small, large = (DataSpec("sudoku-4x4", count, 8, 8, [7, 9]) for count in (8, 16))
    keys, splits = load_data("sweep", [small, small, None], None, 0, tmp_path)
    assert list(splits) == [""] and keys.of(small) == "" and keys.of(None) is None
    assert keys.content_hash == splits[""].content_hash()
    with pytest.raises(InputError, match="draws the puzzles sudoku-4x4-7-9-16-8-8, which are not among the 1 sets"):
        keys.of(large)
    keys, splits = load_data("sweep", [small, large], None, 0, tmp_path)
    assert list(splits) == ["sudoku-4x4-7-9-8-8-8", "sudoku-4x4-7-9-16-8-8"] == [keys.of(small), keys.of(large)]
    for wanted, words in (([small, large], "compares 2 sets of puzzles"), ([None], "brings its own data")):
        with pytest.raises(InputError, match=f"--data x.csv: the sweep sweep {words}: leave --data out"):
            load_data("sweep", wanted, "x.csv", 0, tmp_path)
    assert load_data("sweep", [None], None, 0, tmp_path)[0].content_hash == "none"

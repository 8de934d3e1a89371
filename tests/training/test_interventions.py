"""What a recipe adds to plain training, in settings and in words."""

import pytest

from rrm.tasks import get_task
from rrm.training.interventions import name_of, summary
from rrm.training.perturbation import PERTURBATIONS, TIMES
from rrm.training.recipes import cpu_sudoku


def words(kind, **settings):
    return name_of(**summary(cpu_sudoku(get_task("sudoku-4x4"), perturbation={"kind": kind, **settings})))


def test_every_kind_has_a_name_of_its_own():
    names = {kind: words(kind, **({"sigma": 0.1} if kind in TIMES else {})) for kind in PERTURBATIONS}
    assert len(set(names.values())) == len(names)
    assert all(name.startswith(kind.replace("_", " ")) for kind, name in names.items())


@pytest.mark.parametrize(
    ("kind", "settings", "name"),
    [
        ("initial_state", {"sigma": 0.0, "learns": "best"}, "baseline"),
        ("winner_take_all", {"copies": 3, "learns": "best"}, "winner take all"),
        (
            "winner_take_all",
            {"start": "fresh", "clean_branch": False, "share_H": False},
            "winner take all, start fresh, share_H False",
        ),
        ("multi4", {"learns": "random", "halts": "first"}, "multi4 σ = 0.001, learns random, halts first"),
        ("every_call", {"clean_branch": False, "start": "fresh"}, "every call, start fresh"),
    ],
)
def test_what_was_changed_in_the_rollouts_is_named(kind, settings, name):
    assert words(kind, **settings) == name


def test_a_curriculum_is_named_by_its_kind():
    source = {"kind": "curriculum", "curriculum": {"kind": "random_pacing"}}
    assert name_of(**summary(cpu_sudoku(get_task("sudoku-4x4"), source=source))) == "curriculum random pacing"


def test_settings_of_older_versions_have_the_names_that_they_had():
    assert name_of(kind="every_call", sigma=0.1, location="z_L", flossing="none") == "every call σ = 0.1 on z_L"

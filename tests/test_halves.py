"""Names of the halves of the state: those of its fields, and the older spelling in one place."""

import pytest

from rrm.errors import InputError
from rrm.halves import CHOICES, HALVES, current_name, halves
from rrm.jobs.folder import JobFolder
from rrm.models import State


def test_names_are_the_fields_of_the_state():
    assert HALVES == State._fields == halves("both") and halves("z_L") == ("z_L",)
    assert halves("H") == ("z_H",) and [current_name(name) for name in ("L", "z_H", "both")] == ["z_L", "z_H", "both"]
    with pytest.raises(InputError, match="'X' is no half of the state: use one of both, z_H, z_L"):
        halves("X")
    assert set(CHOICES) == {"both", *HALVES}


def test_a_study_of_the_older_spelling_is_resumed_with_either(tmp_path):
    folder = JobFolder(tmp_path, "study")
    old = {"arguments": {"where": ["H", "both"]}, "settings": {"where": ["H", "both"]}, "data_hash": "a"}
    folder.start(old)
    folder.start({"arguments": {"where": ["z_H", "both"]}, "data_hash": "a"})
    assert folder.read("study") == old  # its settings, parameters and shards stay as they were
    with pytest.raises(InputError, match=r"was started with where = \['z_H', 'both'\], not \['z_L'\]"):
        folder.start({"arguments": {"where": ["z_L"]}, "data_hash": "a"})

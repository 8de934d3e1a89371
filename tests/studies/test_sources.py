"""Puzzles and models that do not go together, or are too few, end before anything starts."""

import runpy
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rrm.commands.sweep import run_command
from rrm.errors import InputError
from rrm.models import build, variant
from rrm.studies.sources import check_fit, find_puzzles
from rrm.studies.study import check_lengths
from rrm.tasks import PuzzleSet, get_task
from rrm.tasks.official_files import OfficialDataset, OfficialPart
from rrm.tasks.puzzle_csv import write_puzzles

TASK = get_task("sudoku-4x4")
SWEEP = Path(__file__).resolve().parents[2] / "tune_specs" / "perturb_sweep.py"


def test_identifiers_beyond_the_table_of_the_model(tmp_path):
    puzzles = replace(TASK.generate(12, seed=0), puzzle_identifiers=np.arange(100, 112, dtype=np.int32))
    shape = {"vocab_size": 6, "seq_len": 16, "hidden_size": 16, "num_heads": 2, "puzzle_emb_len": 1}
    with torch.device("meta"):
        small, large, none = (
            build(variant("trm_att", **shape, **table))
            for table in (
                {"puzzle_emb_ndim": 16, "num_puzzle_identifiers": 3},
                {"puzzle_emb_ndim": 16, "num_puzzle_identifiers": 112},
                {},
            )
        )
    check_fit(large, puzzles)
    check_fit(none, puzzles)
    with pytest.raises(InputError, match="identifiers up to 111, the model's table of puzzle vectors has 3 rows"):
        check_fit(small, puzzles)
    rising = replace(TASK.generate(200, seed=0), puzzle_identifiers=np.arange(200, dtype=np.int32))
    OfficialDataset({"test": OfficialPart.of(rising, 1)}).write(tmp_path / "npy")
    with pytest.raises(InputError, match="identifiers up to 199"):  # whatever the sample
        find_puzzles(Namespace(data=str(tmp_path / "npy"), count=1, seed=0), tmp_path, "", small)
    with pytest.raises(InputError, match="reads 16 cells of 6 tokens, sudoku-6x6 has 36 of 8"):
        check_fit(small, get_task("sudoku-6x6").generate(1, seed=0))


def test_a_puzzle_counts_once_whatever_the_file(tmp_path, capsys):
    puzzles = TASK.generate(6, seed=0)
    three = PuzzleSet.concatenate([puzzles] * 3)
    write_puzzles(tmp_path / "three.csv", three)
    three.save(tmp_path / "three.npz")
    OfficialDataset({"test": OfficialPart.of(three, 1)}).write(tmp_path / "three")
    for name in ("three.csv", "three.npz", "three"):
        found = find_puzzles(Namespace(data=str(tmp_path / name), count=5, seed=0), tmp_path, "")
        assert len(found.distinct()) == len(found) == 5
        assert f"distinct  6 of the 18 puzzles in {tmp_path / name}" in capsys.readouterr().out


def test_a_file_too_small_for_a_batch_says_how_many_puzzles_are_needed(tmp_path, capsys):
    write_puzzles(tmp_path / "twenty.csv", TASK.generate(20, seed=0))
    spec = runpy.run_path(str(SWEEP))["SPEC"]
    with pytest.raises(SystemExit) as stop:
        run_command(spec, "", ["--preset", "smoke", "--data", str(tmp_path / "twenty.csv"), "--storage", str(tmp_path)])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.count("\n") == 1
    assert "leaves 14 puzzles for training, and a step takes 32: give a file with at least 44 distinct puzzles" in error


def test_rollouts_longer_than_any_memory():
    check_lengths(Namespace(segments=None, depth=128, K=[4, 16]))
    for option, value in (("segments", 10**14), ("depth", 10**14), ("depth", [16, 10**14]), ("K", 10**14)):
        with pytest.raises(InputError, match=f"--{option} 100000000000000 is too many"):
            check_lengths(Namespace(**{option: value}))

"""The study that traces a few puzzles, on a real Ray."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from rrm.commands.studies import parse_boards
from rrm.errors import InputError
from rrm.models import build, describe, variant
from rrm.studies.boards import some_of_each
from rrm.tasks import get_task
from rrm.tasks.trace import load_trace
from rrm.training.checkpoint import save_tensors, write_meta

ROOT = Path(__file__).resolve().parents[2]


def test_a_study_leaves_a_trace_of_a_maze_beside_its_run(cluster, tmp_path, capsys):
    torch.manual_seed(0)
    task = get_task("maze-5x5")
    shape = {"vocab_size": task.vocab_size, "seq_len": 25, "hidden_size": 16, "num_heads": 2}
    model = build(variant("trm_att", **shape, H_cycles=1, L_cycles=2, L_layers=1)).eval()
    (tmp_path / "checkpoint").mkdir()
    save_tensors(model.state_dict(), tmp_path / "checkpoint" / "best.safetensors")
    write_meta(tmp_path / "checkpoint", {"best": {"model": describe(model), "segments": 2, "step": 1}})
    puzzles = task.generate(6, seed=0)
    puzzles.save(tmp_path / "mazes.npz")
    argv = ["--checkpoint", str(tmp_path / "checkpoint"), "--data", str(tmp_path / "mazes.npz"), "--name", "b"]
    main = runpy.run_path(str(ROOT / "analysis" / "boards.py"))["main"]
    main([*argv, "--storage", str(tmp_path / "runs"), "--puzzles", "3", "--K", "2"])
    found = load_trace(tmp_path / "runs" / "b" / "boards.npz")
    assert found.task == "maze-5x5" and found.answers.shape == (3, 3, 2 * 3, 25)
    assert np.array_equal(found.inputs, puzzles.inputs[found.index])
    assert "3 puzzles over 2 segments of 3 calls" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "runs" / "artifacts").rglob("boards.npz")] == ["boards.npz"]


@pytest.mark.parametrize(
    "solved, count, wanted", [(5, 4, (2, 2)), (1, 4, (1, 3)), (9, 4, (3, 1)), (0, 3, (0, 3)), (5, 20, (5, 5))]
)
def test_half_of_the_puzzles_are_solved_ones_as_far_as_there_are(solved, count, wanted):
    right = np.arange(10) < solved
    rows = some_of_each(right, count, seed=0)
    assert (right[rows].sum(), (~right[rows]).sum()) == wanted and (np.diff(rows) > 0).all()


@pytest.mark.parametrize(
    "options, message",
    [
        (["--puzzles", "33"], "--puzzles 33 is not possible.*at most 32"),
        (["--K", "-1"], "--K -1 is not possible"),
        (["--sigma", "nan"], "--sigma nan is not a noise scale"),
        (["--where", "x"], "--where 'x' is no half"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        parse_boards("", ["--run", "0", *options])

"""The study of new puzzles: its ways, and a whole study on a real Ray, resumed with the puzzles that it made."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from rrm.commands.studies import parse_proposals
from rrm.errors import InputError
from rrm.models import build, describe, variant
from rrm.tasks import get_task
from rrm.tasks.graph import PuzzleGraph
from rrm.tasks.graph.proposals import propose, proposers
from rrm.training.checkpoint import save_tensors, write_meta

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name, bounds", [("sudoku-6x6", (10, 16)), ("maze-8x8", None)])
def test_every_way_makes_new_proven_puzzles(name, bounds):
    task = get_task(name)
    known = PuzzleGraph.of(task.generate(30, 1, bounds), bounds)
    known = known.observe(np.arange(30), np.arange(30) % 5, np.full(30, 4))
    made = propose(known, 16, 2, seed=3)
    again = propose(known, 16, 2, seed=3)
    assert list(made) == list(proposers(name)) and ("vicinity" in made) == (name == "sudoku-6x6")
    for way, each in made.items():
        assert each.puzzles.content_hash() == again[way].puzzles.content_hash()
        assert 10 <= len(each.puzzles) <= 16 and each.seconds > 0
        task.check(each.puzzles, str)
        together = [np.concatenate([each.puzzles.arrays[part], known.arrays()[part]]) for part in ("inputs", "labels")]
        assert len(np.unique(task.equivalence_classes(*together))) == len(each.puzzles) + 30


def test_a_study_is_resumed_with_the_puzzles_that_it_made(cluster, tmp_path, capsys, monkeypatch):
    torch.manual_seed(0)
    task = get_task("sudoku-4x4")
    shape = {"vocab_size": task.vocab_size, "seq_len": 16, "hidden_size": 16, "num_heads": 2}
    model = build(variant("trm_att", **shape, H_cycles=1, L_cycles=1, L_layers=1)).eval()
    (tmp_path / "checkpoint").mkdir()
    save_tensors(model.state_dict(), tmp_path / "checkpoint" / "best.safetensors")
    write_meta(tmp_path / "checkpoint", {"best": {"model": describe(model), "segments": 2, "step": 1}})
    task.generate(12, seed=0).save(tmp_path / "known.npz")
    argv = ["--checkpoint", str(tmp_path / "checkpoint"), "--data", str(tmp_path / "known.npz"), "--name", "p"]
    argv += ["--storage", str(tmp_path / "runs"), "--proposals", "8", "--K", "2"]
    main = runpy.run_path(str(ROOT / "analysis" / "proposals.py"))["main"]

    folder = tmp_path / "runs" / "p"
    monkeypatch.setattr("rrm.studies.proposals.report", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(SystemExit) as stopped:
        main(argv)
    assert stopped.value.code == 130
    monkeypatch.undo()
    monkeypatch.setattr("rrm.studies.proposals.propose", None)  # nothing is made a second time
    before = json.loads((folder / "proposed" / "seconds.json").read_text())
    main([*argv, "--resume"])
    printed = capsys.readouterr().out
    assert before == json.loads((folder / "proposed" / "seconds.json").read_text()) and len(before) == 5
    assert "useful a CPU-s" in printed and "proposals.png" in printed
    successes = np.load(folder / "proposals.npz")
    assert len(successes["known/successes"]) == 12 and len(successes["graph/successes"]) == 8


@pytest.mark.parametrize(
    "options, message",
    [
        (["--proposals", "0"], "--proposals 0 is too few"),
        (["--length", "0"], "--length 0 is too few"),
        (["--K", "1"], "--K 1 says nothing"),
        (["--sigma", "0"], "--sigma 0 makes all attempts alike"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        parse_proposals("", ["--run", "0", *options])

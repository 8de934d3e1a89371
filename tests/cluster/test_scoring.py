"""Test scores in parts: those of one process, and no finished part is done again."""

import shutil

import numpy as np
import pytest

from rrm.cluster import scoring
from rrm.cluster.capacity import Request
from rrm.jobs.folder import SHORTEST, JobFolder
from rrm.jobs.record import Arm, TrialRecord
from rrm.models import build, describe, variant
from rrm.statistics.sweep import unpack_outcomes
from rrm.tasks import get_task
from rrm.training import checkpoint
from rrm.training.evaluate import evaluate, predict


def test_scores_in_parts_are_those_of_the_whole_and_go_on_where_they_were(cluster, tmp_path, monkeypatch):
    task = get_task("sudoku-4x4")
    puzzles = task.generate(600, seed=0, givens=(6, 9))
    model = build(variant("trm_mlp", vocab_size=6, seq_len=16, hidden_size=16, H_cycles=1, L_cycles=1)).eval()
    folder = JobFolder(tmp_path / "sweep", "sweep")
    (folder.path / "trial-000").mkdir(parents=True)
    checkpoint.save_tensors(model.state_dict(), folder.path / "trial-000" / "final.safetensors")
    told = {"step": 1, "model": describe(model), "segments": 2}
    trial = TrialRecord("trial-000", {}, Arm("baseline", True, {}), checkpoint="trial-000", best=told, final=told)
    monkeypatch.setattr(scoring, "SCORED", 256)
    kept, write = [], folder.write
    monkeypatch.setattr(folder, "write", lambda name, content: (kept.append(name), write(name, content)))

    def score():
        return scoring.score_trials(folder, [trial], {"": puzzles}, cluster, Request())["trial-000"]

    alone, first = evaluate(model, puzzles, task, 2), score()
    assert first["best"] == first["final"] and kept.count("scoring") == 3
    seconds = first["final"].pop("seconds")
    assert seconds > 0 and first["final"] == pytest.approx(alone, rel=1e-12) and 0 < alone["cells"] < 1
    assert first["final"]["exact"] == alone["exact"] and folder.read("scoring") == {}
    answers = predict(model, puzzles, task, 2)["predictions"]
    solved = np.frombuffer(unpack_outcomes(scoring.read_outcomes(folder)["trial-000"], 600), bool)
    assert np.array_equal(solved, task.score(puzzles.inputs, puzzles.labels, answers)["exact"])

    assert not scoring.read_outcomes(folder, SHORTEST)  # these are of mazes

    shutil.rmtree(folder.path / "outcomes")
    # The last part has 88 puzzles. An older rrm did not read the answer at halting.
    strange = {"sums": {name: [88.0, 88] for name in alone if "halting" not in name}, "seconds": 0.0}
    folder.write("scores", {})
    folder.write("scoring", {"trial-000/final": {"2": strange}})
    again = score()["final"]
    expected = evaluate(model, puzzles.subset(slice(512)), task, 2)["cells"] * 512 + 88
    assert "exact_at_halting" in alone.keys() - again.keys()
    assert again["cells"] == pytest.approx(expected / 600) and kept[-2:] == ["scores", "scoring"]
    assert not scoring.read_outcomes(folder)  # of a part that an older version scored they are not known

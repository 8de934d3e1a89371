"""The study of noisy rollouts on a real Ray: whole, interrupted and resumed, on hopeless input."""

import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rrm.cluster import selection
from rrm.dynamics.shards import load_rows
from rrm.dynamics.stochastic import StochasticResult, stochastic_rollouts
from rrm.models import build, describe, variant
from rrm.statistics.within_problem import mixed_problems
from rrm.tasks import get_task
from rrm.training.checkpoint import save_tensors, write_meta
from rrm.training.evaluate import predict

SCRIPT = Path(__file__).resolve().parents[2] / "analysis" / "qhead_stability.py"
TASK = get_task("sudoku-4x4")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A checkpoint folder and puzzles of which some rollouts of its model, by construction, solve some."""
    folder = tmp_path_factory.mktemp("files")
    torch.manual_seed(0)
    model = build(variant("trm_mlp", vocab_size=6, seq_len=16, hidden_size=16, H_cycles=1, L_cycles=1)).eval()
    torch.nn.init.normal_(model.q_head.weight)  # it says different things of different states
    (folder / "checkpoint").mkdir()
    save_tensors(model.state_dict(), folder / "checkpoint" / "best.safetensors")
    write_meta(folder / "checkpoint", {"best": {"model": describe(model), "segments": 4, "step": 1}})
    puzzles = TASK.generate(40, seed=0)
    answers = predict(model, puzzles, TASK, 4)["predictions"]
    mixed = replace(puzzles, labels=np.where(np.arange(40)[:, None] % 2, answers, puzzles.labels))
    mixed.save(folder / "mixed.npz")
    puzzles.subset(slice(0, 20)).save(folder / "failed.npz")
    return folder, model, mixed


def study(folder, storage, *options, data="mixed.npz"):
    argv = ["--checkpoint", str(folder / "checkpoint"), "--data", str(folder / data), "--storage", str(storage)]
    runpy.run_path(str(SCRIPT))["main"]([*argv, "--name", "s", *options])


OPTIONS = ("--K", "6", "--sigma", "0.003", "--depth", "4", "2", "--lambda")


def test_study_interrupted_and_resumed_is_the_whole(cluster, files, tmp_path, monkeypatch, capsys):
    folder, model, puzzles = files
    study(folder, tmp_path / "whole", *OPTIONS)
    printed = capsys.readouterr().out
    assert "puzzles solved after 4 segments" in printed and "calibration of Q" in printed and printed.count(".png") == 2
    whole = load_rows(StochasticResult, tmp_path / "whole" / "s" / "result.npz")
    alone = stochastic_rollouts(model, puzzles, TASK, 6, (2, 4), 0.003, exponent=True)
    for name in whole.row_axes:
        assert np.array_equal(getattr(whole, name), getattr(alone, name))
    assert mixed_problems(whole.solved[:, 1:, -1]).any()

    real = selection.save_rows
    monkeypatch.setattr(selection, "save_rows", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(SystemExit) as stopped:
        study(folder, tmp_path / "broken", *OPTIONS)
    assert stopped.value.code == 130 and "--resume carries on" in capsys.readouterr().err
    shards = sorted((tmp_path / "broken" / "s" / "rollouts").glob("*.npz"))
    assert len(shards) == 3
    shards[0].unlink()
    stamps = [shard.stat().st_mtime_ns for shard in shards[1:]]
    monkeypatch.setattr(selection, "save_rows", real)
    study(folder, tmp_path / "broken", *OPTIONS, "--resume", "--workers", "1")
    again = load_rows(StochasticResult, tmp_path / "broken" / "s" / "result.npz")
    assert all(np.array_equal(getattr(again, name), getattr(whole, name)) for name in whole.row_axes)
    assert [shard.stat().st_mtime_ns for shard in shards[1:]] == stamps

    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path / 'broken' / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("selection").experiment_id])
    wanted = {f"{name}_low" for name in ("accuracy/depth_4/K_6/best_Q", "calibration/depth_2/brier",
                                   "rank_correlation/depth_4/within_problems")}  # fmt: skip
    assert run.info.status == "FINISHED" and wanted <= set(run.data.metrics)


def test_a_set_without_a_mixed_problem_says_so(cluster, files, tmp_path, capsys):
    study(files[0], tmp_path, "--K", "2", data="failed.npz")
    assert "0 problems are mixed: nothing can be said" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--where", "X"], "--where 'X' is no half of the state: use one of H, L, both"),
        (["--sigma", "-1"], "--sigma -1 is not a noise scale"),
        (["--depth", "4", "4"], "--depth 4 4 is not possible"),
        (["--K", "0"], "--K 0 is too few"),
        (["--count", "1"], "one puzzle says nothing of puzzles"),
    ],
)
def test_bad_input_is_one_line_before_any_work(cluster, files, tmp_path, capsys, options, message):
    with pytest.raises(SystemExit) as stopped:
        study(files[0], tmp_path, *options)
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and message in error and error.count("\n") == 1
    assert not (tmp_path / "s").exists()

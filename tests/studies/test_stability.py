"""The stability study on a real Ray: whole, interrupted and resumed, with killed workers, on hopeless input."""

import os
import runpy
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import ray
import torch

from rrm.cluster.capacity import Request
from rrm.cluster.fanout import as_arrays, measure_in_shards, on_device
from rrm.dynamics import Settings, load_result
from rrm.errors import InputError
from rrm.models import build, describe, variant
from rrm.reports.stability import survival
from rrm.studies import stability
from rrm.tasks import get_task
from rrm.training.checkpoint import save_tensors, write_meta
from rrm.training.evaluate import predict

SCRIPT = Path(__file__).resolve().parents[2] / "analysis" / "lyapunov.py"
TASK = get_task("sudoku-4x4")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A checkpoint folder and puzzles of which its model, by construction, solves every other one."""
    folder = tmp_path_factory.mktemp("files")
    torch.manual_seed(0)
    model = build(variant("trm_mlp", vocab_size=6, seq_len=16, hidden_size=16, H_cycles=1, L_cycles=1)).eval()
    (folder / "checkpoint").mkdir()
    save_tensors(model.state_dict(), folder / "checkpoint" / "best.safetensors")
    write_meta(folder / "checkpoint", {"best": {"model": describe(model), "segments": 4, "step": 1}})
    puzzles = TASK.generate(130, seed=0)
    answers = predict(model, puzzles, TASK, 4)["predictions"]
    labels = np.where(np.arange(130)[:, None] % 2, answers, puzzles.labels)
    replace(puzzles, labels=labels).save(folder / "mixed.npz")
    puzzles.subset(slice(0, 20)).save(folder / "failed.npz")
    return folder, model, puzzles


def study(files, storage, *options, data="mixed.npz"):
    argv = ["--checkpoint", str(files / "checkpoint"), "--data", str(files / data), "--storage", str(storage)]
    runpy.run_path(str(SCRIPT))["main"]([*argv, "--k", "2", "--name", "s", *options])


def test_study_interrupted_and_resumed_is_the_whole(cluster, files, tmp_path, monkeypatch, capsys):
    study(files[0], tmp_path / "whole", "--covariant", "--local")
    printed = capsys.readouterr().out
    assert "null ladder" in printed and "65 of 130 puzzles are solved" in printed and printed.count(".png") == 9
    whole = tmp_path / "whole" / "s" / "result.safetensors"
    result = load_result(whole)
    assert result.settings.transient == 2 and "random start basis, the first 2 of 4 segments left out" in printed
    assert np.allclose(result.lambda_segments[:, 2:].mean(1), result.lambda_per_segment, atol=1e-6)
    assert "SD: of the median over 5 start bases, 128 puzzles" in printed
    assert result.covariant.shape == (130, 5) and result.local.shape == (130, 8, 2)

    real = stability.gather
    monkeypatch.setattr(stability, "gather", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(SystemExit) as stopped:
        study(files[0], tmp_path / "broken", "--covariant", "--local")
    assert stopped.value.code == 130 and "--resume carries on" in capsys.readouterr().err
    shards = sorted((tmp_path / "broken" / "s" / "spectra").glob("*.safetensors"))
    stamps = [shard.stat().st_mtime_ns for shard in shards[1:]]
    shards[0].unlink()
    monkeypatch.setattr(stability, "gather", real)
    study(files[0], tmp_path / "broken", "--covariant", "--local", "--workers", "1", "--resume")
    assert (tmp_path / "broken" / "s" / "result.safetensors").read_bytes() == whole.read_bytes()
    assert [shard.stat().st_mtime_ns for shard in shards[1:]] == stamps

    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path / 'broken' / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("stability").experiment_id])
    assert run.info.status == "FINISHED" and {"auc/lambda_1", "exact"} <= set(run.data.metrics)
    assert f"sha256 {run.data.tags['rrm.result_hash']}" in capsys.readouterr().out


def test_a_set_without_one_outcome_says_so(cluster, files, tmp_path, capsys):
    study(files[0], tmp_path, data="failed.npz")
    assert "so nothing can be said" in capsys.readouterr().out


def test_two_killed_workers_change_no_byte(cluster, files, tmp_path):
    _, model, puzzles = files
    settings = Settings(
        k=2, segments=40, calls_per_segment=2, seed=0, precision="float32", model="", task=TASK.name,
        checkpoint_hash="", data_hash="",
    )  # fmt: skip
    killed, session = [], ray.get_runtime_context().get_session_name()

    def kill(rows, seconds):
        """The workers of this Ray that run a task when the first two shards are done."""
        if len(killed) < 2:
            processes = [path for path in Path("/proc").iterdir() if path.name.isdigit()]
            working = [path for path in processes if _title(path).startswith("ray::call")]
            for process in [path for path in working if session in _title(_parent(path))][:2]:
                os.kill(int(process.name), signal.SIGKILL)
                killed.append(process.name)

    contents = []
    for name, progress in (("calm", lambda rows, seconds: None), ("storm", kill)):
        target = tmp_path / name
        measure_in_shards(
            model, puzzles.concatenate([puzzles] * 4), settings, tmp_path / f"{name}-shards", target, {}, cluster,
            Request(), progress,
        )  # fmt: skip
        contents.append(target.read_bytes())
    assert len(killed) >= 1 and contents[0] == contents[1]


def _title(process: Path) -> str:
    try:
        return (process / "cmdline").read_text()
    except OSError:
        return ""


def _parent(process: Path) -> Path:
    try:
        return process.parent / (process / "stat").read_text().rpartition(")")[2].split()[1]
    except OSError:
        return process


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--k", "9999"], "--k 9999 is not possible: the tangent space has dimension"),
        (["--transient", "4"], "--transient 4: of 4 segments 0 to 3 can be left out"),
        (["--transient", "-1"], "--transient -1: of 4 segments 0 to 3"),
        (["--precision", "bfloat16"], "--precision 'bfloat16' is unknown"),
        (["--data", "nowhere.csv"], "--data nowhere.csv does not exist"),
        (["--weights", "worst"], "weights 'worst' are unknown"),
        (["--gpus", "1"], "the cluster has 2 CPU and 0 GPU"),
    ],
)
def test_bad_input_is_one_line_before_any_work(cluster, files, tmp_path, capsys, options, message):
    with pytest.raises(SystemExit) as stopped:
        study(files[0], tmp_path, *options)
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and message in error and error.count("\n") == 1
    assert not (tmp_path / "s").exists()


def test_a_bfloat16_model_reaches_a_worker_as_it_is():
    shape = {"vocab_size": 6, "seq_len": 16, "hidden_size": 16, "H_cycles": 1, "L_cycles": 1}
    model = build(variant("trm_mlp", **shape, forward_dtype="bfloat16"))
    sent = on_device(describe(model), as_arrays(model.state_dict()), "cpu").state_dict()
    assert all(torch.equal(sent[name], value) and sent[name].dtype == value.dtype
               for name, value in model.state_dict().items())  # fmt: skip


def test_puzzles_of_another_task_are_refused(cluster, files, tmp_path, capsys):
    get_task("sudoku-6x6").generate(2, seed=0).save(tmp_path / "other.npz")
    with pytest.raises(SystemExit):
        study(files[0], tmp_path, "--data", str(tmp_path / "other.npz"))
    assert "the model reads 16 cells of 6 tokens, sudoku-6x6 has 36 of 8" in capsys.readouterr().err


def test_the_clock_of_escape_starts_for_all_that_are_unsolved_at_the_training_depth():
    solved = np.zeros((4, 16), bool)
    solved[0, 2:] = True
    solved[1, 1] = True  # lost again
    solved[2, 1] = solved[2, 8:] = True  # lost, and solved again at segment 9
    known = SimpleNamespace(
        deep=SimpleNamespace(solved=solved), result=SimpleNamespace(settings=SimpleNamespace(segments=4))
    )
    (curve, unsolved), (chance,) = (of_name.values() for of_name in survival(known))
    assert (curve.n, curve.n_events) == (4, 3)
    assert chance.n == 3 and chance.estimate == pytest.approx(1 / (12 + 5 + 12))
    # The chance stands beside the curve of the same puzzles, on the clock of the other.
    assert (unsolved.n, unsolved.n_events) == (3, 1) and unsolved.time.tolist() == [9, 16]
    known.deep.solved = np.ones((4, 16), bool)
    curves, (chance,) = survival(known)[0], survival(known)[1].values()
    assert [*curves] == ["deep rollouts"] and chance.n == 0


def test_a_study_of_nothing_finite_says_so():
    assert stability.finite_rows(np.array([True, False, True])).tolist() == [0, 2]
    with pytest.raises(InputError, match="finite for none of 3 puzzles"):
        stability.finite_rows(np.zeros(3, bool))

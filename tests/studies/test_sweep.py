"""The sweep on a real Ray: whole, interrupted and resumed; its fan-out, and what it leaves behind."""

import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rrm.cluster.capacity import Request, trials_at_once
from rrm.cluster.fanout import measure_in_shards, run_tasks
from rrm.commands.sweep import run_command
from rrm.dynamics import Settings, load_result, measure
from rrm.errors import InputError
from rrm.jobs.folder import TEST_PUZZLES
from rrm.jobs.spec import Preset
from rrm.models import build, variant
from rrm.tasks import get_task
from rrm.tasks.puzzle_file import load_puzzles
from rrm.tracking import default_uri
from rrm.tracking.folder_reader import FolderReader
from rrm.tracking.store_reader import StoreReader

SPEC_FILE = Path(__file__).resolve().parents[2] / "tune_specs" / "perturb_sweep.py"
MODELS = ("trm_mlp", "srm_mlp")
TINY = Preset(
    trials=3, seeds=2, steps=8, evaluations=2, task="sudoku-4x4", givens=(7, 9), train=64, validation=8, test=70
)  # fmt: skip
REPEATED = [f"trial-{number:03d}" for number in range(3, 7)]  # the drawn trial and its baseline, on two seeds


@pytest.fixture(scope="module")
def spec():
    spec = runpy.run_path(str(SPEC_FILE))["SPEC"]
    return replace(spec, models=MODELS, presets={"default": TINY}, learns=0.0)


@pytest.fixture(scope="module")
def finished(cluster, spec, tmp_path_factory):
    """A finished tiny sweep."""
    storage = tmp_path_factory.mktemp("storage")
    run_command(spec, "", ["--storage", str(storage)])
    return storage


def runs_of(storage):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{storage / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("perturb_sweep").experiment_id
    return client, sorted(client.search_runs([experiment]), key=lambda run: run.data.tags["rrm.name"])


def test_every_trial_has_one_finished_run_under_one_parent(finished):
    client, runs = runs_of(finished)
    assert [run.data.tags["rrm.name"] for run in runs] == [
        "perturb_sweep",
        "trial-000",
        "trial-001",
        "trial-002",
        *REPEATED,
    ]
    assert {run.info.status for run in runs} == {"FINISHED"}
    parent, *trials = runs
    assert {run.data.tags["mlflow.parentRunId"] for run in trials} == {parent.info.run_id}
    assert [float(run.data.params["sigma"]) == 0 for run in trials] == [True, True, False, True, False, True, False]
    assert [run.data.tags["rrm.seed"] for run in trials] == ["0", "0", "0", "1", "1", "2", "2"]
    assert [run.data.tags["rrm.drawn"] for run in trials] == ["False", "False", "True", *["False"] * 4]
    assert len({run.data.tags["rrm.arm"] for run in trials if run.data.tags["rrm.arm"] != "baseline"}) == 1
    for run in trials:
        steps = [m.step for m in client.get_metric_history(run.info.run_id, "validation/exact")]
        assert steps == sorted(set(steps)) and steps[-1] <= 8
        assert {"test/best_exact", "test/final_exact", "train/loss", "time/train_s"} <= set(run.data.metrics)
        assert "train/finished" in run.data.metrics
        of_halting = {"test/best_exact_at_halting", "test/final_exact_at_halting", "validation/halting_segment"}
        has_q_head = not run.data.tags["rrm.model"].startswith("srm")
        assert of_halting & set(run.data.metrics) == (of_halting if has_q_head else set())
        assert run.data.params["recipe.lr"] and run.data.tags["mlflow.source.git.commit"]
    sigma = float(trials[2].data.params["sigma"])
    assert trials[2].data.metrics["perturbation/realised_sigma"] == pytest.approx(sigma, rel=0.05)
    assert len(parent.inputs.dataset_inputs) == 3


def test_artifacts_and_result_files(finished):
    client, (parent, *trials) = runs_of(finished)
    figures = {file.path for file in client.list_artifacts(parent.info.run_id, "figures")}
    assert {Path(name).stem.split("_")[0] for name in figures} == {"fig1", "fig2", "fig3", "arm", "search"}
    folder = finished / "perturb_sweep"
    measured = sorted((folder / "lyapunov").glob("*.safetensors"))
    assert measured
    result = load_result(measured[0])
    assert result.lambda_per_call.shape == (70, 8) and np.isfinite(result.lambda_per_call).all()
    assert result.settings.unit == "nats per network call" and result.settings.qr_every == 1
    assert result.provenance["sweep_run"] == parent.info.run_id
    checkpoints = [Path(t["checkpoint"]) for t in json.loads((folder / "trials.json").read_text())["searched"]]
    assert all((folder / path).is_dir() and not path.is_absolute() for path in checkpoints)  # it may be moved
    hashes = {run.data.tags["rrm.checkpoint_hash"] for run in trials}
    assert result.settings.checkpoint_hash in hashes
    scores = json.loads((folder / "scores.json").read_text())[measured[0].stem]
    assert scores["best"]["exact"] == pytest.approx(result.solved.mean())


def test_curves_of_every_trial_are_in_its_folder_and_in_the_store(finished, tmp_path):
    store, folder = StoreReader(default_uri(finished), tmp_path), FolderReader(finished)
    (group,), (of_folder,) = store.groups(), folder.groups()
    assert (group.name, group.kind) == (of_folder.name, of_folder.kind) == ("perturb_sweep", "sweep")
    (_, *trials), (_, *others) = store.runs(group), folder.runs(of_folder)
    for run, other in zip(trials, others, strict=True):
        assert run.name == other.name and other.tags.items() <= run.tags.items()
        differing = {key for key in {*run.params, *other.params} if run.params.get(key) != other.params.get(key)}
        assert differing == {"recipe.optimizer.betas"}  # a tuple, and in JSON a list
        curves = store.curves(run)
        assert curves.keys() == folder.curves(other).keys() and "evaluation" in curves.keys() - run.metrics.keys()
        for name in {"train/loss", "validation/exact", "validation/exact_at_halting"} & curves.keys():
            for found in (store.history(run, name), folder.history(other, name)):
                np.testing.assert_array_equal(found, curves[name])


def test_what_tune_writes_again_and_again_holds_no_puzzles(finished):
    """Its state is copied every few seconds; public datasets have hundreds of megabytes."""
    folder = finished / "perturb_sweep"
    puzzles = load_puzzles(folder / TEST_PUZZLES).inputs.tobytes()
    state = [*folder.glob("tune*/*.pkl"), *folder.glob("tune*/*.json")]
    assert len(state) >= 8 and not [file.name for file in state if puzzles in file.read_bytes()]


def test_figures_are_drawn_again_from_the_runs(finished, tmp_path, monkeypatch, capsys):
    parent = runs_of(finished)[1][0].info.run_id
    for script, figures in (("outcome_figures", 2), ("peak_accuracy", 2)):
        uri = f"sqlite:///{finished / 'mlflow.db'}"
        monkeypatch.setattr(sys, "argv", [script, "--run", parent, "--tracking-uri", uri, "--out", str(tmp_path)])
        runpy.run_path(str(SPEC_FILE.parents[1] / "analysis" / f"{script}.py"), run_name="__main__")
        printed = capsys.readouterr().out
        assert printed.count(".png") == figures and "trm_mlp" in printed
    assert len(list(tmp_path.glob("fig*.png"))) == 3


def test_resuming_a_finished_sweep_adds_nothing(finished, spec, capsys):
    """Nor does it when the preset of this name has changed meanwhile: trials of one sweep have one budget."""
    before = [(run.info.run_id, run.data.metrics) for run in runs_of(finished)[1]]
    kept = finished / "perturb_sweep" / "recipes"  # which an older rrm did not write
    recipes = {path.name: path.read_text() for path in kept.iterdir()}
    shutil.rmtree(kept)
    changed = replace(spec, presets={"default": replace(TINY, steps=16, train=32)})
    run_command(changed, "", ["--storage", str(finished), "--resume"])
    after = runs_of(finished)[1]
    assert [(run.info.run_id, run.data.metrics) for run in after] == before
    assert {run.info.status for run in after} == {"FINISHED"}
    assert "trial-002" in capsys.readouterr().out
    assert recipes and kept.is_dir() and {path.name for path in kept.iterdir()} == recipes.keys()
    with pytest.raises(SystemExit):
        run_command(spec, "", ["--storage", str(finished), "--resume", "--seed", "5"])
    assert "seed = 0, not 5" in capsys.readouterr().err


def test_killed_driver_resumes_to_the_same_trials(finished, tmp_path):
    """SIGKILL after the first trial has reported; the resumed sweep equals the unbroken one.

    Meanwhile rrm was updated: what Tune pickled of its code cannot be read any more.
    """
    code = (
        "import runpy, sys\n"
        "from dataclasses import replace\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from rrm.commands.sweep import run_command\n"
        "from rrm.jobs.spec import Preset\n"
        f"spec = runpy.run_path({str(SPEC_FILE)!r})['SPEC']\n"
        f"spec = replace(spec, models={MODELS!r}, presets={{'default': {TINY!r}}}, learns=0.0)\n"
        "run_command(spec, '', sys.argv[2:])\n"
    )
    argv = [sys.executable, "-c", code, str(Path(__file__).parent), "--storage", str(tmp_path)]
    driver = subprocess.Popen(argv, stdout=subprocess.DEVNULL, start_new_session=True)
    tune, deadline = tmp_path / "perturb_sweep" / "tune", time.time() + 180
    while time.time() < deadline and driver.poll() is None:
        if any(tune.glob("experiment_state-*.json")) and any(tune.glob("trial-*/checkpoint_*/checkpoint.json")):
            break
        time.sleep(0.05)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    time.sleep(5)  # the orphaned Ray leaves by itself
    (tune / "tuner.pkl").write_bytes(b"crrm.cluster.phase\nOfAnotherVersion\n.")
    done = subprocess.run([*argv, "--resume"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    whole, resumed = (json.loads((s / "perturb_sweep" / "trials.json").read_text()) for s in (finished, tmp_path))
    pairs = list(zip(*(known["searched"] + known["repeated"] for known in (whole, resumed)), strict=True))
    assert [one["config"] for one, _ in pairs] == [other["config"] for _, other in pairs]
    # Two trials run at once, and whether ASHA stops a drawn one depends on which of them reports first.
    for one, other in pairs:
        reached = min(one["evaluation"], other["evaluation"])
        assert one["curve"][:reached] == other["curve"][:reached] and reached >= 1
    never_stopped = [pair for pair in pairs if not pair[0]["drawn"]]
    assert len(never_stopped) == len(pairs) - 1
    for one, other in never_stopped:
        assert one["best"] == other["best"] and one["final"] == other["final"] and not other["stopped_early"]
    runs = [runs_of(storage)[1] for storage in (finished, tmp_path)]
    assert [run.data.tags["rrm.name"] for run in runs[0]] == [run.data.tags["rrm.name"] for run in runs[1]]
    assert {run.info.status for run in runs[1]} == {"FINISHED"}


def test_measurement_over_workers_is_that_of_one_process_and_keeps_its_shards(cluster, tmp_path):
    task = get_task("sudoku-4x4")
    puzzles = task.generate(130, seed=0)
    model = build(variant("trm_mlp", vocab_size=6, seq_len=16, hidden_size=16, H_cycles=1, L_cycles=1)).eval()
    settings = Settings(
        k=2, segments=4, calls_per_segment=2, seed=0, precision="float32", model="", task=task.name,
        checkpoint_hash="c", data_hash="d",
    )  # fmt: skip
    seen, target = [], tmp_path / "result.safetensors"

    def spread():
        folder, note = tmp_path / "shards", lambda rows, seconds: seen.append(rows)
        measure_in_shards(model, puzzles, settings, folder, target, {}, cluster, Request(), note)
        return load_result(target)

    alone, first = measure(model, puzzles, task, settings), spread()
    for name, array in alone.arrays.items():
        assert np.array_equal(first.arrays[name], array, equal_nan=name == "q_halt"), name
    assert sorted(seen) == [2, 64, 64]
    content, shards = target.read_bytes(), sorted((tmp_path / "shards").glob("*.safetensors"))
    shards[1].unlink()
    stamp = shards[0].stat().st_mtime_ns
    spread()
    assert target.read_bytes() == content and shards[0].stat().st_mtime_ns == stamp


def _die_once(marker: str, value: int) -> int:
    if not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return value


def test_a_killed_worker_costs_its_job_only(cluster, tmp_path):
    jobs = [(str(tmp_path / "mark"), value) for value in range(4)]
    assert sorted(result for _, result, _ in run_tasks(_die_once, jobs, cluster, Request())) == [0, 1, 2, 3]


def test_fit_check():
    resources = {"CPU": 8.0, "GPU": 2.0}
    assert trials_at_once(Request(), resources) == 8
    assert trials_at_once(Request(workers=2, cpus=3), resources) == 1
    assert trials_at_once(Request(gpus=0.5), resources) == 4
    with pytest.raises(InputError, match=r"needs 4 x \(1 CPU \+ 1 GPU\), the cluster has 8 CPU and 2 GPU"):
        trials_at_once(Request(workers=4, gpus=1), resources)

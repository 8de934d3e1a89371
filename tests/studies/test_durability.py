"""A job carries on after files were cut short or a disk was full, here without a cluster.

With a cluster: tests/endurance/fault_table.
"""

import os
from contextlib import contextmanager
from types import SimpleNamespace
from zipfile import ZipFile

import pytest
import torch

from rrm.cluster import tune_state
from rrm.cluster.capacity import Request
from rrm.cluster.fanout import _finished
from rrm.cluster.search import AtOnce, BaselinesFirst
from rrm.cluster.trial import DAMAGE, Job, _train
from rrm.commands.job import resumable
from rrm.curves import curve_path, read_curves
from rrm.errors import CLUSTER_LOST, InputError
from rrm.jobs.folder import JobFolder
from rrm.jobs.spec import Preset
from rrm.tasks.splits import generate_splits
from rrm.training import checkpoint
from rrm.training.recipes import cpu_sudoku
from tests.sweeps import recipes_of


def cut(path):
    os.truncate(path, path.stat().st_size // 2)


def test_tunes_state_comes_back_from_its_copy(tmp_path):
    own, folder = tmp_path / "own", tmp_path / "tune"
    own.mkdir()
    folder.mkdir()
    files = {name.replace("*", "1"): f"content of {name}" for name in tune_state.STATE}
    for name, content in files.items():
        (own / name).write_text(content)
    storage = SimpleNamespace(experiment_driver_staging_path=str(own), experiment_fs_path=str(folder))
    keeper = tune_state.KeepState()
    keeper.on_step_end(1, [SimpleNamespace(storage=storage, trial_id="t", checkpoint=None)])
    for name in files:
        (folder / name).write_text("cut")
    (folder / "experiment_state-2.json").write_text("cut")
    assert tune_state.restore(folder)
    assert {file.name: file.read_text() for file in folder.iterdir() if file.name != tune_state.COPY} == files


def test_the_checkpoint_that_the_copied_state_names_is_there(tmp_path):
    """Whenever the driver dies: the state of Tune follows the checkpoints of its trials after a while only."""
    own, trial_folder = tmp_path / "own", tmp_path / "trial-000"
    own.mkdir()
    storage = SimpleNamespace(experiment_driver_staging_path=str(own), experiment_fs_path=str(tmp_path))
    trial, keeper, named = SimpleNamespace(storage=storage, trial_id="t", checkpoint=None), tune_state.KeepState(), None
    for number in range(7):
        (trial_folder / f"checkpoint_{number:06d}").mkdir(parents=True)
        trial.checkpoint = SimpleNamespace(path=str(trial_folder / f"checkpoint_{number:06d}"))
        if number in (1, 2, 5):  # Tune writes its state
            for name in tune_state.STATE:
                (own / name.replace("*", "1")).write_text(trial.checkpoint.path)
                os.utime(own / name.replace("*", "1"), (number, number))
        keeper.on_step_end(number, [trial])
        if (tmp_path / tune_state.COPY).exists():
            named = ZipFile(tmp_path / tune_state.COPY).read("experiment_state-1.json").decode()
            assert os.path.isdir(named)
    assert sorted(os.listdir(trial_folder)) == [f"checkpoint_{number:06d}" for number in (2, 3, 4, 5, 6)]


def test_a_search_goes_on_with_as_many_trials_as_the_cluster_holds_today():
    small, large = (AtOnce(BaselinesFirst(None, [], 0), at_once) for at_once in (1, 8))
    small.live_trials.add("t")
    large.set_state(small.get_state())
    assert large.max_concurrent == 8 and large.live_trials == {"t"}


def test_a_job_that_was_interrupted_before_its_record_begins_with_the_same_command(tmp_path):
    folder = JobFolder(tmp_path / "sweep", "sweep")
    with pytest.raises(InputError, match="leave --resume out"):
        folder.check(resume=True)
    with folder.claim():
        folder.check(resume=True)
        folder.check(resume=False)
    (folder.path / "notes.txt").touch()
    with pytest.raises(InputError, match="is not a sweep"):
        folder.check(resume=True)


def test_without_a_whole_copy_a_phase_begins_anew(tmp_path, capsys):
    assert not tune_state.restore(tmp_path)
    (tmp_path / tune_state.COPY).write_bytes(b"PK\3\4")
    assert not tune_state.restore(tmp_path) and "its trials are trained again" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["training", "best", None])
def test_a_trial_goes_on_from_its_checkpoint_or_begins_again_and_says_so(tmp_path, name):
    """To the same weights and the same rows of its curves, each once, as without an interruption."""
    splits = generate_splits("sudoku-4x4", (16, 4, 4), 0, (6, 9), tmp_path / "puzzles")
    preset = Preset(trials=1, seeds=1, steps=2, evaluations=2, task="sudoku-4x4", givens=(6, 9), train=16,
                    validation=4, test=4)  # fmt: skip

    def recipe(config, task, preset, seed):
        return cpu_sudoku(task, batch_size=4, budget=12 * 4 * preset.steps, evaluations=preset.evaluations)

    job = Job(recipes_of(recipe, preset, tmp_path), Request(), str(tmp_path))

    def train(previous=None):
        """Reports and checkpoints of a trial that starts from the checkpoint `previous`."""
        reports, folders = [], []

        def report(metrics, checkpoint):
            reports.append(metrics)

        def keep(folder):
            folders.append(tmp_path / f"checkpoint-{len(os.listdir(tmp_path))}")
            os.rename(folder, folders[-1])
            os.mkdir(folder)

        @contextmanager
        def as_directory():
            yield previous

        found = SimpleNamespace(as_directory=as_directory) if previous else None
        module = SimpleNamespace(
            get_checkpoint=lambda: found, report=report, Checkpoint=SimpleNamespace(from_directory=keep)
        )
        _train(job, {"model": "trm_mlp", "seed": 0, "trial": 0}, splits, module)
        return reports, folders

    threads, curves = torch.get_num_threads(), curve_path(tmp_path, "trial-000")
    whole, folders = train()
    rows = read_curves(curves)
    if name:
        cut(folders[0] / f"{name}.safetensors")
    again, others = train(folders[0])
    torch.set_num_threads(threads)
    if name:
        assert [r["evaluation"] for r in again] == [1, 2] and f"{name}.safetensors" in again[0][DAMAGE]
    else:
        assert [r["evaluation"] for r in again] == [2] and DAMAGE not in again[0]
    assert not any(DAMAGE in report for report in whole)
    assert read_curves(curves).keys() == rows.keys() and rows["train/loss"][0].tolist() == [1, 2]
    for series, (steps, values) in read_curves(curves).items():
        assert steps.tolist() == [1, 2] and (series.startswith("time/") or (values == rows[series][1]).all()), series
    assert checkpoint.weights_hash(others[-1], "final") == checkpoint.weights_hash(folders[1], "final")


def test_a_damaged_shard_counts_as_missing_and_is_named(tmp_path, capsys):
    def read(path):
        raise InputError(f"{path}: not a readable shard")

    path = tmp_path / "shard-000001.npz"
    assert _finished(read, path) is None and capsys.readouterr().out == ""
    path.touch()
    assert _finished(read, path) is None and str(path) in capsys.readouterr().out


def test_an_interruption_names_resume_where_there_is_something_to_carry_on_with(tmp_path, capsys):
    def interrupted(**options) -> str:
        with pytest.raises(SystemExit) as ended, resumable(SimpleNamespace(storage=tmp_path, **options)):
            raise KeyboardInterrupt
        assert ended.value.code == 130
        return capsys.readouterr().err

    for name in ("job", None):
        assert interrupted(name=name, resume=False) == "\ninterrupted before it began\n"
    (tmp_path / "job").mkdir()
    assert "--resume carries on" in interrupted(name="job", resume=False)
    assert "--resume carries on" in interrupted(name=None, resume=True)


def test_a_full_disk_ends_a_job_with_one_line_and_other_errors_do_not_hide():
    args = SimpleNamespace(storage="runs", name=None, resume=False)
    with pytest.raises(InputError, match="no space left for --storage runs or in .*: make room.*--resume carries on"):
        with resumable(args):
            raise OSError(28, "No space left on device")
    with pytest.raises(SystemExit, match="Ray's processes are gone: .*--resume carries on"), resumable(args):
        raise RuntimeError(f"Tune's traceback\nRuntimeError: {CLUSTER_LOST}\n")
    with pytest.raises(RuntimeError, match="else"), resumable(args):
        raise RuntimeError("something else")

"""The disk is full, a folder is shared, files are damaged."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.endurance.fault_table.comparison import compare, lost_work
from tests.endurance.fault_table.registry import carry_on, expect, fault, said
from tests.endurance.fault_table.row import Row


@fault("disk-full-early", "the disk is full before the first checkpoint, then has room again", "3m")
@fault("disk-full", "the disk is full as a trial writes a checkpoint, then has room again", "12m")
def disk_full(row: Row, size: str) -> None:
    """On a small tmpfs, which only root may mount."""
    row.runs.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(row.runs)], check=True)
    try:
        done = row.run(*row.table.sweep(row))
        expect(row, done, 2, "no space left for --storage", lines=3)  # two of them are those of the tracking store
        subprocess.run(["mount", "-o", "remount,size=200m", str(row.runs)], check=True)
        carry_on(row, "sweep")
    finally:
        subprocess.run(["umount", "-l", str(row.runs)], check=True)


@fault("two-drivers", "a second driver in the same folder")
def two_drivers(row: Row) -> None:
    """The second driver is refused, with and without --resume; the first one ends well."""
    first = row.start(*row.table.sweep(row), faults="wait@train:2")
    row.happened("wait@train:2", first)
    for options, line in (((), "already holds a sweep"), (("--resume",), "is in use by another driver")):
        expect(row, row.run(*row.table.sweep(row, *options), faults="none@nowhere:0"), 2, line)
    row.go()
    row.began = 1
    row.want(row.wait(first).code == 0, "the first driver failed")
    row.began = 3
    compare(row, row.table.whole_sweep.storage)
    row.lost = lost_work(row, row.table.whole_sweep.work)
    row.check_orphans()


def truncate(path: Path) -> None:
    """Cut a file in half."""
    os.truncate(path, path.stat().st_size // 2)


@fault("checkpoint-corrupt", "the checkpoint of a running trial is truncated")
def checkpoint_corrupt(row: Row) -> None:
    expect(row, row.run(*row.table.sweep(row), faults="KILL@train:3"), -9)
    for path in (row.runs / "job" / "tune").glob("trial-001/checkpoint_*/training.safetensors"):
        truncate(path)
    carry_on(row, "sweep")


@fault("results-corrupt", "the result files from which ASHA is restored are truncated")
def results_corrupt(row: Row) -> None:
    expect(row, row.run(*row.table.sweep(row), faults="KILL@train:5"), -9)
    files = list((row.runs / "job" / "tune").glob("trial-*/result.json"))
    row.want(files, "there are no result files")
    for path in files:
        truncate(path)
    carry_on(row, "sweep")


@fault("shard-corrupt", "a finished shard of spectra is truncated", "shard:2", "spectra/shard-000001.safetensors")
@fault("rows-corrupt", "a finished shard of rollouts is truncated", "rows:2", "deep/shard-000000.npz")
def shard_corrupt(row: Row, place: str, shard: str) -> None:
    expect(row, row.run(*row.table.study(row), faults=f"KILL@{place}"), -9)
    truncate(row.runs / "job" / shard)
    done = carry_on(row, "study")
    expect(row, done, 0, Path(shard).name)
    row.sees = said(done, Path(shard).name)


@fault("tune-state-deleted", "Tune's state files are deleted", Path.unlink)
@fault("tune-state-corrupt", "Tune's state files are truncated", truncate)
def tune_state(row: Row, damage: Callable[[Path], None]) -> None:
    """Tune's files are lost after a SIGKILL; rrm's own copy of them serves."""
    expect(row, row.run(*row.table.sweep(row), faults="KILL@train:5"), -9)
    for path in (row.runs / "job" / "tune").iterdir():
        if path.is_file():
            damage(path)
    done = carry_on(row, "sweep")
    row.sees = done.sees

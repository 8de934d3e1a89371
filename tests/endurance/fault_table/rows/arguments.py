"""Commands that are refused, and --resume of a finished job."""

import shutil
import sqlite3
from contextlib import closing

from tests.endurance.fault_table.comparison import jobs_of
from tests.endurance.fault_table.registry import expect, fault
from tests.endurance.fault_table.row import Row


@fault("other-arguments", "--resume with another --seed", ("--resume", "--seed", "5"), "seed = 0, not 5")
@fault("resume-finished", "--resume of what is finished", ("--resume",), "")
def on_finished(row: Row, options: tuple[str, ...], line: str) -> None:
    """The command does no work again and changes no run."""
    copy_unbroken_sweep(row)
    before = jobs_of(row.runs)
    expect(row, row.run(*row.table.sweep(row, *options)), 2 if line else 0, line)
    row.want(jobs_of(row.runs) == before, "the runs changed")
    row.want(not row.count(), f"work was done again: {row.count()}")
    row.want(row.table.whole_sweep.work, "no work was counted in the unbroken sweep")
    row.lost = "nothing"
    row.check_orphans()


def copy_unbroken_sweep(row: Row) -> None:
    """Copy the finished sweep into the row's storage folder, where its store keeps the artifacts from now on."""
    whole = row.table.whole_sweep.storage
    shutil.copytree(whole, row.runs)
    with closing(sqlite3.connect(row.runs / "mlflow.db")) as store, store:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            store.execute(f"update {table} set {column} = replace({column}, ?, ?)", (str(whole), str(row.runs)))


@fault("no-gpu", "--gpus without a GPU", "study", ("--gpus", "1"), "CPU and 0 GPU")
@fault("dead-address", "--address of no cluster", "sweep", ("--address", "127.0.0.1:1"), "no Ray cluster answers")
@fault("odd-workers", "a batch that DDP workers cannot share", "sweep", ("--workers-per-trial", "3"), "workers")
def refused(row: Row, command: str, options: tuple[str, ...], line: str) -> None:
    """Nothing is started."""
    done = row.run(*getattr(row.table, command)(row, *options), slots=4)
    expect(row, done, 2, line)
    row.want(not (row.runs / "job").exists(), "a folder was made")
    row.lost = "nothing"
    row.check_orphans()

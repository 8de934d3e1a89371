"""A dream loop is killed in the middle of a round: no finished attempt is made again."""

import os
import signal

from tests.endurance.fault_table.comparison import compare, lost_work
from tests.endurance.fault_table.registry import carry_on, expect, fault
from tests.endurance.fault_table.row import Row

# Pieces of work of a round, and those that may be made twice: the one under way in each process.
UNDER_WAY = "KILL@attempt:3"


@fault("dream-worker-kill", "SIGKILL to the worker of a trial, in the third attempt of a round", 1)
@fault("dream-task-kill", "SIGKILL to who makes its third attempt, trial or Ray task", 2)
def worker_kill(row: Row, slots: int) -> None:
    """The command ends as if nothing had happened, and two attempts are found."""
    _, whole = row.table.job("dream")
    faults = UNDER_WAY if slots == 1 else "KILL@attempt:2"
    expect(row, row.run(*row.table.dream(row), faults=faults, slots=slots), 0)
    row.want((row.marks / faults).exists(), "the fault did not happen")
    compare(row, whole.storage)
    row.lost = lost_work(row, whole.work)
    row.want(slots > 1 or row.count()["a"] == whole.work["a"], f"{row.count()['a']} attempts, not {whole.work['a']}")
    row.check_orphans()


@fault("dream-driver-kill", "SIGKILL to the driver while a trial is in the middle of a round")
def driver_kill(row: Row) -> None:
    """--resume completes the sweep, and finished attempts are found."""
    driver = row.start(*row.table.dream(row), faults="wait@attempt:3")
    row.happened("wait@attempt:3", driver)
    os.kill(driver.pid, signal.SIGKILL)
    expect(row, row.wait(driver), -signal.SIGKILL)
    row.check_orphans()
    carry_on(row, "dream")
    attempts, whole = row.count()["a"], row.table.whole_dream.work["a"]
    row.want(attempts == whole, f"{attempts} attempts, not {whole}")

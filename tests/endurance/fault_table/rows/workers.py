"""Worker processes, trials or Ray itself fail; the clock jumps."""

import os
import signal

from tests.endurance.fault_table.comparison import compare, jobs_of, lost_work, records
from tests.endurance.fault_table.registry import carry_on, expect, fault, said
from tests.endurance.fault_table.row import Row, title


@fault("tune-worker-kill", "SIGKILL to the worker that trains a trial", "KILL@step:6", "sweep")
@fault("scoring-worker-kill", "SIGKILL to a worker that scores", "KILL@scoring:2", "sweep")
@fault("analysis-worker-kill", "SIGKILL to a worker of a sweep's analysis", "KILL@measuring:1", "sweep")
@fault("study-worker-kill", "SIGKILL to a worker of a study", "KILL@measuring:2", "study")
@fault("clock-forward", "the clock jumps a day ahead", "clock=1@train:2", "sweep")
@fault("clock-back", "the clock jumps a day back", "clock=-1@train:2", "sweep")
def unharmed(row: Row, faults: str, kind: str) -> None:
    """The command ends as if nothing had happened."""
    command, whole = row.table.job(kind)
    expect(row, row.run(*command(row), faults=faults), 0)
    row.want((row.marks / faults).exists(), "the fault did not happen")
    compare(row, whole.storage)
    row.lost = lost_work(row, whole.work)
    row.check_orphans()


@fault("raylet-kill", "SIGKILL to Ray's raylet")
def raylet_kill(row: Row) -> None:
    """The command ends and names the way out; --resume completes the sweep."""
    driver = row.start(*row.table.sweep(row), faults="mark@train:2")
    row.happened("mark@train:2", driver)
    for process in row.processes():
        if title(process).endswith("raylet/raylet"):
            os.kill(process, signal.SIGKILL)
    done = row.wait(driver)
    expect(row, done, 1, "the same .* with --resume carries on", lines=9)  # Ray says its own
    row.sees = said(done, "--resume carries on")
    carry_on(row, "sweep")


@fault("trial-nan", "a trial diverges to NaN", "nan@trial:1", r"not finite at step 5")
@fault("trial-crash", "a trial always crashes", "raise@trial:1*", "this configuration always crashes")
@fault("trial-killed", "the worker of a trial always dies before it reports", "KILL@trial:1*", "its worker died")
def failing_trial(row: Row, faults: str, reason: str) -> None:
    """The trial is reported as failed, after one retry, and the sweep goes on without it."""
    done = row.run(*row.table.sweep(row), faults=faults)
    expect(row, done, 0, f"trial-001 failed.*{reason}")
    row.sees = (
        next((line for line in done.out.splitlines() if "trial-001 failed" in line), "nothing") + f" [{done.code}]"
    )
    runs = jobs_of(row.runs)
    row.want(runs["trial-001"][0] == "FAILED", f"trial-001 is {runs['trial-001'][0]}")
    attempts = (row.runs / "job" / "tune" / "trial-001" / "error.txt").read_text().count("Failure #")
    row.want(attempts == 2, f"{attempts} attempts at trial-001")
    rest = {name: status for name, (status, _) in runs.items() if name != "trial-001"}
    row.want(set(rest.values()) == {"FINISHED"} and len(rest) >= 6, f"the others are {rest}")
    others = [t for t in records(row.runs / "job")["trials"]["searched"] if t["name"] == "trial-000"]
    whole = records(row.table.whole_sweep.storage / "job")["trials"]["searched"]
    row.want(others == whole[:1], "the trial before it changed")
    row.lost = "trial-001"
    row.check_orphans()

"""A signal ends the driver, at a place in the code or at any moment."""

import json
import random
import signal
import subprocess
from contextlib import suppress

from tests.endurance.fault_table.comparison import compare, jobs_of, lost_work
from tests.endurance.fault_table.registry import INTERRUPTED, carry_on, expect, fault
from tests.endurance.fault_table.row import Row

PLACES = {"train": "train:3", "score": "score:3", "analysis": "shard:1"}


def interrupted(row: Row, signal_name: str, place: str, kind: str) -> None:
    """The driver gets a signal when it passes the place; --resume completes the job."""
    command, _ = row.table.job(kind)
    done = row.run(*command(row), faults=f"{signal_name}@{place}")
    if signal_name == "KILL":
        expect(row, done, -signal.SIGKILL)
    else:
        expect(row, done, 130, INTERRUPTED)
        running = [name for name, (status, _) in jobs_of(row.runs).items() if status == "RUNNING"]
        row.want(not running, f"still RUNNING when interrupted: {running}")
    carry_on(row, kind)


for signal_name in ("INT", "TERM", "KILL"):
    for place, where in PLACES.items():
        fault(f"sweep-{signal_name.lower()}-{place}", f"SIG{signal_name} to a sweep's driver, {place}",
              signal_name, where, "sweep")(interrupted)  # fmt: skip
for signal_name, where in (("INT", "shard:1"), ("TERM", "rows:1"), ("KILL", "rows:2")):
    fault(f"study-{signal_name.lower()}", f"SIG{signal_name} to a study's driver, {where}",
          signal_name, where, "study")(interrupted)  # fmt: skip
fault("sweep-int-report", "Ctrl-C while the report is made", "INT", "report:1", "sweep")(interrupted)
fault("sweep-int-early", "Ctrl-C before the first trial starts", "INT", "suggested:1", "sweep")(interrupted)
fault("sweep-int-twice", "Ctrl-C twice", "twice", "train:3", "sweep")(interrupted)
fault("sweep-kill-registered", "SIGKILL between a new checkpoint and Tune's state",
      "KILL", "registered:4", "sweep")(interrupted)  # fmt: skip
fault("sweep-kill-early", "SIGKILL as the first trial starts", "KILL", "started:1", "sweep")(interrupted)


def at_any_moment(row: Row, number: int) -> None:
    """A signal at a moment drawn from the seed `number`, between the start of Python and the last line."""
    chosen = random.Random(number)
    command, whole = row.table.job(chosen.choice(("sweep", "study")))
    kind = chosen.choice((signal.SIGINT, signal.SIGTERM, signal.SIGKILL))
    driver = row.start(*command(row))
    with suppress(subprocess.TimeoutExpired):
        driver.wait(chosen.random() * whole.seconds)
    driver.send_signal(kind)  # nothing happens where it has ended
    done = row.wait(driver)
    row.shown += f"  [{kind.name}]"
    row.sees = done.sees
    begun = (row.runs / "job").exists()
    row.want(done.code in (0, 130, -kind), f"exit code {done.code}")
    if begun and done.code:
        expect(row, done, *((-signal.SIGKILL,) if kind == signal.SIGKILL else (130, INTERRUPTED)))
    again = row.run(*command(row), *["--resume"] * begun)
    row.want(again.code == 0, f"the same command then: {again.sees}")
    compare(row, whole.storage)
    row.lost = lost_work(row, whole.work)
    row.check_orphans()


@fault("kill-twice", "SIGKILL to the driver, and to the resumed one")
def kill_twice(row: Row) -> None:
    expect(row, row.run(*row.table.sweep(row), faults="KILL@train:2"), -9)
    row.run(*row.table.sweep(row, "--resume"), faults="KILL@shard:1")
    carry_on(row, "sweep")


@fault("asha-history", "SIGKILL after ASHA has stopped a trial")
def asha_history(row: Row) -> None:
    """ASHA stops the last trial because of the earlier ones, of which a fresh scheduler would know nothing."""
    trials = json.loads((row.table.whole_sweep.storage / "job" / "trials.json").read_text())["searched"]
    stopped = [number for number, trial in enumerate(trials) if trial["stopped_early"]]
    row.want(stopped and stopped[-1] == len(trials) - 1, f"the unbroken sweep stops {stopped}, not its last trial")
    reports = sum(trial["evaluation"] for trial in trials[:-1])
    expect(row, row.run(*row.table.sweep(row), faults=f"KILL@train:{reports}"), -9)
    carry_on(row, "sweep")


@fault("clock-back-kill", "the clock jumps a day back, then SIGKILL")
def clock_back_kill(row: Row) -> None:
    expect(row, row.run(*row.table.sweep(row), faults="clock=-1@train:1 KILL@train:5"), -9)
    carry_on(row, "sweep")

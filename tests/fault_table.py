"""What a user sees and loses when something breaks: every fault provoked by a real command, on tiny sizes.

    python tests/fault_table.py [--only NAME ...] [--jobs N] [--moments N] [--keep]

Commands run from a fixed clone of the last commit, for result files name their commit, with the faults of
tests/faults/sitecustomize.py. The table says for each: exit code and last line, the work that was done twice, and
whether everything is as it should be: after --resume the same trials, scores and result files as in an unbroken run,
the same metric points in MLflow, no run left RUNNING and no process of Ray left behind. Exit code 1 if a row is not.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
LIMIT_S = 900  # a command that takes longer hangs
ORPHANS_S = 120  # what Ray gives the helpers of a killed driver to notice
SPEC = """
import runpy
from dataclasses import replace

from rrm.commands.options import run_command
from rrm.jobs.spec import Preset

SPEC = runpy.run_path({path!r})["SPEC"]
TINY = Preset(
    trials=5, seeds=1, steps=8, evaluations=2, task="sudoku-4x4", givens=(7, 9), train=64, validation=32, test=70
)
DDP = replace(TINY, trials=1, steps=100, evaluations=10)
SPEC = replace(SPEC, models=("trm_mlp", "srm_mlp"), presets={{"default": TINY, "ddp": DDP}})

if __name__ == "__main__":
    run_command(SPEC, "A tiny sweep.")
"""
# Nothing that differs from run to run: clocks, and names of places and runs.
CLOCKS = re.compile(r"^time/|seconds|_s$")
WORK = {"s": "steps", "t": "scores", "m": "shards", "g": "shards"}
INTERRUPTED = "interrupted: the same command with --resume carries on"


@dataclass
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def sees(self) -> str:
        """What the user sees last, as a shell shows it."""
        if self.code == -signal.SIGKILL:
            return "Killed [-9]"
        lines = [line for line in (self.code and self.err or self.out).splitlines() if line.strip()]
        return f"{lines[-1][:110] if lines else 'nothing'} [{self.code}]"


@dataclass
class Row:
    """One fault: its folder, the commands that ran there, and what was wrong with them."""

    name: str
    work: Path
    table: "Table"
    sees: str = ""
    shown: str = ""
    lost: str = ""
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    began: int = 0

    @property
    def folder(self) -> Path:
        return self.work / self.name

    @property
    def ray(self) -> str:
        """How the names of the folders of this row's Rays begin; short, for sockets lie in them."""
        return str(self.work / "r" / f"{self.name[:12]}.")

    @property
    def marks(self) -> Path:
        return self.folder / "marks"

    def want(self, holds, problem: str) -> None:
        """Note the problem unless something holds."""
        if not holds:
            self.problems.append(problem)

    def environment(self, faults: str, slots: int = 1) -> dict[str, str]:
        """That of the next command: the clone's code, the faults, a Ray of its own with so many CPUs."""
        self.began += 1
        self.marks.mkdir(parents=True, exist_ok=True)
        ray = Path(f"{self.ray}{self.began}")
        ray.mkdir(parents=True, exist_ok=True)
        return os.environ | {
            "PYTHONPATH": f"{self.table.tree / 'tests' / 'faults'}:{self.table.tree}", "RRM_FAULT": faults,
            "RRM_MARKS": str(self.marks), "RAY_TMPDIR": str(ray), "RAY_OVERRIDE_RESOURCES": json.dumps({"CPU": slots}),
            "RAY_worker_register_timeout_seconds": "300", "OMP_NUM_THREADS": "1", "COLUMNS": "200",
        }  # fmt: skip

    def start(self, *argv, faults: str = "", slots: int = 1, **environment: str) -> subprocess.Popen:
        """Start a command in the row's folder; the first one is shown in the table."""
        environment = self.environment(faults, slots) | environment
        argv = [str(part) for part in argv]
        self.shown = self.shown or " ".join([Path(argv[0]).name, *argv[1:]]) + (f"  [{faults}]" if faults else "")
        log = self.folder / f"log-{self.began}"
        with open(f"{log}.out", "w") as out, open(f"{log}.err", "w") as err:
            return subprocess.Popen(
                [sys.executable, *argv], stdout=out, stderr=err, cwd=self.folder, env=environment,
                start_new_session=True,
            )  # fmt: skip

    def wait(self, process: subprocess.Popen) -> Done:
        """The end of the command that was started last."""
        try:
            process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            self.problems.append(f"did not end in {LIMIT_S} s")
        log = self.folder / f"log-{self.began}"
        return Done(process.returncode, Path(f"{log}.out").read_text(), Path(f"{log}.err").read_text())

    def run(self, *argv, faults: str = "", **settings) -> Done:
        """Run a command to its end."""
        return self.wait(self.start(*argv, faults=faults, **settings))

    def happened(self, mark: str, process: subprocess.Popen) -> int:
        """Wait for an action of the process; -> the id of the process that did it, 0 if it does not happen."""
        deadline = time.monotonic() + LIMIT_S
        while process.poll() is None and time.monotonic() < deadline:
            if (self.marks / mark).exists() and (text := (self.marks / mark).read_text()):
                return int(text)
            time.sleep(0.01)
        self.problems.append(f"the fault {mark} did not happen")
        return 0

    def go(self) -> None:
        """Let a process go on that waits."""
        (self.marks / "go").touch()

    def processes(self) -> list[int]:
        """Ray's processes that this row has started: those that write into its logs."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if any(os.readlink(file).startswith(self.ray) for file in (process / "fd").iterdir()):
                    found.append(int(process.name))
            except OSError:
                continue
        return found

    def check_orphans(self) -> None:
        """All of Ray's processes leave."""
        deadline = time.monotonic() + ORPHANS_S
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.5)
        self.want(not left, f"{len(left)} processes of Ray left: {', '.join(map(_title, left))[:200]}")

    def count(self) -> Counter:
        """Units of work done by all commands so far."""
        file = self.marks / "count"
        return Counter(file.read_text()) if file.exists() else Counter()


def _title(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text().split("\0")[0][-60:]
    except OSError:
        return "gone"


def jobs_of(storage: Path) -> dict[str, tuple[str, dict]]:
    """{name of the run: (status, {metric: [(step, value), ...]})} of an MLflow store, clocks left out."""
    with sqlite3.connect(f"file:{storage / 'mlflow.db'}?mode=ro", uri=True, timeout=30) as store:
        query = "select r.run_uuid, t.value, r.status from runs r join tags t using (run_uuid) where t.key = 'rrm.name'"
        runs = store.execute(query).fetchall()
        found = {}
        for identity, name, status in runs:
            query = "select key, step, value from metrics where run_uuid = ? order by key, step"
            points: dict = {}
            for key, step, value in store.execute(query, (identity,)):
                if not CLOCKS.search(key):
                    points.setdefault(key, []).append((step, value))
            if name in found:
                name += " (twice)"
            found[name] = (status, points)
    return found


@cache
def jobs_of_unbroken(storage: Path) -> dict[str, tuple[str, dict]]:
    """`jobs_of` as they were first: one row carries on with what is finished, while others compare with it."""
    return jobs_of(storage)


def records(folder: Path) -> dict:
    """What a sweep has found, without clocks and places."""

    def plain(value):
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items() if k not in ("seconds", "checkpoint")}
        return [plain(item) for item in value] if isinstance(value, list) else value

    return {name: plain(json.loads((folder / f"{name}.json").read_text())) for name in ("trials", "scores")}


def results(folder: Path) -> dict[str, bytes]:
    """The result files of a sweep or study, the names of its own run and store replaced."""
    found = {}
    for path in sorted([*folder.glob("lyapunov/*.safetensors"), *folder.glob("*.safetensors")]):
        content = path.read_bytes()
        size = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:size])
        described = json.loads(header["__metadata__"]["rrm"])
        for name in ("sweep_run", "tracking_uri"):
            described["provenance"].pop(name, None)
        header["__metadata__"] = described
        found[path.name] = json.dumps(header, sort_keys=True).encode() + content[size:]
    return found


def compare(row: Row, storage: Path, name: str, whole: Path) -> None:
    """The job `name` in `storage` against that of the unbroken run in `whole`."""
    mine, other = storage / name, whole / name
    if (other / "trials.json").exists():
        row.want((mine / "trials.json").exists() and records(mine) == records(other), "other trials or scores")
    row.want(results(mine) == results(other), "other result files")
    drawn = {path.name for path in (other / "figures").iterdir()}
    row.want({path.name for path in (mine / "figures").iterdir()} == drawn, "other figures")
    runs, unbroken = jobs_of(storage), jobs_of_unbroken(whole)
    row.want(runs.keys() == unbroken.keys(), f"runs {sorted(runs)}, not {sorted(unbroken)}")
    for run in runs.keys() & unbroken.keys():
        row.want(runs[run][0] == unbroken[run][0], f"{run} is {runs[run][0]}")
        for metric in runs[run][1].keys() | unbroken[run][1].keys():
            points = [found[run][1].get(metric, []) for found in (runs, unbroken)]
            row.want(points[0] == points[1], f"{run}: {metric} has points {points[0]}, not {points[1]}"[:200])


def lost_work(row: Row, whole: Counter) -> str:
    """How much work was done more often than in an unbroken run."""
    more: dict[str, int] = {}
    counted = row.count()
    for letter, name in WORK.items():
        more[name] = more.get(name, 0) + counted[letter] - whole[letter]
    row.want(min(more.values()) >= 0, f"less work than in an unbroken run: {more}")
    return ", ".join(f"{number} {name}" for name, number in more.items() if number) or "nothing"


class Table:
    """What the rows share: the clone, the tiny sweep, and the unbroken runs that they are compared with."""

    def __init__(self, work: Path):
        self.work = work
        self.tree = work / "tree"
        subprocess.run(["git", "clone", "-q", str(REPOSITORY), str(self.tree)], check=True)
        self.sweep_file = work / "tiny_sweep.py"
        self.sweep_file.write_text(SPEC.format(path=str(self.tree / "tune_specs" / "perturb_sweep.py")))
        self._lock = threading.RLock()

    @property
    def commit(self) -> str:
        asked = ["git", "-C", str(self.tree), "log", "-1", "--format=%h %ci"]
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()

    def sweep(self, row: Row, *options) -> list:
        """The tiny sweep in the row's folder."""
        return [self.sweep_file, "--storage", row.folder / "runs", "--name", "job", *options]

    def study(self, row: Row, *options) -> list:
        """A tiny stability study in the row's folder."""
        script, files = self.tree / "analysis" / "lyapunov.py", self.files
        named = ["--checkpoint", files / "checkpoint", "--data", files / "puzzles.npz", "--k", "2"]
        return [script, *named, "--storage", row.folder / "runs", "--name", "job", *options]

    def unbroken(self, command, name: str, *options, **settings) -> tuple[Path, Counter]:
        """(storage, work) of a job that nothing happens to."""
        row = Row(name, self.work, self)
        done = row.run(*command(row, *options), **settings)
        if done.code:
            raise SystemExit(f"the unbroken {name} failed:\n{done.err}")
        print(f"{name}: {done.out.strip().splitlines()[-1]}", flush=True)
        jobs_of_unbroken(row.folder / "runs")
        return row.folder / "runs", row.count()

    def timed(self, command, name: str, *options, **settings) -> tuple[Path, Counter, float]:
        """`unbroken`, and the seconds it took."""
        began = time.monotonic()
        return *self.unbroken(command, name, *options, **settings), time.monotonic() - began

    def _once(self, key: str, make):
        with self._lock:
            if key not in self.__dict__:
                self.__dict__[key] = make()
            return self.__dict__[key]

    @property
    def whole_sweep(self) -> tuple[Path, Counter, float]:
        """(storage, work, seconds)."""
        return self._once("_sweep", lambda: self.timed(self.sweep, "whole-sweep"))

    @property
    def whole_ddp(self) -> tuple[Path, Counter, float]:
        """(storage, work, seconds)."""
        return self._once("_ddp", lambda: self.timed(self.sweep, "whole-ddp", *DDP, slots=2))

    @property
    def whole_study(self) -> tuple[Path, Counter, float]:
        """(storage, work, seconds)."""
        return self._once("_study", lambda: self.timed(self.study, "whole-study"))

    @property
    def files(self) -> Path:
        """A checkpoint of an untrained model, and puzzles."""
        return self._once("_files", self._make_files)

    def _make_files(self) -> Path:
        import torch

        from rrm.models import build, describe, variant
        from rrm.tasks import get_task
        from rrm.training.checkpoint import save_tensors, write_meta

        folder = self.work / "files"
        (folder / "checkpoint").mkdir(parents=True)
        torch.manual_seed(0)
        model = build(variant("trm_mlp", vocab_size=6, seq_len=16, hidden_size=16, H_cycles=1, L_cycles=1)).eval()
        save_tensors(model.state_dict(), folder / "checkpoint" / "best.safetensors")
        write_meta(
            folder / "checkpoint", {w: {"model": describe(model), "segments": 4, "step": 1} for w in ("best", "final")}
        )
        get_task("sudoku-4x4").generate(200, seed=0).save(folder / "puzzles.npz")
        return folder


ROWS: dict[str, tuple[str, object]] = {}


def fault(name: str, words: str, *arguments):
    """Register a row: a function of it (and `arguments`) that provokes the fault and notes what is wrong."""

    def register(function):
        ROWS[name] = (words, lambda row: function(row, *arguments))
        return function

    return register


def carry_on(row: Row, command, whole: tuple, *options, **settings) -> Done:
    """Resume the row's job and compare it with the unbroken one."""
    done = row.run(*command(row, *options, "--resume"), **settings)
    row.want(done.code == 0, f"--resume: {done.sees}")
    if done.code == 0:
        compare(row, row.folder / "runs", "job", whole[0])
        row.lost = lost_work(row, whole[1])
    row.check_orphans()
    return done


def expect(row: Row, done: Done, code: int, line: str = "", lines: int = 1) -> None:
    """The exit code, and one line on stderr that matches."""
    row.sees = done.sees
    row.want(done.code == code, f"exit code {done.code}, not {code}")
    said = [text for text in done.err.splitlines() if text.strip()]
    if line:
        row.want(any(re.search(line, text) for text in said + done.out.splitlines()), f"nobody said {line!r}")
        row.want(len(said) <= lines, f"{len(said)} lines on stderr")


def said(done: Done, words: str) -> str:
    """The line of the output with these words."""
    line = next((line for line in done.out.splitlines() if words in line), "nothing")
    return f"{line[-110:]} [{done.code}]"


PLACES = {"train": "train:3", "score": "score:3", "analysis": "shard:1"}


def interrupted(row: Row, signal_name: str, place: str, command: str) -> None:
    command = getattr(row.table, command)
    whole = row.table.whole_sweep if command == row.table.sweep else row.table.whole_study
    done = row.run(*command(row), faults=f"{signal_name}@{place}")
    if signal_name == "KILL":
        expect(row, done, -signal.SIGKILL)
    else:
        expect(row, done, 130, INTERRUPTED)
        running = [name for name, (status, _) in jobs_of(row.folder / "runs").items() if status == "RUNNING"]
        row.want(not running, f"still RUNNING when interrupted: {running}")
    carry_on(row, command, whole)


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
    """A signal at a moment that nobody chose, from the start of Python to the last line."""
    chosen, table = random.Random(number), row.table
    command, whole = chosen.choice(((table.sweep, table.whole_sweep), (table.study, table.whole_study)))
    kind = chosen.choice((signal.SIGINT, signal.SIGTERM, signal.SIGKILL))
    driver = row.start(*command(row))
    with suppress(subprocess.TimeoutExpired):
        driver.wait(chosen.random() * whole[2])
    driver.send_signal(kind)  # nothing happens where it has ended
    done = row.wait(driver)
    row.shown += f"  [{kind.name}]"
    row.sees = done.sees
    begun = (row.folder / "runs" / "job").exists()
    row.want(done.code in (0, 130, -kind), f"exit code {done.code}")
    if begun and done.code:
        expect(row, done, *((-signal.SIGKILL,) if kind == signal.SIGKILL else (130, INTERRUPTED)))
    again = row.run(*command(row), *["--resume"] * begun)
    row.want(again.code == 0, f"the same command then: {again.sees}")
    compare(row, row.folder / "runs", "job", whole[0])
    row.lost = lost_work(row, whole[1])
    row.check_orphans()


@fault("kill-twice", "SIGKILL to the driver, and to the resumed one")
def kill_twice(row: Row) -> None:
    expect(row, row.run(*row.table.sweep(row), faults="KILL@train:2"), -9)
    row.run(*row.table.sweep(row, "--resume"), faults="KILL@shard:1")
    carry_on(row, row.table.sweep, row.table.whole_sweep)


@fault("asha-history", "SIGKILL after ASHA has stopped a trial")
def asha_history(row: Row) -> None:
    """The last trial of the search is stopped by what the ones before it did, which a fresh scheduler knows not."""
    trials = json.loads((row.table.whole_sweep[0] / "job" / "trials.json").read_text())["searched"]
    stopped = [number for number, trial in enumerate(trials) if trial["stopped_early"]]
    row.want(stopped and stopped[-1] == len(trials) - 1, f"the unbroken sweep stops {stopped}, not its last trial")
    reports = sum(trial["evaluation"] for trial in trials[:-1])
    expect(row, row.run(*row.table.sweep(row), faults=f"KILL@train:{reports}"), -9)
    carry_on(row, row.table.sweep, row.table.whole_sweep)


@fault("tune-worker-kill", "SIGKILL to the worker that trains a trial", "KILL@step:6", "sweep")
@fault("scoring-worker-kill", "SIGKILL to a worker that scores", "KILL@scoring:2", "sweep")
@fault("analysis-worker-kill", "SIGKILL to a worker of a sweep's analysis", "KILL@measuring:1", "sweep")
@fault("study-worker-kill", "SIGKILL to a worker of a study", "KILL@measuring:2", "study")
@fault("clock-forward", "the clock jumps a day ahead", "clock=1@train:2", "sweep")
@fault("clock-back", "the clock jumps a day back", "clock=-1@train:2", "sweep")
def unharmed(row: Row, faults: str, command: str) -> None:
    """The command ends as if nothing had happened."""
    command = getattr(row.table, command)
    whole = row.table.whole_sweep if command == row.table.sweep else row.table.whole_study
    expect(row, row.run(*command(row), faults=faults), 0)
    row.want((row.marks / faults).exists(), "the fault did not happen")
    compare(row, row.folder / "runs", "job", whole[0])
    row.lost = lost_work(row, whole[1])
    row.check_orphans()


@fault("clock-back-kill", "the clock jumps a day back, then SIGKILL")
def clock_back_kill(row: Row) -> None:
    expect(row, row.run(*row.table.sweep(row), faults="clock=-1@train:1 KILL@train:5"), -9)
    carry_on(row, row.table.sweep, row.table.whole_sweep)


@fault("raylet-kill", "SIGKILL to Ray's raylet")
def raylet_kill(row: Row) -> None:
    driver = row.start(*row.table.sweep(row), faults="mark@train:2")
    row.happened("mark@train:2", driver)
    for process in row.processes():
        if _title(process).endswith("raylet/raylet"):
            os.kill(process, signal.SIGKILL)
    done = row.wait(driver)
    expect(row, done, 1, "the same .* with --resume carries on", lines=9)  # Ray says its own
    row.sees = said(done, "--resume carries on")
    carry_on(row, row.table.sweep, row.table.whole_sweep)


@fault("disk-full", "the disk is full, then has room again")
def disk_full(row: Row) -> None:
    """A small tmpfs, which root may mount."""
    runs = row.folder / "runs"
    runs.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(runs)], check=True)
    try:
        done = row.run(*row.table.sweep(row))
        expect(row, done, 2, "no space left for --storage", lines=3)  # the tracking store says its own
        subprocess.run(["mount", "-o", "remount,size=200m", str(runs)], check=True)
        carry_on(row, row.table.sweep, row.table.whole_sweep)
    finally:
        subprocess.run(["umount", "-l", str(runs)], check=True)


@fault("two-drivers", "a second driver in the same folder")
def two_drivers(row: Row) -> None:
    first = row.start(*row.table.sweep(row), faults="wait@train:2")
    row.happened("wait@train:2", first)
    for options, line in (((), "already holds a sweep"), (("--resume",), "is in use by another driver")):
        expect(row, row.run(*row.table.sweep(row, *options), faults="none@nowhere:0"), 2, line)
    row.go()
    row.began = 1
    row.want(row.wait(first).code == 0, "the first driver failed")
    row.began = 3
    compare(row, row.folder / "runs", "job", row.table.whole_sweep[0])
    row.lost = lost_work(row, row.table.whole_sweep[1])
    row.check_orphans()


@fault("tracking-gone", "the tracking server goes away for a while")
def tracking_gone(row: Row) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    (row.folder / "runs").mkdir(parents=True)
    store = f"sqlite:///{row.folder / 'runs' / 'mlflow.db'}"

    def serve() -> subprocess.Popen:
        served = [Path(sys.executable).parent / "mlflow", "server", "--backend-store-uri", store, "--port", port]
        log = open(row.folder / "server.log", "a")
        server = subprocess.Popen(
            [*map(str, served), "--workers", "1", "--artifacts-destination", str(row.folder / "artifacts")],
            stdout=log, stderr=log, start_new_session=True, cwd=row.folder,
        )  # fmt: skip
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and socket.socket().connect_ex(("127.0.0.1", int(port))):
            time.sleep(0.2)
        return server

    server = serve()
    driver = row.start(*row.table.sweep(row, "--tracking-uri", f"http://127.0.0.1:{port}"), faults="wait@train:2")
    row.happened("wait@train:2", driver)
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()
    row.go()
    time.sleep(15)
    server = serve()
    try:
        expect(row, row.wait(driver), 0)
        compare(row, row.folder / "runs", "job", row.table.whole_sweep[0])
        row.lost = lost_work(row, row.table.whole_sweep[1])
        row.check_orphans()
    finally:
        os.killpg(server.pid, signal.SIGTERM)


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
    runs = jobs_of(row.folder / "runs")
    row.want(runs["trial-001"][0] == "FAILED", f"trial-001 is {runs['trial-001'][0]}")
    attempts = (row.folder / "runs" / "job" / "tune" / "trial-001" / "error.txt").read_text().count("Failure #")
    row.want(attempts == 2, f"{attempts} attempts at trial-001")
    rest = {name: status for name, (status, _) in runs.items() if name != "trial-001"}
    row.want(set(rest.values()) == {"FINISHED"} and len(rest) >= 6, f"the others are {rest}")
    others = [t for t in records(row.folder / "runs" / "job")["trials"]["searched"] if t["name"] == "trial-000"]
    whole = records(row.table.whole_sweep[0] / "job")["trials"]["searched"]
    row.want(others == whole[:1], "the trial before it changed")
    row.lost = "trial-001"
    row.check_orphans()


@fault("out-of-memory", "out of memory in the analysis")
def out_of_memory(row: Row) -> None:
    """Batches above 8 do not fit: the study halves them and says so; the exponents stay, their rounding may differ."""
    import numpy as np

    from rrm.dynamics import load_result

    done = row.run(*row.table.study(row), faults="memory@batch:1*")
    expect(row, done, 0, "out of memory: going on with 8 puzzles at a time")
    row.sees = said(done, "out of memory")
    mine, other = (
        load_result(s / "job" / "result.safetensors") for s in (row.folder / "runs", row.table.whole_study[0])
    )
    close = np.allclose(mine.lambda_per_call, other.lambda_per_call, atol=1e-4)
    row.want(close and np.array_equal(mine.solved, other.solved), "other exponents")
    row.want(mine.settings == replace(other.settings, batch=8), f"settings {mine.settings}")
    row.lost = "shards in hand"
    row.check_orphans()


@fault("out-of-memory-training", "out of memory in training")
def out_of_memory_in_training(row: Row) -> None:
    """The batch does not fit: every trial goes on in two parts, which draw noise of their own."""
    done = row.run(*row.table.sweep(row), faults="memory@rows:1*")
    expect(row, done, 0, "trial-000 ran out of memory: it goes on with 2 micro-batches a step")
    row.sees = said(done, "trial-000 ran out of memory")
    mine, other = (
        [(t["name"], t["failed"], t["final"]["step"] if not t["stopped_early"] else 0) for t in found["searched"][:2]]
        for found in (records(s / "job")["trials"] for s in (row.folder / "runs", row.table.whole_sweep[0]))
    )
    row.want(mine == other, f"the baselines are {mine}, not {other}")
    row.lost = "the step in hand, once"
    row.check_orphans()


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@fault("checkpoint-corrupt", "the checkpoint of a running trial is truncated")
def checkpoint_corrupt(row: Row) -> None:
    expect(row, row.run(*row.table.sweep(row), faults="KILL@train:3"), -9)
    for path in (row.folder / "runs" / "job" / "tune").glob("trial-001/checkpoint_*/training.safetensors"):
        truncate(path)
    carry_on(row, row.table.sweep, row.table.whole_sweep)


@fault("results-corrupt", "the result files from which ASHA is restored are truncated")
def results_corrupt(row: Row) -> None:
    expect(row, row.run(*row.table.sweep(row), faults="KILL@train:5"), -9)
    files = list((row.folder / "runs" / "job" / "tune").glob("trial-*/result.json"))
    row.want(files, "there are no result files")
    for path in files:
        truncate(path)
    carry_on(row, row.table.sweep, row.table.whole_sweep)


@fault("shard-corrupt", "a finished shard of spectra is truncated", "shard:2", "spectra/shard-000001.safetensors")
@fault("rows-corrupt", "a finished shard of rollouts is truncated", "rows:2", "deep/shard-000000.npz")
def shard_corrupt(row: Row, place: str, shard: str) -> None:
    expect(row, row.run(*row.table.study(row), faults=f"KILL@{place}"), -9)
    truncate(row.folder / "runs" / "job" / shard)
    done = carry_on(row, row.table.study, row.table.whole_study)
    expect(row, done, 0, Path(shard).name)
    row.sees = said(done, Path(shard).name)


@fault("tune-state-deleted", "Tune's state files are deleted", Path.unlink)
@fault("tune-state-corrupt", "Tune's state files are truncated", truncate)
def tune_state(row: Row, damage) -> None:
    expect(row, row.run(*row.table.sweep(row), faults="KILL@train:5"), -9)
    for path in (row.folder / "runs" / "job" / "tune").iterdir():
        if path.is_file():
            damage(path)
    done = carry_on(row, row.table.sweep, row.table.whole_sweep)
    row.sees = done.sees


@fault("other-arguments", "--resume with another --seed", ("--resume", "--seed", "5"), "seed = 0, not 5")
@fault("resume-finished", "--resume of what is finished", ("--resume",), "")
def on_finished(row: Row, options: tuple, line: str) -> None:
    """On a copy of the unbroken sweep, whose store and checkpoints stay where they are."""
    whole = row.table.whole_sweep[0]
    before, counted = jobs_of(whole), whole.parent / "marks" / "count"
    row.marks.mkdir(parents=True)
    done = row.run(*row.table.sweep(Row("whole-sweep", row.work, row.table), *options))
    expect(row, done, 2 if line else 0, line)
    row.want(jobs_of(whole) == before, "the runs changed")
    row.want(not row.count(), f"work was done again: {row.count()}")
    row.lost = "nothing"
    row.want(counted.exists(), "no work was counted in the unbroken run")
    row.check_orphans()


@fault("no-gpu", "--gpus without a GPU", "study", ("--gpus", "1"), "CPU and 0 GPU")
@fault("dead-address", "--address of no cluster", "sweep", ("--address", "127.0.0.1:1"), "no Ray cluster answers")
@fault("odd-workers", "a batch that DDP workers cannot share", "sweep", ("--workers-per-trial", "3"), "workers")
def refused(row: Row, command: str, options: tuple, line: str) -> None:
    """Nothing is started."""
    done = row.run(*getattr(row.table, command)(row, *options), slots=4)
    expect(row, done, 2, line)
    row.want(not (row.folder / "runs" / "job").exists(), "a folder was made")
    row.lost = "nothing"
    row.check_orphans()


DDP = ("--preset", "ddp", "--model", "trm_mlp", "--workers-per-trial", "2")


@fault("ddp-worker-kill", "SIGKILL to a DDP worker at step 50 of 100")
def ddp_worker_kill(row: Row) -> None:
    whole = row.table.whole_ddp
    began = time.monotonic()
    expect(row, row.run(*row.table.sweep(row, *DDP), faults="KILL@step:50", slots=2), 0)
    lost_s = time.monotonic() - began - whole[2]
    row.want((row.marks / "KILL@step:50").exists(), "the fault did not happen")
    row.lost = f"{lost_work(row, whole[1])} of both workers, {lost_s:.0f} s"
    compare_weights(row, whole[0])
    compare(row, row.folder / "runs", "job", whole[0])
    row.check_orphans()


@fault("ddp-node-removed", "a node of a DDP trial goes at step 50 of 100 and does not come back")
def ddp_node_removed(row: Row) -> None:
    """The node that is left trains for both, in two parts."""
    whole, fault = row.table.whole_ddp, "wait@step:50"
    with nodes_of_one_cpu(row, 2, fault) as (nodes, address):
        driver = row.start(*row.table.sweep(row, "--address", address, *DDP), faults=fault, **CLUSTER)
        print(row.happened(fault, driver), file=nodes.stdin, flush=True)
        row.want(nodes.stdout.readline().strip() == "removed", "no node was removed")
        expect(row, row.wait(driver), 0)
    row.lost = "the work since the last checkpoint"
    compare_weights(row, whole[0])
    parts = [point for _, point in jobs_of(row.folder / "runs")["trial-000"][1]["train/micro_batches"]]
    row.want((parts[0], parts[-1], len(parts)) == (1, 2, 10), f"micro-batches {parts}")
    row.check_orphans()


def compare_weights(row: Row, whole: Path) -> None:
    """Weights and optimizer of the first trial against the unbroken run's, to float32 rounding."""
    import torch

    from rrm.training.checkpoint import load_tensors

    def weights(job: Path, name: str):
        first = json.loads((job / "trials.json").read_text())["searched"][0]
        return load_tensors(job / first["checkpoint"] / f"{name}.safetensors")

    for name in ("final", "training"):
        mine, other = (weights(storage / "job", name) for storage in (row.folder / "runs", whole))
        most = max(float((mine[key].double() - other[key].double()).abs().max()) for key in other)
        same = all(torch.equal(mine[key], other[key]) for key in other)
        row.want(most < 1e-6, f"{name} weights differ by {most:.1e}")
        row.sees += f", {name} weights {'the same' if same else f'to {most:.1e}'}"


@fault("nodes-removed", "a node of three goes in mid-trial, another in the analysis")
def nodes_removed(row: Row) -> None:
    """One node has to do the rest. Everything runs at once, so no trial may be stopped by what others did first."""
    whole, options = Row("whole-nodes", row.work, row.table), ("--trials", "3", "--objectives", "accuracy", "calls")
    with nodes_of_one_cpu(whole, 3) as (_, address):
        options += ("--address", address)
        row.want(whole.run(*row.table.sweep(whole, *options), **CLUSTER).code == 0, "the unbroken run failed")
    faults = "wait@step:3 wait@measuring:1"
    with nodes_of_one_cpu(row, 3, faults) as (nodes, address):
        options = (*options[:-1], address)
        driver = row.start(*row.table.sweep(row, *options), faults=faults, **CLUSTER)
        for place in faults.split():
            print(row.happened(place, driver), file=nodes.stdin, flush=True)
            row.want(nodes.stdout.readline().strip() == "removed", f"no node was removed at {place}")
        expect(row, row.wait(driver), 0)
    compare(row, row.folder / "runs", "job", whole.folder / "runs")
    row.lost = lost_work(row, whole.count())
    row.check_orphans()


@contextmanager
def nodes_of_one_cpu(row: Row, count: int, faults: str = ""):
    """A cluster in a process of its own, which removes nodes when told to, and its address."""
    nodes = subprocess.Popen(
        [sys.executable, __file__, "nodes", str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        start_new_session=True, env=row.environment(faults) | CLUSTER,
    )  # fmt: skip
    try:
        address = nodes.stdout.readline().strip()
        row.want(address, "the cluster did not start")
        yield nodes, address
    finally:
        nodes.stdin.close()
        nodes.wait(120)


# Node loss is noticed in seconds; all nodes agree about authentication.
CLUSTER = {"RAY_AUTH_MODE": "disabled", "RAY_OVERRIDE_RESOURCES": "{}", "RAY_USAGE_STATS_ENABLED": "0"}
CLUSTER |= {f"RAY_health_check_{name}_ms": "1000" for name in ("initial_delay", "period", "timeout")}
CLUSTER |= {"RAY_health_check_failure_threshold": "3"}


def serve_nodes(count: int) -> None:
    """Hold a cluster of `count` nodes of one CPU; remove the node of each process whose id comes on stdin."""
    from ray.cluster_utils import Cluster

    with socket.socket() as free:  # another row may have a cluster with a dashboard, too
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Ray Train finds out through the dashboard what dead nodes leave behind.
    head = {"num_cpus": 0, "include_dashboard": True, "dashboard_port": port}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    nodes = [cluster.add_node(num_cpus=1) for _ in range(count)]
    cluster.wait_for_nodes()
    print(cluster.address, flush=True)
    for line in sys.stdin:
        parent = int(Path(f"/proc/{int(line)}/stat").read_text().rpartition(")")[2].split()[1])
        (node,) = [node for node in nodes if node.all_processes["raylet"][0].process.pid == parent]
        nodes.remove(node)
        cluster.remove_node(node, allow_graceful=False)
        print("removed", flush=True)
    cluster.shutdown()


def provoke(name: str, table: Table) -> Row:
    """Run one row; what the harness itself trips over is a problem of the row."""
    words, function = ROWS[name]
    row = Row(name, table.work, table)
    began = time.monotonic()
    try:
        function(row)
    except Exception as error:
        row.problems.append(f"{type(error).__name__}: {error}"[:300])
    row.seconds = time.monotonic() - began
    verdict = "ok" if not row.problems else "NOT as it should be"
    print(
        f"{time.strftime('%H:%M:%S')} {name}: {verdict}, {row.seconds:.0f} s; {row.sees}; lost: {row.lost}", flush=True
    )
    for problem in row.problems:
        print(f"    {problem}", flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=ROWS, metavar="NAME", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--jobs", type=int, default=1, help="rows at a time (default: %(default)s)")
    parser.add_argument("--moments", type=int, default=0, metavar="N",
                        help="N more rows: signals at moments drawn at random")  # fmt: skip
    parser.add_argument("--keep", action="store_true", help="keep the folders of the runs")
    args = parser.parse_args()
    names, first = list(ROWS) if args.only is None else args.only, random.SystemRandom().randrange(10**6)
    for number in range(first, first + args.moments):
        names.append(f"moment-{number}")
        fault(names[-1], "a signal at any moment", number)(at_any_moment)
    work = Path(tempfile.mkdtemp(prefix="ft-"))
    table, began = Table(work), time.monotonic()
    print(f"commit {table.commit}, {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}, in {work}", flush=True)
    try:
        with ThreadPoolExecutor(args.jobs) as pool:
            rows = list(pool.map(lambda name: provoke(name, table), names))
    finally:
        if not args.keep:
            shutil.rmtree(work, ignore_errors=True)
    print("\n| fault | command | what the user sees [exit code] | done twice | as it should be? | s |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        shown = re.sub(rf"{work}/[^ ]*/|{work}/", "", row.shown)
        verdict = "yes" if not row.problems else "NO: " + "; ".join(row.problems)
        cells = (f"{ROWS[row.name][0]} ({row.name})", f"`{shown}`", row.sees, row.lost, verdict, f"{row.seconds:.0f}")
        print("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    good = sum(not row.problems for row in rows)
    print(f"\n{good} of {len(rows)} as they should be, {time.monotonic() - began:.0f} s")
    sys.exit(good < len(rows))


if __name__ == "__main__":
    if sys.argv[1:2] == ["nodes"]:
        serve_nodes(int(sys.argv[2]))
    else:
        main()

"""A row of the fault table: its folder, the commands that run there, and the problems that they show."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.endurance.fault_table.table import Table

LIMIT_S = 900  # a command that takes longer hangs
ORPHANS_S = 120  # how long Ray gives the processes of a killed driver to notice its end
FAULTS = "tests/endurance/faults"


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
    """One fault: its folder, the commands that ran there, and the problems that were found.

    sees: the last line that the user sees, with the exit code.  shown: the command, for the table.  lost: the work that
    was done twice.  began: the number of commands so far.
    """

    name: str
    work: Path
    table: "Table"
    sees: str = ""
    shown: str = ""
    lost: str = ""
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    began: int = 0
    number: int = field(default_factory=count().__next__)

    @property
    def folder(self) -> Path:
        return self.work / self.name

    @property
    def ray(self) -> str:
        """How the folders of this row's Rays begin: short, for the path of a socket has at most 107 bytes."""
        return str(self.work / "r" / f"{self.number}.")

    @property
    def runs(self) -> Path:
        """The storage folder of the row's jobs."""
        return self.folder / "runs"

    @property
    def marks(self) -> Path:
        """Where the faults leave a file for each action that happened."""
        return self.folder / "marks"

    def want(self, holds: object, problem: str) -> None:
        """Note the problem unless something holds."""
        if not holds:
            self.problems.append(problem)

    def environment(self, faults: str, slots: int = 1) -> dict[str, str]:
        """The variables of the next command: the code of the clone, the faults, a Ray of its own with `slots` CPUs."""
        self.began += 1
        self.marks.mkdir(parents=True, exist_ok=True)
        ray = Path(f"{self.ray}{self.began}")
        ray.mkdir(parents=True, exist_ok=True)
        return os.environ | {
            "PYTHONPATH": f"{self.table.tree / FAULTS}:{self.table.tree}", "RRM_FAULT": faults,
            "RRM_MARKS": str(self.marks), "RAY_TMPDIR": str(ray), "RAY_OVERRIDE_RESOURCES": json.dumps({"CPU": slots}),
            "RAY_worker_register_timeout_seconds": "300", "OMP_NUM_THREADS": "1", "COLUMNS": "200",
        }  # fmt: skip

    def start(self, *argv: object, faults: str = "", slots: int = 1, **environment: str) -> subprocess.Popen:
        """Start a command in the row's folder; the first one is shown in the table."""
        variables = self.environment(faults, slots) | environment
        words = [str(part) for part in argv]
        self.shown = self.shown or " ".join([Path(words[0]).name, *words[1:]]) + (f"  [{faults}]" if faults else "")
        log = self.folder / f"log-{self.began}"
        with open(f"{log}.out", "w") as out, open(f"{log}.err", "w") as err:
            return subprocess.Popen(
                [sys.executable, *words], stdout=out, stderr=err, cwd=self.folder, env=variables,
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

    def run(self, *argv: object, faults: str = "", **settings: Any) -> Done:
        """Run a command to its end."""
        return self.wait(self.start(*argv, faults=faults, **settings))

    def happened(self, mark: str, process: subprocess.Popen) -> int:
        """Wait until the file of an action is there; -> the id of the process that did it, 0 if none does."""
        deadline = time.monotonic() + LIMIT_S
        while process.poll() is None and time.monotonic() < deadline:
            if (self.marks / mark).exists() and (text := (self.marks / mark).read_text()):
                return int(text)
            time.sleep(0.01)
        self.problems.append(f"the fault {mark} did not happen")
        return 0

    def go(self) -> None:
        """Release a process that stands at the action `wait`."""
        (self.marks / "go").touch()

    def processes(self) -> list[int]:
        """Ray's processes that this row has started: each of them holds a log in the row's folder open."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if any(os.readlink(file).startswith(self.ray) for file in (process / "fd").iterdir()):
                    found.append(int(process.name))
            except OSError:
                continue
        return found

    def check_orphans(self) -> None:
        """Note a problem where processes of Ray are left after ORPHANS_S."""
        deadline = time.monotonic() + ORPHANS_S
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.5)
        self.want(not left, f"{len(left)} processes of Ray left: {', '.join(map(title, left))[:200]}")

    def count(self) -> Counter:
        """Units of work done by all commands so far."""
        file = self.marks / "count"
        return Counter(file.read_text()) if file.exists() else Counter()


def title(process: int) -> str:
    """The end of the command of a process."""
    try:
        return Path(f"/proc/{process}/cmdline").read_text().split("\0")[0][-60:]
    except OSError:
        return "gone"

"""Runs stages one after the other, each in a process of its own with a time limit, and keeps what they found.

A stage that overruns, dies or breaks its device leaves the others alone. The file of results is written again with
every row, so that it is whole whenever the check is ended.
"""

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rrm.errors import InputError
from rrm.files import read_object, replacing
from tests.gpu.table import table

RESULTS, TABLE = "check.json", "check.md"
FORMAT = {"format": "rrm-gpu-check", "version": 1}
# A stage gets no process for less than this, and is to be over so long before it is ended.
LEAST_S, GRACE_S = 2.0, 2.0
FINISHED, FAILED, OVER_TIME, NOT_RUN, UNFINISHED = "finished", "failed", "over time", "not run", "unfinished"


@dataclass(frozen=True)
class Stage:
    """A stage of the check.

    Attributes:
        name: of the stage.
        command: makes its command line from the file for its rows and the seconds that it may take.
        limit_s: seconds after which it is ended; None: all that are left.
    """

    name: str
    command: Callable[[Path, float], Sequence[str]]
    limit_s: float | None


class Results:
    """Rows by stage, in a file of JSON and a table of Markdown."""

    def __init__(self, out: Path, machine: dict[str, Any]):
        self.out, self.held = out, {**FORMAT, "machine": machine, "stages": {}}

    def resume(self) -> None:
        """Go on from the file of an earlier run.

        Raises:
            InputError: a damaged or foreign file, or one from another kind of device.
        """
        remedy = "begin again with another --out"
        path = self.out / RESULTS
        earlier = read_object(path, remedy)
        if {key: earlier.get(key) for key in FORMAT} != FORMAT or not isinstance(earlier.get("stages"), dict):
            raise InputError(f"{path}: not the results of this check; {remedy}")
        kinds = [held.get("machine", {}).get("kind") for held in (earlier, self.held)]
        if kinds[0] != kinds[1]:
            raise InputError(f"{path}: results of a {kinds[0]}, and this is a {kinds[1]}; {remedy}")
        self.held["stages"] = earlier["stages"]

    def stage(self, name: str) -> dict[str, Any]:
        return self.held["stages"].get(name, {})

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        return {name: stage["rows"] for name, stage in self.held["stages"].items()}

    def put(self, name: str, **found: Any) -> None:
        """Set fields of a stage, and write both files."""
        self.held["stages"][name] = {"rows": [], **self.stage(name), **found}
        for file, text in ((RESULTS, json.dumps(self.held, indent=1) + "\n"), (TABLE, table(self.held))):
            with replacing(self.out / file) as unfinished:
                unfinished.write_text(text, encoding="utf-8")


def run_stages(stages: Sequence[Stage], results: Results, seconds: float) -> None:
    """Run the stages that have not finished, in order, until the time is over."""
    ends = time.monotonic() + seconds
    for stage in stages:
        if results.stage(stage.name).get("status") == FINISHED:
            print(f"{stage.name}: finished before", flush=True)
            continue
        left = ends - time.monotonic()
        limit = left if stage.limit_s is None else min(stage.limit_s, left)
        if limit < LEAST_S:
            results.put(stage.name, status=NOT_RUN)
            print(f"{stage.name}: no time left", flush=True)
            continue
        print(f"{stage.name}: at most {limit:.0f} s", flush=True)
        _run(stage, results, limit)


def _run(stage: Stage, results: Results, limit: float) -> None:
    began = time.monotonic()
    # The rows of an earlier attempt stay until this one has a row.
    results.put(stage.name, status=UNFINISHED, seconds=0.0, limit_s=limit)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.jsonl"
        file.touch()
        # In a group of its own, so that the processes which compile for it end with it.
        process = subprocess.Popen(stage.command(file, max(1.0, limit - GRACE_S)), process_group=0)
        known, status = 0, UNFINISHED
        try:
            while status == UNFINISHED:
                time.sleep(0.1)
                code, seconds = process.poll(), time.monotonic() - began
                if code is not None:
                    status = FAILED if code else FINISHED
                elif seconds >= limit:
                    status = OVER_TIME
                rows = _rows(file)
                if len(rows) > known:
                    results.put(stage.name, seconds=seconds, rows=rows)
                    known = len(rows)
        finally:
            _end(process)
    results.put(stage.name, status=status, seconds=seconds)
    print(f"{stage.name}: {status} after {seconds:.0f} s", flush=True)


def _rows(file: Path) -> list[dict[str, Any]]:
    """The rows that are whole."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines(keepends=True) if line[-1] == "\n"]


def _end(process: subprocess.Popen) -> None:
    """End a process and all that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()

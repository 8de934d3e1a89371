"""The rows of the table by name, and the checks that most of them make."""

import re
from collections.abc import Callable

from tests.endurance.fault_table.comparison import compare, lost_work
from tests.endurance.fault_table.row import Done, Row

INTERRUPTED = "interrupted: the same command with --resume carries on"
ROWS: dict[str, tuple[str, Callable[[Row], None]]] = {}


def fault(name: str, words: str, *arguments: object) -> Callable[[Callable], Callable]:
    """Register a row: its name, the fault in words, and a function of the row and `arguments` that provokes it."""

    def register(function: Callable) -> Callable:
        ROWS[name] = (words, lambda row: function(row, *arguments))
        return function

    return register


def carry_on(row: Row, kind: str) -> Done:
    """Resume the row's job, a "sweep" or a "study", and compare it with the unbroken one."""
    command, whole = row.table.job(kind)
    done = row.run(*command(row, "--resume"))
    row.want(done.code == 0, f"--resume: {done.sees}")
    if done.code == 0:
        compare(row, whole.storage)
        row.lost = lost_work(row, whole.work)
    row.check_orphans()
    return done


def expect(row: Row, done: Done, code: int, line: str = "", lines: int = 1) -> None:
    """Check the exit code, and that the line was said among at most `lines` on stderr."""
    row.sees = done.sees
    row.want(done.code == code, f"exit code {done.code}, not {code}")
    said = [text for text in done.err.splitlines() if text.strip()]
    if line:
        row.want(any(re.search(line, text) for text in said + done.out.splitlines()), f"nobody said {line!r}")
        row.want(len(said) <= lines, f"{len(said)} lines on stderr")


def said(done: Done, words: str) -> str:
    """The end of the first line of the output with these words, with the exit code."""
    line = next((line for line in done.out.splitlines() if words in line), "nothing")
    return f"{line[-110:]} [{done.code}]"

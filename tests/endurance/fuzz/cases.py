"""Cases of a reader, each judged in a child process with little memory."""

import multiprocessing
import os
import random
import re
import resource
import shutil
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch

from rrm.errors import InputError
from tests.endurance.fuzz.damage import DAMAGE
from tests.endurance.fuzz.readers import READERS

ROOM = 512 << 20  # bytes of memory that a child may take beyond its start
PATIENCE = 20.0  # seconds of CPU for a case
LONGEST_LINE = 700  # characters of a refusal
OUT_OF_MEMORY = re.compile(r"MemoryError|allocat|memory", re.IGNORECASE)


def write_case(name: str, seed: int, number: int, whole: Path, folder: Path) -> None:
    """Copy the whole files of a reader to `folder`, one of them damaged."""
    rng = random.Random(f"{seed}/{name}/{number}")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    suffix = READERS[name][2]
    paths = sorted(path for path in folder.rglob("*") if path.suffix in DAMAGE and suffix in (None, path.suffix))
    contents = [path.read_bytes() for path in paths]
    chosen = rng.randrange(len(paths))
    paths[chosen].write_bytes(DAMAGE[paths[chosen].suffix](rng, contents[chosen], contents))


def judge(name: str, folder: Path) -> tuple[str, str]:
    """-> (outcome, message) of one case: "accepted", "refused" or "crash"."""
    try:
        READERS[name][1](folder)
    except InputError as error:
        line = str(error)
        clear = "\n" not in line and len(line) < LONGEST_LINE + len(str(folder)) and str(folder) in line
        if "accepted puzzle" in line or OUT_OF_MEMORY.search(line.replace(str(folder), "")):
            return "crash", line
        return ("refused", line) if clear else ("crash", f"not one clear line that names the file: {line!r:.1000}")
    except BaseException:
        return "crash", traceback.format_exc(limit=-4)
    return "accepted", ""


def child(pipe, name: str, seed: int, numbers: range, whole: Path, folder: Path) -> None:
    """Judge cases one after the other; each is announced before it begins."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    torch.set_num_threads(1)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in numbers:
        pipe.send((number, "begins", "", 0))
        write_case(name, seed, number, whole, folder)
        peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        pipe.send((number, *judge(name, folder), peak))
    pipe.close()


def _answers(pipe, pid: int) -> bool:
    """Wait for a message of the child; False after PATIENCE seconds of its CPU, or ten times as long of sleep."""
    began, naps = _cpu_seconds(pid), 0
    while not pipe.poll(1):
        naps += 1
        if _cpu_seconds(pid) - began > PATIENCE or naps > 10 * PATIENCE:
            return False
    return True


def _cpu_seconds(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def fuzz(name: str, inputs: int, seed: int = 0, show: Callable[[str], None] = print) -> tuple[Counter, float]:
    """Outcomes of `inputs` cases of one reader, and the peak of memory in MB beyond the start of a child."""
    outcomes, peak, first = Counter(), 0.0, 0
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        whole, folder = Path(scratch) / "whole", Path(scratch) / "case"
        whole.mkdir()
        READERS[name][0](whole)
        READERS[name][1](whole)  # undamaged files are accepted
        while first < inputs:
            ours, theirs = context.Pipe(duplex=False)
            worker = context.Process(target=child, args=(theirs, name, seed, range(first, inputs), whole, folder))
            worker.start()
            theirs.close()
            current = first
            try:
                while _answers(ours, worker.pid):
                    current, outcome, text, memory = ours.recv()
                    peak = max(peak, memory)
                    if outcome == "begins":
                        continue
                    outcomes[outcome] += 1
                    first = current + 1
                    if outcome == "crash":
                        show(f"{name} case {current}: {text}")
                else:
                    outcomes["hang"] += 1
                    show(f"{name} case {current}: no answer in {PATIENCE:g} s")
                    first = current + 1
            except EOFError:
                if first < inputs:
                    outcomes["crash"] += 1
                    show(f"{name} case {current}: the process died")
                    first = current + 1
            worker.kill()
            worker.join()
    return outcomes, peak

"""One process that runs a tiny sweep again and again: what does it keep?

    python tests/soak.py [--only N]

Prints memory, open files, threads and Ray processes after every run (default: 20). Exit code 1 where the last run
leaves more files, threads or processes than the first one, or more memory than the growth of a warm process explains.
All runs share one Ray: each start of Ray leaves a socket and a thread of its own in the process, whoever asks for it.
"""

import argparse
import contextlib
import ctypes
import gc
import io
import os
import runpy
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

from rrm.cluster.command import run_command
from rrm.cluster.session import ray_session
from rrm.cluster.spec import Preset

SPEC_FILE = Path(__file__).resolve().parents[1] / "tune_specs" / "perturb_sweep.py"
TINY = Preset(
    trials=2, seeds=1, steps=4, evaluations=2, task="sudoku-4x4", givens=(7, 9), train=64, validation=8, test=20
)
MB_PER_RUN = 2.0  # caches of sqlite, numpy and matplotlib fill up slowly; a leaked model or result would be more


def held() -> dict[str, float]:
    """What this process holds now, what can be given back given back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    # A thread of the process counts as long as the kernel knows it, whoever started it; but gRPC adds threads to a pool
    # of its own when all of them are busy.
    names = [thread.read_text().strip() for thread in Path("/proc/self/task").glob("*/comm")]
    return {
        "memory_mb": pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        "files": len(os.listdir("/proc/self/fd")),
        "threads": sum(name != "event_engine" for name in names),
        "python_threads": threading.active_count(),
        "processes": len(descendants(os.getpid())),
    }


def descendants(process: int) -> list[int]:
    """The processes that a process and its children started and that are still there."""
    parents = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
    found = [child for child, parent in parents.items() if parent == process]
    return found + [more for child in found for more in descendants(child)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=int, default=20, metavar="N", help="runs (default: %(default)s)")
    args = parser.parse_args()
    spec = replace(runpy.run_path(str(SPEC_FILE))["SPEC"], models=("trm_mlp",), presets={"default": TINY})
    rows = []
    with tempfile.TemporaryDirectory(prefix="soak-") as storage, ray_session(None, 1, False):
        for number in range(1, args.only + 1):
            began = time.monotonic()
            with contextlib.redirect_stdout(io.StringIO()):
                run_command(spec, "", ["--storage", storage, "--name", f"sweep-{number}"])
            seconds = time.monotonic() - began
            rows.append(held())
            if number == 1:
                print("run  " + "  ".join(rows[0]) + "  seconds")
            shown = "  ".join(f"{value:>{len(name)}.0f}" for name, value in rows[-1].items())
            print(f"{number:>3}  {shown}  {seconds:>7.1f}", flush=True)
    first, last = rows[0], rows[-1]
    grown = [name for name in first if name != "memory_mb" and last[name] > first[name]]
    per_run = (last["memory_mb"] - first["memory_mb"]) / max(1, len(rows) - 1)
    print(f"memory grows by {per_run:.2f} MB a run")
    grown += ["memory_mb"] if per_run > MB_PER_RUN else []
    grown += ["processes when Ray has ended"] if descendants(os.getpid()) else []
    if grown:
        print(f"more after the last run than after the first: {', '.join(grown)}")
    sys.exit(bool(grown))


if __name__ == "__main__":
    main()

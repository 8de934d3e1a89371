"""One process runs the smoke sweep again and again: does it keep memory, files, threads or processes?

    python -m tests.endurance.soak [--only N]

After every run (default: 20, of about a minute) it prints the memory of the process, the bytes that malloc has handed
out, the blocks that Python holds, open files, threads and Ray processes. Bytes and blocks tell a leak from pages that
are nearly empty. The exit code is 1 where the last run leaves more than the first one: files, threads and processes
are compared exactly, memory within the share that caches of fixed size take. All runs share one Ray, because each start
of Ray leaves a socket and a thread in the process that asks for it.
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
from pathlib import Path

from mlflow.tracking._tracking_service.utils import _artifact_repos_cache
from ray._raylet import has_async_methods
from ray.actor import _ActorClassMethodMetadata
from ray.util.debug import reset_log_once

from rrm.cluster.session import ray_session
from rrm.commands.sweep import run_command

SPEC_FILE = Path(__file__).resolve().parents[2] / "tune_specs" / "perturb_sweep.py"
MORE = {"memory_mb": 0.01, "malloc_mb": 0.01, "blocks": 0.005}  # a model or a result a run would be more of each


class MallInfo(ctypes.Structure):
    """glibc's account of what malloc has handed out."""

    _fields_ = [(name, ctypes.c_size_t) for name in
                "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]  # fmt: skip


def held() -> dict[str, float]:
    """What this process holds now, what can be given back given back."""
    # Until it ends Ray keeps the class of every actor, and Tune makes a new one for each search; Ray remembers every
    # message that it logs only once, and Tune words a new one for each checkpoint; MLflow keeps where the last 1,024
    # runs put their files.
    _ActorClassMethodMetadata.reset_cache()
    has_async_methods.cache_clear()
    reset_log_once()
    _artifact_repos_cache.clear()
    gc.collect()
    libc = ctypes.CDLL(None)
    libc.malloc_trim(0)
    libc.mallinfo2.restype = MallInfo
    account = libc.mallinfo2()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    # A thread of the process counts as long as the kernel knows it, whoever started it; but gRPC adds threads to a pool
    # of its own when all of them are busy.
    names = [thread.read_text().strip() for thread in Path("/proc/self/task").glob("*/comm")]
    return {
        "memory_mb": pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        "malloc_mb": (account.uordblks + account.hblkhd) / 2**20,
        "blocks": sys.getallocatedblocks(),
        "files": len(os.listdir("/proc/self/fd")),
        "threads": sum(name != "event_engine" for name in names),
        "python_threads": threading.active_count(),
        "processes": len(descendants(os.getpid())),
    }


def make_room_for_strings() -> None:
    """Let Python's table of interned strings begin as large as it will be.

    It counts strings that are gone, too, and is doubled when it is full: once in some twenty runs, by 7 MB at a time.
    """
    kept = [sys.intern(f"soak {number}") for number in range(500_000)]
    del kept


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
    if os.environ.get("MALLOC_ARENA_MAX") != "1":
        # Otherwise threads take their memory from places of their own, and how many pages stay there is chance.
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"MALLOC_ARENA_MAX": "1"})
    spec = runpy.run_path(str(SPEC_FILE))["SPEC"]
    rows = []
    make_room_for_strings()
    with tempfile.TemporaryDirectory(prefix="soak-") as storage, ray_session(None, 1, False):
        for number in range(1, args.only + 1):
            began = time.monotonic()
            with contextlib.redirect_stdout(io.StringIO()):
                run_command(spec, "", ["--preset", "smoke", "--storage", storage, "--name", f"sweep-{number}"])
            seconds = time.monotonic() - began
            rows.append(held())
            if number == 1:
                print("run  " + "  ".join(rows[0]) + "  seconds")
            shown = "  ".join(f"{value:>{len(name)}.{int(name.endswith('mb'))}f}" for name, value in rows[-1].items())
            print(f"{number:>3}  {shown}  {seconds:>7.1f}", flush=True)
    first, last = rows[0], rows[-1]
    for name in MORE:
        print(f"{name} {last[name] / first[name] - 1:+.2%} from the first run to the last")
    grown = [name for name in first if last[name] > first[name] * (1 + MORE.get(name, 0))]
    grown += ["processes when Ray has ended"] if descendants(os.getpid()) else []
    if grown:
        print(f"more after the last run than after the first: {', '.join(grown)}")
    sys.exit(bool(grown))


if __name__ == "__main__":
    main()

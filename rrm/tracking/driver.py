"""The process that drives a job, and whether it is alive."""

import os
import socket
from pathlib import Path


def driver_tags() -> dict[str, str]:
    """Tags that identify this process: rrm.host, rrm.pid and rrm.driver_started."""
    return {
        "rrm.host": socket.gethostname(),
        "rrm.pid": str(os.getpid()),
        "rrm.driver_started": f"{_kernel()}/{_ticks(os.getpid())}",
    }


def is_alive(tags: dict[str, str]) -> bool | None:
    """Whether the process that wrote these tags runs; None where this machine cannot know.

    Systems reuse process ids. A process is therefore identified by its id and its start in ticks since boot, which no
    change of the clock moves, within one boot and one process namespace.
    """
    kernel, _, ticks = tags.get("rrm.driver_started", "").partition("/")
    if not kernel or kernel != _kernel() or tags.get("rrm.host") != socket.gethostname():
        return None
    return _ticks(int(tags["rrm.pid"])) == ticks


def _kernel() -> str:
    """The id of this boot and process namespace; "" where the system has none."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{boot}:{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _ticks(pid: int) -> str:
    """Start of a process in clock ticks since boot; "" for a zombie, or where no such process exists."""
    try:
        # The name, in brackets, may hold spaces and brackets; the fields after it are state, parent, ...
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]

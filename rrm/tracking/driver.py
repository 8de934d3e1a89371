"""Which process drives a job, and whether it is alive."""

import os
import socket
from pathlib import Path


def driver_tags() -> dict[str, str]:
    """Tags that name this process: rrm.host, rrm.pid and rrm.driver_started."""
    return {
        "rrm.host": socket.gethostname(),
        "rrm.pid": str(os.getpid()),
        "rrm.driver_started": f"{_kernel()}/{_ticks(os.getpid())}",
    }


def is_alive(tags: dict[str, str]) -> bool | None:
    """Whether the process that wrote these tags runs; None where this machine cannot know.

    A process number is used again, so it counts together with its start in ticks since boot, which no change of the
    clock moves; and only under the same boot and in the same process namespace.
    """
    kernel, _, ticks = tags.get("rrm.driver_started", "").partition("/")
    if not kernel or kernel != _kernel() or tags.get("rrm.host") != socket.gethostname():
        return None
    return _ticks(int(tags["rrm.pid"])) == ticks


def _kernel() -> str:
    """This boot and process namespace; "" where the system does not say."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{boot}:{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _ticks(pid: int) -> str:
    """Start of a process in clock ticks since boot; "" if there is none, or only its remains."""
    try:
        # The name of a process may hold spaces and brackets; the fields after it are state, parent, ...
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]

"""CPUs, memory and the limits of processes, of the machine and of a container."""

import os
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

from rrm.doctor.finding import Finding, Setting, fail, ok, warn

GB = 1e9
CGROUP = Path("/sys/fs/cgroup")
GROUPS_OF_THIS = Path("/proc/self/cgroup")


def _cgroup(controller: str, name: str, old_name: str) -> Iterator[str]:
    """The contents of a file in the control groups of this process and all above, version 2 or 1."""
    if not GROUPS_OF_THIS.exists():
        return
    for line in GROUPS_OF_THIS.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        _, controllers, inside = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root, file = (CGROUP / controller, old_name) if controllers else (CGROUP, name)
        group = Path(inside.lstrip("/"))
        for folder in (group, *group.parents):
            path = root / folder / file
            if path.exists():
                yield path.read_text(encoding="utf-8").strip()


def cpu_quota() -> float | None:
    """CPUs that the control groups grant, None without a limit."""
    granted = []
    for text in _cgroup("cpu", "cpu.max", "cpu.cfs_quota_us"):
        quota, _, period = text.partition(" ")
        if quota not in ("max", "-1"):
            granted.append(int(quota) / int(period or 100_000))
    return min(granted, default=None)


def memory_limit() -> int | None:
    """Bytes that the control groups grant, None without a limit."""
    texts = _cgroup("memory", "memory.max", "memory.limit_in_bytes")
    # Version 1 writes "no limit" as a number near 2**63.
    return min((int(text) for text in texts if text != "max" and int(text) < 1 << 60), default=None)


def _memory() -> dict[str, int]:
    """Bytes by name of /proc/meminfo."""
    rows = (line.split() for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines())
    return {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows}


def cpus(setting: Setting) -> Iterator[Finding]:
    """CPUs of the machine against the CPUs that this process may use."""
    count = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else count
    quota = cpu_quota()
    if quota is not None and quota < usable - 0.5:
        yield warn(
            f"{usable} CPUs, of which the container grants {quota:g}",
            "more trials at once than that are slower in sum",
            f"raise the quota (docker run --cpus), or start Ray with --num-cpus={max(1, int(quota))} and "
            "name it by --address",
        )
    elif usable < count:
        yield warn(
            f"{count} CPUs, of which this process may use {usable}",
            "Ray counts all of them and starts too many trials",
            f"start Ray with --num-cpus={usable} and name it by --address",
        )
    else:
        yield ok(f"{count} CPUs")


def load(setting: Setting) -> Iterator[Finding]:
    """CPUs that other programs leave free, by the load of the last minute."""
    waiting, count = os.getloadavg()[0], os.cpu_count() or 1
    if waiting > 4 * count:
        yield warn(
            f"{waiting:.0f} processes want {count} CPUs",
            "everything takes that much longer, and Ray does not start where its agent takes more than 15 s",
            "end or await other programs (top shows them)",
        )
    else:
        yield ok(f"{waiting:.1f} processes want {count} CPUs")


def threads(setting: Setting) -> Iterator[Finding]:
    """OMP_NUM_THREADS: small models run slower on two threads than on one."""
    value, count = os.environ.get("OMP_NUM_THREADS"), os.cpu_count() or 1
    if value is None and count <= 4:
        yield warn(
            f"OMP_NUM_THREADS is unset on {count} CPUs",
            "outside of Ray's workers PyTorch takes a thread for each "
            "CPU, which is slower than one for models of this size",
            "export OMP_NUM_THREADS=1",
        )
    elif value and value.isdigit() and int(value) > count:
        yield warn(
            f"OMP_NUM_THREADS={value} on {count} CPUs",
            "threads without a CPU of their own wait for each other",
            "export OMP_NUM_THREADS=1",
        )
    else:
        yield ok(f"OMP_NUM_THREADS={value}" if value else f"OMP_NUM_THREADS is unset, {count} CPUs")


def memory(setting: Setting) -> Iterator[Finding]:
    """Memory that is left. A trial takes about 1 GB, a local Ray with its workers two."""
    if not Path("/proc/meminfo").exists():
        return
    rows, limit = _memory(), memory_limit()
    total, free = rows["MemTotal"], rows["MemAvailable"]
    found = f"{free / GB:.1f} GB free of {total / GB:.1f}"
    if limit is not None and limit < total:
        found = f"{free / GB:.1f} GB free of {total / GB:.1f}, of which the container grants {limit / GB:.1f}"
        free = min(free, limit)
    if free < 2 * GB:
        yield warn(
            found,
            "Ray and two trials need about 4 GB; Ray kills workers when memory runs out",
            "end other programs, or give the container more memory",
        )
    else:
        yield ok(found)


def shared_memory(setting: Setting) -> Iterator[Finding]:
    """/dev/shm against Ray's object store, which takes 30% of the memory."""
    folder = Path("/dev/shm")
    if not folder.exists() or not Path("/proc/meminfo").exists():
        return
    free = shutil.disk_usage(folder).free
    total = min(_memory()["MemTotal"], memory_limit() or 1 << 62)
    if free < min(0.3 * total, 2 * GB):
        yield warn(
            f"/dev/shm has {free / GB:.2f} GB free",
            "Ray's object store would lie in /tmp, on the disk, and be slow",
            "docker run --shm-size=4g, delete files in /dev/shm, or mount -o remount,size=4G /dev/shm",
        )
    else:
        yield ok(f"/dev/shm has {free / GB:.1f} GB free")


def _limit(kind: int) -> tuple[float, float]:
    """(soft, hard) limit, infinite where there is none."""
    soft, hard = (float("inf") if value == resource.RLIM_INFINITY else value for value in resource.getrlimit(kind))
    return soft, hard


def open_files(setting: Setting) -> Iterator[Finding]:
    """Open files: Ray raises the soft limit to the hard one by itself."""
    soft, hard = _limit(resource.RLIMIT_NOFILE)
    if hard < 1024:
        yield fail(
            f"ulimit -n is {soft:g}, at most {hard:g}",
            "Ray opens a few files for each worker and connection and breaks with 'too many open files'",
            "raise nofile in /etc/security/limits.conf, or docker run --ulimit nofile=65536",
        )
    elif hard < 8192:
        yield warn(
            f"ulimit -n is {soft:g}, at most {hard:g}",
            "Ray asks for 8192 for more than a few workers",
            "raise nofile in /etc/security/limits.conf, or docker run --ulimit nofile=65536",
        )
    else:
        yield ok(f"ulimit -n is {soft:g}, at most {hard:g}")


def user_processes(setting: Setting) -> Iterator[Finding]:
    """Processes and threads of the user: Ray's servers and workers have some 50 threads each."""
    soft, hard = _limit(resource.RLIMIT_NPROC)
    if soft < 4096:
        level = fail if soft < 1024 else warn
        yield level(
            f"ulimit -u is {soft:g}, at most {hard:g}",
            "threads count too: Ray's servers and workers have some 50 "
            "each, and 'Resource temporarily unavailable' ends them",
            f"ulimit -u {min(hard, 16384):g}, or raise nproc in /etc/security/limits.conf",
        )
    else:
        yield ok(f"ulimit -u is {soft:g}")

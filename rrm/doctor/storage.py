"""The storage folder: can a sweep keep its files, its lock and its database there?"""

import fcntl
import os
import shutil
import sqlite3
import tempfile
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from rrm.doctor.finding import Finding, Setting, fail, ok, warn
from rrm.errors import InputError
from rrm.paths import user_path

GB = 1e9
ELSEWHERE = "name a folder on a local disk by --storage"


def nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(path for path in (folder, *folder.parents) if os.path.lexists(path))


def file_system(folder: Path) -> str:
    """Kind of the file system a folder lies on, as in /proc/mounts; empty where that is not known."""
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return ""
    rows = (line.split() for line in mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines())
    real = Path(os.path.realpath(folder))  # Path.resolve stumbles over a loop of links
    over = [(len(row[1]), row[2]) for row in rows if real.is_relative_to(row[1].replace("\\040", " "))]
    return max(over, default=(0, ""))[1]


def claimed(folder: Path) -> bool:
    """Whether a living driver holds the folder of a job."""
    try:
        with open(folder / ".lock", "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no driver has ever held it, or locks are refused, which is a finding of its own
        return False
    return False


def refusal(folder: Path) -> OSError | None:
    """Why no file can be made and atomically replaced in a folder; None where it can."""
    try:
        with tempfile.TemporaryDirectory(prefix=".rrm-doctor-", dir=folder) as scratch:
            new, old = Path(scratch, "new"), Path(scratch, "old")
            old.write_bytes(b"before")
            new.write_bytes(b"after")
            new.replace(old)
            if old.read_bytes() != b"after" or new.exists():
                return OSError("a file replaced by another kept its content")
    except OSError as error:
        return error
    return None


def unusable(folder: Path, option: str = "--storage") -> Finding | None:
    """The problem that keeps a command from writing into a folder, or from making it; None without a problem."""
    base = nearest(folder)
    if not base.is_dir():
        return fail(
            f"{base} is not a folder",
            f"{option} {folder} cannot be made in it" if base != folder else "nothing can be kept in it",
            f"remove it, or name another folder by {option}",
        )
    if error := refusal(base):
        return fail(
            f"{base} cannot be written to ({error.strerror or error})",
            "nothing could be kept there",
            f"free space, correct its owner and mode (ls -ld), or name another folder by {option}",
        )
    return None


def check_folder(folder: Path, option: str = "--storage") -> None:
    """InputError, in the words of the doctor, for a folder that a command could not write into."""
    if finding := unusable(folder, option):
        raise InputError(str(finding))


def output_folder(text: str) -> Path:
    """The type of an option that names a folder of results, refused by the parser where nothing could be written."""
    path = Path(user_path(text))
    if finding := unusable(path.absolute(), "this option"):
        raise ArgumentTypeError(str(finding))
    return path


def folder(setting: Setting) -> Iterator[Finding]:
    """The storage folder exists or can be made, and takes a file and its atomic replacement."""
    base = nearest(setting.storage)
    kind = file_system(base)
    where = f"{setting.storage}" if base == setting.storage else f"{setting.storage} (not there yet, can be made)"
    yield unusable(setting.storage) or ok(where + f", {kind}" * bool(kind))


def _writable_base(setting: Setting) -> Path | None:
    base = nearest(setting.storage)
    return None if refusal(base) else base


def space(setting: Setting) -> Iterator[Finding]:
    """Free bytes and inodes. A sweep of small models takes about 1 GB."""
    if (base := _writable_base(setting)) is None:
        return
    free, nodes = shutil.disk_usage(base).free, os.statvfs(base)
    # Some file systems make inodes as needed and count none.
    left = nodes.f_favail if nodes.f_files else None
    found = f"{free / GB:.1f} GB" + f" and {left} inodes" * (left is not None) + " free"
    cure = "delete old sweeps and their artifacts, or name another disk by --storage"
    if free < 0.5 * GB or (left is not None and left < 1000):
        yield fail(found, "a sweep would end in 'no space left on device'", cure)
    elif free < 5 * GB or (left is not None and left < 20_000):
        yield warn(found, "a sweep of small models takes about 1 GB, one of full-size models tens", cure)
    else:
        yield ok(found)


def locks(setting: Setting) -> Iterator[Finding]:
    """flock, by which a driver claims the folder of its job."""
    if (base := _writable_base(setting)) is None:
        return
    means = "two drivers could write into one folder, and none may start where locks are refused"
    with tempfile.NamedTemporaryFile(prefix=".rrm-doctor-", dir=base) as first, open(first.name, "rb") as second:
        try:
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            yield fail(f"flock is refused in {base} ({error.strerror})", means, ELSEWHERE)
            return
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield ok("flock holds")
        else:
            yield fail(f"flock in {base} is granted twice", means, ELSEWHERE)


def database(setting: Setting) -> Iterator[Finding]:
    """sqlite: one writer at a time, and a second connection reads the written row."""
    if (base := _writable_base(setting)) is None:
        return
    means = "the MLflow store of this folder would be damaged or refuse to open"
    cure = f"{ELSEWHERE}, or an MLflow server by --tracking-uri"
    with tempfile.TemporaryDirectory(prefix=".rrm-doctor-", dir=base) as scratch:
        path = Path(scratch, "try.db")
        try:
            # Transactions by hand: each connection waits 0 s for the other.
            with (
                closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as first,
                closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as second,
            ):
                first.execute("create table t (x)")
                first.execute("begin immediate")
                first.execute("insert into t values (1)")
                try:
                    second.execute("begin immediate")
                except sqlite3.OperationalError:
                    held = True
                else:
                    held = False
                    second.execute("rollback")
                first.execute("commit")
                rows = second.execute("select x from t").fetchall()
        except sqlite3.Error as error:
            yield fail(f"sqlite in {base}: {error}", means, cure)
            return
    if held and rows == [(1,)]:
        yield ok(f"sqlite {sqlite3.sqlite_version} writes and locks")
    else:
        yield fail(f"sqlite in {base} lets two write at once", means, cure)

"""The folder in which a local Ray keeps its sockets and logs."""

import os
import sys
from pathlib import Path

from rrm.doctor.storage import nearest, refusal
from rrm.errors import InputError

# Bytes of the path of a socket: 108 with the zero at its end on Linux, 104 elsewhere.
LONGEST_SOCKET = 107 if sys.platform == "linux" else 103
SOCKET = "session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
SHORT = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"))


def wished_folder() -> Path:
    """The folder in which Ray by default makes its own folder, `ray`."""
    return Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp").absolute()


def socket_length(folder: Path) -> int:
    """Bytes of the longest path of a socket of Ray below `folder`."""
    return len(os.fsencode(folder / "ray" / SOCKET))


def obstacle(folder: Path) -> str | None:
    """Why Ray cannot work in `folder`, None where it can."""
    if (length := socket_length(folder)) > LONGEST_SOCKET:
        return f"its sockets would have paths of {length} bytes, and the system takes {LONGEST_SOCKET}"
    base = nearest(folder)
    if not base.is_dir():
        return f"{base} is not a folder"
    if error := refusal(base):
        return f"{base} cannot be written to ({error.strerror or error})"
    return None


def ray_folder() -> Path:
    """The folder in which a local Ray makes its own: the default, or where that is unfit the first fit one of SHORT."""
    wished = wished_folder()
    for folder in (wished, *SHORT):
        if obstacle(folder) is None:
            return folder
    raise InputError(f"Ray cannot keep its files in {wished}: {obstacle(wished)}: export RAY_TMPDIR=SHORT_FOLDER")

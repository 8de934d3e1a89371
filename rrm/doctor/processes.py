"""Processes of this user and the addresses they listen on, read from /proc; none are found where that is missing."""

import os
import re
import socket
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PROC = Path("/proc")
_SESSION = re.compile(r"\bsession_\d[\d_-]*_(\d+)(?=/|\s|$)")


@dataclass(frozen=True)
class Process:
    """A process of this user."""

    pid: int
    parent: int
    words: tuple[str, ...]

    @cached_property
    def kind(self) -> str | None:
        """ "Ray" or "MLflow" for their servers and workers, else None."""
        names = [Path(word).name for word in self.words[:4]]
        text = " ".join(self.words)
        if names[0].startswith("ray::") or names[0] in ("gcs_server", "raylet"):
            return "Ray"
        if re.search(r"/ray/(dashboard|autoscaler/_private|_private)/\w+(/\w+)*\.py ", text):
            return "Ray"
        return "MLflow" if "mlflow" in names or "mlflow.server" in text else None

    @property
    def session(self) -> str | None:
        """Ray's name of its session, which ends in the id of the process that started it; workers do not say."""
        found = _SESSION.search(" ".join(self.words))
        return found[0] if found else None

    @property
    def name(self) -> str:
        """The program, short."""
        first = ""
        if "python" in self.words[0] and "-c" not in self.words[1:4]:
            first = next((word for word in self.words[1:4] if not word.startswith("-")), "")
        return Path(first or self.words[0]).name[:40]

    def environment(self) -> dict[str, str]:
        """The environment the process was started with; empty where it has ended."""
        try:
            pairs = (PROC / str(self.pid) / "environ").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            return {}
        return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


@dataclass(frozen=True)
class Listener:
    """A TCP port that a process listens on; `process` is None where another user owns the process."""

    address: str
    port: int
    process: Process | None

    @property
    def open_to_others(self) -> bool:
        """Whether other machines may connect."""
        return not (self.address.startswith("127.") or self.address in ("::1", "::ffff:127.0.0.1"))


def own_processes() -> dict[int, Process]:
    """Processes of this user, by their ids."""
    found = {}
    for folder in PROC.glob("[0-9]*"):
        try:
            if folder.stat().st_uid != os.getuid():
                continue
            words = (folder / "cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
            # The name in parentheses may hold spaces and parentheses itself.
            parent = int((folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1])
        except OSError:  # it ended meanwhile
            continue
        if words[0]:
            found[int(folder.name)] = Process(int(folder.name), parent, tuple(words))
    return found


def listeners(processes: dict[int, Process]) -> list[Listener]:
    """Every listening TCP port of the machine, with its process where that is among `processes`."""
    sockets = {}
    for family, file in ((socket.AF_INET, "tcp"), (socket.AF_INET6, "tcp6")):
        path = PROC / "net" / file
        for line in path.read_text(encoding="utf-8").splitlines()[1:] if path.exists() else []:
            columns = line.split()
            if columns[3] == "0A":  # LISTEN
                host, port = columns[1].split(":")
                packed = b"".join(bytes.fromhex(host[i : i + 8])[::-1] for i in range(0, len(host), 8))
                sockets[columns[9]] = (socket.inet_ntop(family, packed), int(port, 16))
    owner: dict[str, Process] = {}
    for process in processes.values():
        try:
            for link in (PROC / str(process.pid) / "fd").iterdir():
                target = os.readlink(link)
                if target.startswith("socket:["):
                    owner.setdefault(target[8:-1], process)
        except OSError:
            continue
    return [Listener(host, port, owner.get(inode)) for inode, (host, port) in sockets.items()]

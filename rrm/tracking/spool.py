"""Operations that a tracking store has not confirmed, kept on disk: they survive the end of server and driver."""

import fcntl
import json
import os
import shutil
import time
from pathlib import Path
from typing import TextIO
from uuid import uuid4

from rrm.errors import InputError

COPIED = 1 << 20  # bytes; files up to this size may be rewritten in place and are copied
LOCK_WAIT_S = 20.0


class Spool:
    """FOLDER/operations.jsonl, one JSON line per operation, emptied whenever all are confirmed.

    The first line, `header`, names the store of the operations: "uri", "experiment", "job" and the job's "kind". A
    driver with operations in the file holds its lock. A replay from the first line is always right, because every
    operation can be repeated (see `Writer`).

    files/           artifacts in the state in which they were logged
    refused.jsonl    operations that the store refuses, and why
    """

    def __init__(self, folder: Path, header: dict):
        self.folder, self.header = folder, header
        self._path, self._files = folder / "operations.jsonl", folder / "files"
        self._file: TextIO | None = None
        self._held = False

    def append(self, operation: dict) -> None:
        """Add one operation; OSError where the disk cannot take it."""
        file = self._open()
        lines = [operation] if self._held else [self.header, operation]
        self._lock(file)
        file.write("".join(json.dumps(line) + "\n" for line in lines))
        file.flush()

    def sync(self) -> None:
        """Force the added operations to disk: until then they survive the process, but not the machine."""
        if self._file is not None:
            os.fsync(self._file.fileno())

    def origin(self) -> dict[str, str] | None:
        """The header of an earlier driver's operations, None without any; InputError for a file of another kind."""
        try:
            with open(self._path, encoding="utf-8", errors="replace") as file:
                header, operations = self._parse([file.readline(), file.readline()])
        except FileNotFoundError:
            return None
        return header if operations else None

    def load(self) -> list[dict]:
        """Take over the operations of an ended driver; InputError for a file that is no spool."""
        if not self._path.exists() or not self._path.stat().st_size:
            return []
        file = self._open()
        self._lock(file)
        lines = self._path.read_text(encoding="utf-8").splitlines(keepends=True)
        if lines and not lines[-1].endswith("\n"):
            # The writer died within the last line, before `add` had returned.
            lines.pop()
            file.truncate(sum(len(line.encode()) for line in lines))
        try:
            _, operations = self._parse(lines)
        except InputError:
            self._unlock(file)
            raise
        if not operations:
            self.clear()
        return operations

    def clear(self) -> None:
        """Empty the file: all operations are confirmed."""
        if self._file is not None and self._held:
            self._file.truncate(0)
            shutil.rmtree(self._files, ignore_errors=True)
            self._unlock(self._file)

    def close(self) -> None:
        """Close the file, and delete the folder if it is empty; remaining operations stay."""
        if self._file is not None:
            if not self._held:
                self._path.unlink(missing_ok=True)
            self._file.close()
            self._file, self._held = None, False
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def keep(self, path: Path) -> Path:
        """A copy of the file `path` as it is now, kept until the operations are confirmed; OSError without the file."""
        small = path.stat().st_size <= COPIED
        target = self._files / uuid4().hex[:12] / path.name
        target.parent.mkdir(parents=True)
        if small:
            return Path(shutil.copy(path, target))
        try:
            # Large files are replaced or deleted but never rewritten in place, so a hard link is as good as a copy.
            os.link(path.resolve(), target)
        except OSError:
            return path.resolve()
        return target

    def refuse(self, operation: dict, reason: str) -> None:
        """Keep an operation that the store will never accept, for a human to read."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / "refused.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps({"reason": reason} | operation) + "\n")

    def _parse(self, lines: list[str]) -> tuple[dict[str, str], list[dict]]:
        """(header, operations) of the whole lines; InputError where they are no spool."""
        whole = [line for line in lines if line.endswith("\n")]
        if not whole:
            return self.header, []
        try:
            header, *operations = [json.loads(line) for line in whole]
            header = {"kind": ""} | header  # older ones have none
            known = {name: str(header[name]) for name in ("uri", "experiment", "job", "kind")}
            return known, [operation for operation in operations if operation["op"]]
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{self._path} is no spool of tracking operations: move it away") from None

    def _open(self) -> TextIO:
        if self._file is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._file = open(self._path, "a", encoding="utf-8")
        return self._file

    def _lock(self, file: TextIO) -> None:
        deadline = time.monotonic() + LOCK_WAIT_S
        while not self._held:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._held = True
            except OSError:
                if time.monotonic() > deadline:
                    message = f"{self._path} is in use: its driver is alive, or another command replays it"
                    raise InputError(message) from None
                time.sleep(0.1)

    def _unlock(self, file: TextIO) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)
        self._held = False

"""Curves of a run over training: rows of numbers in a file of JSON lines, which others read while it is written.

    {"step": 500, "train/loss": 0.31, "probe/gradient_norm": 1.7}

Rows may differ in their names, and several rows may have one step. NaN, Infinity and -Infinity stand for themselves, as
Python's json writes them.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from rrm.files import MB, refusing, replacing

Curves = dict[str, tuple[np.ndarray, np.ndarray]]

FOLDER = "curves"  # of curve files, in the folder of a job and among the artifacts of a run
STEP = "step"
MOST_BYTES = 512 * MB  # of a file that is read: some 400,000 rows of 30 numbers
# Rows wait so long, or until there are so many, before they are written.
WAIT_S = 2.0
WAITING = 256


def curve_path(folder: Path, name: str) -> Path:
    """The curve file of the run of this name in the folder of its job."""
    return folder / FOLDER / f"{name}.jsonl"


class CurveFile:
    """The rows of one run, appended to a file that is made with the first of them.

    What is flushed outlives the process. A run that begins again cuts the file at the step of its checkpoint, and
    writes the rows behind that step anew.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        self._waiting: list[str] = []
        self._file: BinaryIO | None = None
        self._written_at = time.monotonic()

    def append(self, step: int, row: Mapping[str, float]) -> None:
        """Add the numbers of a step; one of the name "step" is left out. OSError where the disk cannot take them."""
        numbers = {name: float(value) for name, value in row.items() if name != STEP}
        self._waiting.append(json.dumps({STEP: int(step)} | numbers) + "\n")
        if len(self._waiting) >= WAITING or time.monotonic() - self._written_at > WAIT_S:
            self.flush()

    def flush(self) -> None:
        """Write the rows that wait; OSError where the disk cannot take them."""
        if self._waiting:
            if self._file is None:
                self._file = self._open()
            self._file.write("".join(self._waiting).encode())
            self._file.flush()
            self._waiting = []
        self._written_at = time.monotonic()

    def cut(self, step: int) -> None:
        """Drop the rows beyond a step, and lines that are no rows: the last one may have been torn by a crash."""
        self.flush()
        self.close()
        if self.path.exists():
            kept = [line for line, row in _rows(self.path.read_bytes()) if row is not None and row[STEP] <= step]
            with replacing(self.path) as unfinished:
                unfinished.write_bytes(b"".join(kept))

    def close(self) -> None:
        """Write the rows that wait and close the file; a later row opens the file again."""
        self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> BinaryIO:
        """The file, to append to; a torn last line is cut off, as the next row would continue it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = open(self.path, "ab+")
        file.seek(0)
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)
        return file


def read_curves(path: Path | str) -> Curves:
    """The series of a curve file by name: steps int64 [n] and values float64 [n], in the order of the rows.

    A last line without its end, which a writer has not finished, is left out. InputError for a file that is not there
    or that holds other lines.
    """
    series: dict[str, tuple[list[int], list[float]]] = {}
    with refusing(path, "curve file", "delete the line, or restore the file from a copy"):
        with open(path, "rb") as file:
            if (size := os.fstat(file.fileno()).st_size) > MOST_BYTES:
                raise ValueError(f"it has {size} bytes, at most {MOST_BYTES} are read")
            content = file.read(size)
        for number, (line, row) in enumerate(_rows(content), start=1):
            if row is None:
                raise ValueError(f"line {number} is {line[:40]!r}, not a row of numbers with a step")
            step = row.pop(STEP)
            for name, value in row.items():
                steps, values = series.setdefault(name, ([], []))
                steps.append(step)
                values.append(value)
        return {
            name: (np.array(steps, np.int64), np.array(values, np.float64)) for name, (steps, values) in series.items()
        }


def _rows(content: bytes) -> Iterator[tuple[bytes, dict | None]]:
    """(line, its row, None for a line that is no row) of every line that has an end."""
    for line in content.splitlines(keepends=True):
        if line.endswith(b"\n"):
            yield line, _row(line)


def _row(line: bytes) -> dict | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    whole = isinstance(row, dict) and type(row.get(STEP)) is int
    return row if whole and all(type(value) in (int, float) for value in row.values()) else None


def thin(steps: np.ndarray, values: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """At most `most` of the points of a series, in their order: the first, the last, and the extremes between them.

    Args:
        steps: int64 [n]
        values: float64 [n]; NaN is kept where nothing else stands beside it
        most: at least 2

    The points between the ends fall into stretches of equal length, and each keeps its lowest and its highest value.
    """
    if most < 2:
        raise ValueError(f"most is {most}: the first and the last point are 2")
    count = len(values)
    if count <= most:
        return steps, values
    low, high = np.where(np.isnan(values), np.inf, values), np.where(np.isnan(values), -np.inf, values)
    bounds = np.linspace(1, count - 1, (most - 2) // 2 + 1).astype(np.int64)
    kept = {0, count - 1}
    for begin, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        kept |= {begin + int(low[begin:end].argmin()), begin + int(high[begin:end].argmax())}
    index = np.array(sorted(kept))
    return steps[index], values[index]

"""The file of a stability measurement: arrays by puzzle and the settings that make them comparable.

A safetensors file whose header carries a schema name, a version and the settings as JSON. Reading runs no code. Arrays
that files of an older version do not hold are None.
"""

import json
from collections.abc import Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from rrm.dynamics.shards import RowResult, join
from rrm.errors import InputError
from rrm.files import check_values, open_tensors, parse_object, replacing

SCHEMA = "rrm-lyapunov"
VERSION = 3
# Arrays in files of version 2 that nothing reads: violations by segment, the segment at which the Q head would halt.
DROPPED = frozenset({"violations_at", "halting"})
# The columns of `LyapunovResult.covariant`, as in `rrm.dynamics.covariant.covariant_features`.
COVARIANT_FEATURES = ("log_smallest_angle", "mean_abs_cosine", "log_spread", "leading_positions", "leading_H")
REMEDY = "restore it from a copy, or measure again"
# Settings are sizes and counts, a seed aside; none comes near this.
_MOST = 1 << 63
# Rows read at a time where only some of them are kept.
_BLOCK = 1 << 15


@dataclass(frozen=True)
class Settings:
    """What was measured and how. Results can be joined only where all settings are equal.

    Attributes:
        k: number of exponents.
        segments: length of the rollouts, from the initial state.
        calls_per_segment: network calls of a segment.
        seed: of the start basis and of a random model.
        precision: dtype of the state, "float32" or "float64".
        model: description of the model, JSON.
        task: name of the task.
        checkpoint_hash, data_hash: sha256.
        estimator: definition of the exponents, in words.
        unit: of `lambda_per_call`.
        qr_every: calls between factorisations.
        transient: segments left out of the exponents.
        tangent_precision: dtype of the tangents.
        batch: rows pushed together; with `backend` and `device` it decides the rounding.
        backend: "eager" or "compiled".
        device: "cpu" or "cuda".
    """

    k: int
    segments: int
    calls_per_segment: int
    seed: int
    precision: str
    model: str
    task: str
    checkpoint_hash: str
    data_hash: str
    estimator: str = "QR of k tangents in the joint space (z_H, z_L), Cholesky with float64 Gram matrix"
    unit: str = "nats per network call"
    qr_every: int = 1
    transient: int = 0
    tangent_precision: str = "float32"
    batch: int = 16
    backend: str = "eager"
    device: str = "cpu"

    @property
    def basis(self) -> str:
        """Basis and segments of the exponents and precision of the answers, in words.

        A test score is in the model's own precision, which may be bfloat16: its share of solved puzzles can differ.
        """
        left_out = f"the first {self.transient} of {self.segments} segments left out"
        return f"from a random start basis, {left_out}; states and answers in {self.precision}"


@dataclass(frozen=True)
class LyapunovResult(RowResult):
    """Exponents, drift and outcome of N puzzles, one row each; k exponents, T segments.

    Attributes:
        settings: of the measurement.
        index: [N] int64, position in the data set.
        lambda_per_call: [N, k] float64, nats per network call; nan where not finite.
        lambda_per_segment: [N, k] float64, nats per segment; nan where not finite.
        drift_H, drift_L: [N, T] float32, state units per segment.
        q_halt: [N, T] float32, nan without Q head.
        solved: [N] bool, exact answer at the last segment.
        cells: [N] float32, share of right cells at the last segment.
        violations: [N] int32, broken constraints and changed givens at the last segment.
        lambda_segments: [N, T, k] float32, sum of log R over each segment, nats per segment. This and the arrays down
            to `floored` are None in a file of version 1.
        solved_at: [N, T] bool, exact answer after each segment.
        margin, entropy: [N, T] float32, as in `rrm.dynamics.readings.readings`.
        finite: [N] bool, state and tangents stayed free of nan and inf; other rows count as failed.
        floored: [N] int32, how many local exponents are a floor and no growth, as in `Spectrum`; in the oldest files
            of version 2 only those of directions that died.
        local: [N, n, k] float32, log R at every factorisation, in nats; on request only.
        covariant: [N, m] float32, the COVARIANT_FEATURES; on request only.
        provenance: names of the run, trial and commit that made the result; not compared when results are joined.
    """

    settings: Settings
    index: np.ndarray
    lambda_per_call: np.ndarray
    lambda_per_segment: np.ndarray
    drift_H: np.ndarray
    drift_L: np.ndarray
    q_halt: np.ndarray
    solved: np.ndarray
    cells: np.ndarray
    violations: np.ndarray
    lambda_segments: np.ndarray | None = None
    solved_at: np.ndarray | None = None
    margin: np.ndarray | None = None
    entropy: np.ndarray | None = None
    finite: np.ndarray | None = None
    floored: np.ndarray | None = None
    local: np.ndarray | None = None
    covariant: np.ndarray | None = None
    provenance: dict[str, str] = field(default_factory=dict)

    on_request: ClassVar[tuple[str, ...]] = ("local", "covariant")
    by_version: ClassVar[dict[int, tuple[str, ...]]] = {
        1: ("index", "lambda_per_call", "lambda_per_segment", "drift_H", "drift_L", "q_halt", "solved", "cells",
            "violations"),
        2: ("lambda_segments", "solved_at", "margin", "entropy", "finite", "floored"),
        3: (),
    }  # fmt: skip
    row_axes: ClassVar[dict[str, int]] = dict.fromkeys((*by_version[1], *by_version[2], *on_request), 0)

    def __len__(self) -> int:
        return len(self.index)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that are there, by name."""
        named = {name: getattr(self, name) for name in self.row_axes}
        return {name: array for name, array in named.items() if array is not None}

    @property
    def requested(self) -> tuple[str, ...]:
        """Which of the arrays on request are there."""
        return tuple(name for name in self.on_request if getattr(self, name) is not None)

    def per_segment(self, name: str) -> np.ndarray:
        """An array that version 1 did not keep.

        Raises:
            InputError: the array is missing.
        """
        if (array := getattr(self, name)) is None:
            raise InputError(f"the result has no {name}: it was written by version 1; measure the checkpoint again")
        return array


def join_results(parts: Sequence[LyapunovResult]) -> LyapunovResult:
    """The rows of several shards in order of their index.

    Raises:
        ValueError: settings differ, or a puzzle comes twice.
    """
    first = parts[0]
    for part in parts[1:]:
        for name, value in asdict(first.settings).items():
            if (other := getattr(part.settings, name)) != value:
                raise ValueError(f"results with different {name} ({value!r} and {other!r}) cannot be joined")
    return replace(join([replace(part, provenance={}) for part in parts]), provenance=first.provenance)


def save_result(result: LyapunovResult, path: Path | str) -> None:
    """Write a result file."""
    arrays = {name: np.ascontiguousarray(array) for name, array in result.arrays.items()}
    save_file(arrays, path, {"rrm": _header(result)})


def _header(result: LyapunovResult) -> str:
    header = {"schema": SCHEMA, "version": VERSION, "settings": asdict(result.settings)}
    return json.dumps(header | {"provenance": result.provenance}, sort_keys=True)


def join_files(paths: Sequence[Path], target: Path, provenance: dict[str, str]) -> None:
    """Write the result whose shards, in order of their rows, are the files at `paths`.

    One shard is in memory at a time, whatever their number. The file is that of `save_result` of the joined shards up
    to the order of its arrays, and the same bytes for the same shards; it appears whole or not at all.

    Raises:
        ValueError: settings differ.
    """
    first = load_result(paths[0])
    rows = sum(_row_count(path) for path in paths)
    # Wide items first, so that every array is aligned.
    names = sorted(first.arrays, key=lambda name: (-first.arrays[name].itemsize, name))
    table: dict[str, Any] = {"__metadata__": {"rrm": _header(replace(first, provenance=provenance))}}
    end = 0
    for name in names:
        array = first.arrays[name]
        begin, end = end, end + rows * array[0].nbytes
        shape = [rows, *array.shape[1:]]
        table[name] = {"dtype": _DTYPES[array.dtype.name], "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(table, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with replacing(target) as unfinished, open(unfinished, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(file.tell() + end)
        start, row = file.tell(), 0
        for path in paths:
            part = load_result(path)
            if part.settings != first.settings:
                raise ValueError(f"{path} was measured with other settings than {paths[0]}: they cannot be joined")
            for name in names:
                array = np.ascontiguousarray(part.arrays[name])
                file.seek(start + table[name]["data_offsets"][0] + row * array[0].nbytes)
                file.write(array.tobytes())
            row += len(part)


_DTYPES = {"float64": "F64", "float32": "F32", "int64": "I64", "int32": "I32", "bool": "BOOL"}


def _row_count(path: Path) -> int:
    with safe_open(path, framework="numpy") as file:
        return file.get_slice("index").get_shape()[0]


def load_result(path: Path | str, most_rows: int | None = None) -> LyapunovResult:
    """Read a result file.

    Args:
        path: the file.
        most_rows: read at most as many rows: every n-th, n the smallest whole number that is enough. Default: all.

    Raises:
        InputError: anything but a whole file of a known version.
    """
    with open_tensors(path, "result file", REMEDY, "numpy") as file:
        header = parse_object((file.metadata() or {}).get("rrm", "{}"), path, REMEDY)
        names = [name for name in file.keys() if name not in DROPPED]
        rows = file.get_slice("index").get_shape()[0] if "index" in names else 0
        stride = 1 if most_rows is None else max(1, -(-rows // most_rows))
        if stride == 1:
            arrays = {name: file.get_tensor(name) for name in names}
        else:
            arrays = {name: _every(file.get_slice(name), rows, stride) for name in names}
        for array in arrays.values():
            check_values(array)
    if header.get("schema") != SCHEMA:
        raise InputError(
            f"{path} is not a stability result: its schema is {header.get('schema')!r:.60}, not {SCHEMA!r}"
        )
    version = header.get("version")
    if type(version) is not int or version not in LyapunovResult.by_version:
        raise InputError(f"{path} has version {version!r:.60}, this rrm reads up to {VERSION}: update rrm")
    wanted = [name for v, of_version in LyapunovResult.by_version.items() if v <= version for name in of_version]
    if missing := sorted(set(wanted) - set(arrays)):
        raise InputError(f"{path} lacks the array {missing[0]!r}: it is not whole")
    if foreign := sorted(set(arrays) - set(wanted) - {*LyapunovResult.on_request}):
        raise InputError(f"{path} has an array {foreign[0]!r:.60} that no stability result has: it is not one of rrm's")
    provenance = header.get("provenance")
    if not isinstance(provenance, dict) or not all(isinstance(value, str) for value in provenance.values()):
        raise InputError(f"{path} has provenance {provenance!r:.60}, needed are names: {REMEDY}")
    result = LyapunovResult(_settings(header, path), provenance=provenance, **arrays)
    if problem := _problem(result):
        raise InputError(f"{path} is no result that was measured: {problem}; {REMEDY}")
    return result


def _problem(result: LyapunovResult) -> str | None:
    """Why the arrays cannot be those of a measurement; None where they can."""
    rows, k, segments = len(result) if result.index.ndim == 1 else -1, result.settings.k, result.settings.segments
    for name, array in result.arrays.items():
        dtype, *axes = _LAYOUT[name]
        sizes = {"N": rows, "k": k, "T": segments, "m": len(COVARIANT_FEATURES)}
        wanted = tuple(sizes.get(axis, size) for axis, size in zip(axes, array.shape, strict=False))
        if array.dtype.name != dtype or array.ndim != len(axes) or array.shape != wanted:
            return f"{name} is {array.dtype} of shape {array.shape}, with N = {rows}, k = {k}, T = {segments}"
    ranges = {"index": (0, np.inf), "cells": (0, 1), "violations": (0, np.inf)}
    for name, (least, most) in ranges.items():
        array = getattr(result, name)
        if array is not None and ((array < least) | (array > most)).any():
            return f"{name} has a value outside of {least} to {most}"
    if len(np.unique(result.index)) != rows:
        return "index names a puzzle twice"
    return None


# Type and axes of the arrays, as `LyapunovResult` has them.
_LAYOUT = {
    "index": ("int64", "N"), "lambda_per_call": ("float64", "N", "k"), "lambda_per_segment": ("float64", "N", "k"),
    "drift_H": ("float32", "N", "T"), "drift_L": ("float32", "N", "T"), "q_halt": ("float32", "N", "T"),
    "solved": ("bool", "N"), "cells": ("float32", "N"), "violations": ("int32", "N"),
    "lambda_segments": ("float32", "N", "T", "k"), "solved_at": ("bool", "N", "T"), "margin": ("float32", "N", "T"),
    "entropy": ("float32", "N", "T"), "finite": ("bool", "N"), "floored": ("int32", "N"),
    "local": ("float32", "N", "n", "k"), "covariant": ("float32", "N", "m"),
}  # fmt: skip


def _every(piece: Any, rows: int, stride: int) -> np.ndarray:
    """Every `stride`-th of the rows of an array in a file (a slice of safetensors), read a block at a time."""
    block = stride * max(1, _BLOCK // stride)
    return np.concatenate([piece[first : min(first + block, rows)][::stride] for first in range(0, rows, block)])


def _settings(header: dict[str, Any], path: Path | str) -> Settings:
    """The settings in the header of a file; InputError where they are not those of a measurement."""
    known = {f.name: f for f in fields(Settings)}
    settings = header.get("settings")
    if not isinstance(settings, dict) or not set(settings) <= set(known):
        raise InputError(f"{path} has settings that this rrm does not know: update rrm")
    for name, setting in known.items():
        value = settings.get(name, setting.default)
        least = 0 if name in ("seed", "transient") else 1
        if value is MISSING or type(value) is not setting.type or (type(value) is int and not least <= value < _MOST):
            found = "missing" if value is MISSING else f"{value!r:.60}"
            raise InputError(f"{path} has settings of no measurement, {name} is {found}: {REMEDY}")
    if header["version"] == 1:
        # Version 1 pushed tangents of the state's dtype, 16 rows at a time, on the machine's own device.
        settings = {"tangent_precision": settings["precision"], "device": "unknown"} | settings
    return Settings(**settings)

"""The file of a stability measurement: arrays by puzzle and the settings that make them comparable.

A safetensors file whose header carries a schema name, a version and the settings as JSON. Reading runs no code.
"""

import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from rrm.errors import InputError

SCHEMA = "rrm-lyapunov"
VERSION = 1


@dataclass(frozen=True)
class Settings:
    """What was measured and how. Two results may be joined only if all of this is equal.

    estimator: what the exponents are.  unit: of `lambda_per_call`.  precision: dtype of state and tangents.
    k, qr_every (calls between factorisations), seed (of the start basis), segments (window, from the initial state),
    transient (calls left out of the average), calls_per_segment.  checkpoint_hash, data_hash: sha256.
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


@dataclass(frozen=True)
class LyapunovResult:
    """One row per puzzle; N puzzles, k exponents, T segments.

    index [N] int64, position in the data set.  lambda_per_call, lambda_per_segment [N, k] float64 (nats per call, nats
    per segment).  drift_H, drift_L [N, T] float32.  q_halt [N, T] float32 (nan without Q head).  solved [N] bool, exact
    answer at the last segment.  cells [N] float32, share of right cells.  violations [N] int32.
    provenance: names of the run, trial and commit that made it; free, not compared when results are joined.
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
    provenance: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.index)

    @property
    def late_drift(self) -> np.ndarray:
        """[N] mean z_H drift over the last 4 segments, or all of a shorter rollout (SRM before it has grown)."""
        return self.drift_H[:, -4:].mean(1)


ARRAYS = tuple(f.name for f in fields(LyapunovResult) if f.type is np.ndarray)


def join_results(parts: list[LyapunovResult]) -> LyapunovResult:
    """The rows of several shards in order of their index; ValueError where settings differ or a puzzle comes twice."""
    first = parts[0]
    for part in parts[1:]:
        for name, value in asdict(first.settings).items():
            if (other := getattr(part.settings, name)) != value:
                raise ValueError(f"results with different {name} ({value!r} and {other!r}) cannot be joined")
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ARRAYS}
    order = np.argsort(joined["index"], kind="stable")
    if len(np.unique(joined["index"])) != len(order):
        raise ValueError("a puzzle is in two of the results: they are not shards of one data set")
    return replace(first, **{name: array[order] for name, array in joined.items()})


def save_result(result: LyapunovResult, path: Path | str) -> None:
    """Write a result file."""
    header = {"schema": SCHEMA, "version": VERSION, "settings": asdict(result.settings)}
    arrays = {name: np.ascontiguousarray(getattr(result, name)) for name in ARRAYS}
    save_file(arrays, path, {"rrm": json.dumps(header | {"provenance": result.provenance})})


def load_result(path: Path | str) -> LyapunovResult:
    """Read a result file; anything but a whole file of a known version raises InputError."""
    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {}).get("rrm", "{}"))
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: name a result file written by the sweep") from None
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise InputError(f"{path} is not a readable result file ({error}): restore it from a copy") from None
    if header.get("schema") != SCHEMA:
        raise InputError(f"{path} is not a stability result: its schema is {header.get('schema')!r}, not {SCHEMA!r}")
    if header.get("version") != VERSION:
        raise InputError(f"{path} has version {header.get('version')!r}, this rrm reads {VERSION}: update rrm")
    if missing := sorted(set(ARRAYS) - set(arrays)):
        raise InputError(f"{path} lacks the array {missing[0]!r}: it is not whole")
    return LyapunovResult(Settings(**header["settings"]), provenance=header["provenance"], **arrays)

"""The heads of some models on one set of puzzles, as a study writes them down. Read and written with numpy alone."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from rrm.errors import InputError
from rrm.files import read_npz, replacing

HEADS = "heads.npz"
PASS = "P"  # the calls of a network without recursion
REMEDY = "restore it from a copy, or run the study of heads again"
# The axes of each array; M models, T calls, Y layers, N heads, P patterns, S cells, K positions.
_AXES = {"lift": "MTYNP", "low": "MYNP", "high": "MYNP", "outcome": "2TYNP", "entropy": "MTYN", "cosine": "MTY",
         "fixed": "MTYN", "js": "OTYN", "maps": "MYNSK"}  # fmt: skip


@dataclass(frozen=True)
class HeadSummary:
    """Means over puzzles of the scores of heads. The first model is the one that the study is of.

    Attributes:
        label, task: of the first model.
        models: M names, joined by commas: "after", then "before", "against" and others.
        calls: the halves that the calls of a segment replace, such as "LLH"; PASS without recursion.
        layers, patterns: Y and P names, joined by commas.
        probe: sha256 of the puzzles.
        puzzles, solved: numbers.
        lift: [M, T, Y, N, P] attention on a pattern over that of a uniform row; nan where a layer rests.
        low, high: [M, Y, N, P] ends of the 95 % band of the null, of the mean over calls.
        outcome: [2, T, Y, N, P] lift of the first model on puzzles that it solves, and that it fails.
        entropy: [M, T, Y, N] of a row of the map, nats.
        cosine: [M, T, Y] of the rows of two heads.
        fixed: [M, T, Y, N] the largest mean attention to one position, over that of a uniform row.
        js: [M - 1, T, Y, N] divergence of the other models from the first, nats.
        maps: [M, Y, N, S, K] mean map over puzzles and calls; no entry for large boards.
    """

    label: str
    task: str
    models: str
    calls: str
    layers: str
    patterns: str
    probe: str
    puzzles: int
    solved: int
    lift: np.ndarray
    low: np.ndarray
    high: np.ndarray
    outcome: np.ndarray
    entropy: np.ndarray
    cosine: np.ndarray
    fixed: np.ndarray
    js: np.ndarray
    maps: np.ndarray

    @property
    def names(self) -> list[str]:
        """Of the models."""
        return self.models.split(",")

    @property
    def pattern_names(self) -> list[str]:
        """Of the patterns."""
        return self.patterns.split(",")

    @property
    def layer_names(self) -> list[str]:
        """Short: the numbers of a layer, behind the half of the state where the halves have networks of their own."""
        names = [name.split(".") for name in self.layers.split(",")]
        several = len({name[0] for name in names}) > 1
        short = [".".join(part for part in name if part.isdigit()) or name[-1] for name in names]
        return [f"{name[0][0]}{number}" if several else number for name, number in zip(names, short, strict=True)]

    @property
    def segments(self) -> int:
        """Of a rollout."""
        return self.lift.shape[1] // len(self.calls)

    def change(self, name: str) -> np.ndarray:
        """[T, Y, N] divergence of the model of this name from the first."""
        return self.js[self.names.index(name) - 1]

    def mean_lift(self, name: str) -> np.ndarray:
        """[Y, N, P] mean lift over calls of the model of this name; nan where no query has keys in the pattern."""
        lift = self.lift[self.names.index(name)]
        known = np.isfinite(lift)
        total, count = np.where(known, lift, 0).sum(0, dtype=float), known.sum(0)
        return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)

    def log_lift(self, name: str) -> np.ndarray:
        """[Y, N, P] logarithm of `mean_lift`, nats."""
        with np.errstate(divide="ignore"):
            return np.log(self.mean_lift(name))


def save_heads(summary: HeadSummary, path: Path) -> None:
    """Write a summary; the file appears whole or not at all."""
    named: dict[str, Any] = {field.name: getattr(summary, field.name) for field in fields(HeadSummary)}
    with replacing(path) as unfinished, open(unfinished, "wb") as file:
        np.savez_compressed(file, **named)


def load_heads(path: Path) -> HeadSummary:
    """The summary that `save_heads` wrote; InputError for any other file."""
    named = read_npz(path, [field.name for field in fields(HeadSummary)], "summary of heads", REMEDY)
    sizes = {"2": 2, "M": len(str(named["models"]).split(",")), "P": len(str(named["patterns"]).split(",")),
             "Y": len(str(named["layers"]).split(","))}  # fmt: skip
    sizes["O"] = sizes["M"] - 1
    for name, axes in _AXES.items():
        array = named[name]
        fits = array.ndim == len(axes) and all(sizes.setdefault(axis, size) == size for axis, size in
                                               zip(axes, array.shape, strict=False))  # fmt: skip
        if not fits and not (name == "maps" and array.size == 0):
            raise InputError(f"{path} is no summary of heads, its arrays do not belong together: {REMEDY}")
    plain = {name: array.item() for name, array in named.items() if name not in _AXES}
    return HeadSummary(**(named | plain))

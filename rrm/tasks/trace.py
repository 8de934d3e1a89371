"""The trace of a few puzzles: what a recursive model answers after every call, and how its state moves meanwhile.

Read and written with numpy alone, so that a page can show a trace without the network that made it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from rrm.errors import InputError
from rrm.files import read_npz, replacing

TRACE = "boards.npz"
REMEDY = "restore it from a copy, or trace the puzzles again"
# The number of axes of each array, and those that have to be as long as the same axis of `answers`.
_AXES = {"index": 1, "inputs": 2, "labels": 2, "answers": 4, "probability": 4, "drift": 3, "growth": 3, "right": 3}


@dataclass(frozen=True)
class Trace:
    """Rollouts of P puzzles, R of each, over n network calls; rollout 0 has no noise. S cells.

    Attributes:
        task: name of the task.
        calls: the halves that the calls of a segment replace, such as "LLH".
        sigma: standard deviation of the noise at the start of every segment, in state units.
        where: "z_H", "z_L" or "both", the halves that the noise falls on.
        seed: of the noise: rollout r of the puzzle at position i draws from (seed, r, i).
        index: [P] int64, position in the data set, ascending.
        inputs, labels: [P, S] uint8, the question and its right answer.
        answers: [P, R, n, S] uint8, the token of the largest logit after each call.
        probability: [P, R, n, S] uint8, of that token, in 255ths.
        drift: [P, R, n] float32, Euclidean norm of the change of the state in a call, in state units.
        growth: [P, R, n] float32, log of the growth of one tangent in a call, in nats: the mean over a long window is
            lambda_1. The first ones are those of a random direction.
        right: [P, R, n] bool, the answer is right; of a maze, where several are, it is a shortest path.
    """

    task: str
    calls: str
    sigma: float
    where: str
    seed: int
    index: np.ndarray
    inputs: np.ndarray
    labels: np.ndarray
    answers: np.ndarray
    probability: np.ndarray
    drift: np.ndarray
    growth: np.ndarray
    right: np.ndarray

    @property
    def segments(self) -> int:
        """Segments of a rollout."""
        return self.answers.shape[2] // len(self.calls)


def save_trace(trace: Trace, path: Path) -> None:
    """Write a trace; the file appears whole or not at all."""
    named: dict[str, Any] = {field.name: getattr(trace, field.name) for field in fields(Trace)}
    with replacing(path) as unfinished, open(unfinished, "wb") as file:
        np.savez_compressed(file, **named)


def load_trace(path: Path) -> Trace:
    """The trace that `save_trace` wrote; InputError for any other file."""
    named = read_npz(path, [field.name for field in fields(Trace)], "trace of puzzles", REMEDY)
    if not _fits(named):
        raise InputError(f"{path} is no trace of puzzles, its arrays do not belong together: {REMEDY}")
    plain = {name: array.item() for name, array in named.items() if array.ndim == 0}
    return Trace(**(named | plain))


def _fits(named: Mapping[str, np.ndarray]) -> bool:
    if any(named[name].ndim != axes for name, axes in _AXES.items()):
        return False
    if any(named[name].ndim for name in named.keys() - _AXES.keys()):
        return False
    P, R, n, S = named["answers"].shape
    shapes = {"index": (P,), "inputs": (P, S), "labels": (P, S), "probability": (P, R, n, S)}
    shapes |= dict.fromkeys(("drift", "growth", "right"), (P, R, n))
    calls = len(str(named["calls"]))
    return all(named[name].shape == shape for name, shape in shapes.items()) and calls > 0 and n % calls == 0 < n

"""Proposals from the puzzle graph: what a few valid moves make of puzzles that the model half solves."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rrm.errors import InputError
from rrm.tasks.base import PuzzleSet
from rrm.tasks.graph.graph import PuzzleGraph
from rrm.training.dream.propose import Proposer, ProposerSettings
from rrm.training.part import Data

# Puzzles that a walk may begin at where there is one solved board alone.
SEEDS = 64


class Walks(Proposer):
    """Ends of walks in the puzzle graph, from nodes drawn by p (1 - p); known nodes where walks end at too few.

    seen: int64 [N], the last round in which each node was tried, -1 for none. The p (1 - p) of a node that was tried r
    rounds ago counts `fade`^r as much: the model has become another one.
    """

    def __init__(self, graph: PuzzleGraph, length: int, fade: float):
        self.graph, self.length, self.fade, self._bounds = graph, length, fade, graph.moves.bounds
        self.seen = np.full(len(graph), -1)
        self._round, self._last = 0, np.zeros(0, np.int64)

    def propose(self, count: int, number: int, rng: np.random.Generator) -> tuple[PuzzleSet, np.ndarray]:
        self.graph, ends = self.graph.walk(count, self.length, self.weights(), rng)
        known = rng.integers(len(self.graph), size=count - len(ends))
        self._round, self._last = number, np.concatenate([ends, known])
        self.seen = np.concatenate([self.seen, np.full(len(self.graph) - len(self.seen), -1)])
        return self.graph.puzzles(self._last), np.full(count, -1)

    def weights(self) -> np.ndarray:
        """float64 [N]: where the next walks begin; all alike before any node has some p (1 - p)."""
        newest = self.seen.max(initial=-1)
        weights = self.graph.learnability() * self.fade ** np.where(self.seen < 0, 0, newest - self.seen)
        return weights if weights.any() else np.ones(len(weights))

    def observe(self, successes: np.ndarray, trials: int) -> None:
        tried = self._last[: len(successes)]
        self.graph = self.graph.observe(tried, successes, np.full(len(tried), trials))
        self.seen = self.seen.copy()
        self.seen[tried] = self._round

    def tensors(self) -> dict[str, Tensor]:
        arrays = self.graph.arrays() | {"seen": self.seen}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        arrays = {name: value.cpu().numpy() for name, value in tensors.items()}
        # A checkpoint of an older rrm knows no rounds.
        self.seen = arrays.pop("seen", np.full(len(arrays["marks"]), -1))
        self.graph = PuzzleGraph.from_arrays(self.graph.task, arrays, self._bounds)


@dataclass(frozen=True)
class WalksSettings(ProposerSettings):
    """length: moves of a walk.  board: begin with the solved board of the first puzzle alone, not with the labelled
    puzzles.  givens: (least, most) `size` of a puzzle, as `rrm.tasks.graph.moves.Moves` has it; None for any.
    fade: what an outcome counts a round later, 1 for as much as before, 0 for those of the newest round alone.
    """

    length: int = 3
    board: bool = False
    givens: tuple[int, int] | None = None
    fade: float = 1.0

    def __post_init__(self) -> None:
        if type(self.length) is not int or self.length < 1:
            raise InputError(f"length of a walk is {self.length!r}: use a number of moves from 1")
        if not 0 <= self.fade <= 1:
            raise InputError(f"fade of a walk is {self.fade}: it is what an outcome counts a round later, from 0 to 1")

    def build(self, data: Data, labelled: int, seed: int) -> Proposer:
        bounds = None if self.givens is None else (self.givens[0], self.givens[1])
        if not self.board:
            return Walks(PuzzleGraph.of(data.train.subset(slice(0, labelled)), bounds), self.length, self.fade)
        rng = np.random.default_rng([seed, 3])
        graph = PuzzleGraph.from_board(data.train.task, data.train.labels[0], SEEDS, rng, bounds)
        return Walks(graph, self.length, self.fade)

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
    """Ends of walks in the puzzle graph, from nodes drawn by p (1 - p); known nodes where walks end at too few."""

    def __init__(self, graph: PuzzleGraph, length: int):
        self.graph, self.length, self._bounds = graph, length, graph.moves.bounds
        self._last = np.zeros(0, np.int64)

    def propose(self, count: int, number: int, rng: np.random.Generator) -> tuple[PuzzleSet, np.ndarray]:
        self.graph, ends = self.graph.walk(count, self.length, None, rng)
        known = rng.integers(len(self.graph), size=count - len(ends))
        self._last = np.concatenate([ends, known])
        return self.graph.puzzles(self._last), np.full(count, -1)

    def observe(self, successes: np.ndarray, trials: int) -> None:
        self.graph = self.graph.observe(self._last[: len(successes)], successes, np.full(len(successes), trials))

    def tensors(self) -> dict[str, Tensor]:
        return {name: torch.from_numpy(array) for name, array in self.graph.arrays().items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        arrays = {name: value.cpu().numpy() for name, value in tensors.items()}
        self.graph = PuzzleGraph.from_arrays(self.graph.task, arrays, self._bounds)


@dataclass(frozen=True)
class WalksSettings(ProposerSettings):
    """length: moves of a walk.  board: begin with the solved board of the first puzzle alone, not with the labelled
    puzzles.  givens: (least, most) `size` of a puzzle, as `rrm.tasks.graph.moves.Moves` has it; None for any.
    """

    length: int = 3
    board: bool = False
    givens: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if type(self.length) is not int or self.length < 1:
            raise InputError(f"length of a walk is {self.length!r}: use a number of moves from 1")

    def build(self, data: Data, labelled: int, seed: int) -> Proposer:
        bounds = None if self.givens is None else (self.givens[0], self.givens[1])
        if not self.board:
            return Walks(PuzzleGraph.of(data.train.subset(slice(0, labelled)), bounds), self.length)
        rng = np.random.default_rng([seed, 3])
        graph = PuzzleGraph.from_board(data.train.task, data.train.labels[0], SEEDS, rng, bounds)
        return Walks(graph, self.length)

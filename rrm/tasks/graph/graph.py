"""The puzzle graph: puzzles with the outcomes of attempts, and walks from puzzles to new ones.

A walk starts where the model solves a puzzle about half of the time and ends at a puzzle some moves away. What that is
worth depends on the puzzles. Of 6 x 6 Sudokus with 14 to 32 givens three half-trained TRMs solve 22 to 30 % of such
ends in 20 to 80 % of attempts, and 10 to 13 % of fresh puzzles; a second of the solver finds 4.5 times as many of them
[2.5, 8.1], 12 times as many by small moves [9, 17], and without the model no more than fresh [.9, 1.6]. With 10 to 16
givens the shares of two TRMs are 17 and 11 %, and a second finds no more. On 6 x 6 mazes 8 and 4 %, and 33 times as
many, for fresh mazes are dear (`analysis/proposals.py` measures all of this). A loop that trains on walks did worse
than one on fresh puzzles all the same (tune_specs/dream_sweep.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np

from rrm.errors import InputError
from rrm.tasks import PuzzleSet, get_task
from rrm.tasks.graph.moves import Bounds, Moves
from rrm.tasks.graph.registry import moves_of

PASSES = 8  # rounds of walks in one proposal: in a small family most walks end at puzzles that are known


@dataclass(frozen=True)
class PuzzleGraph:
    """N puzzles of one task, no two of them symmetric copies, and E moves between them. Methods return a new graph.

    Attributes:
        task: name of the task.
        moves: its moves.
        inputs, labels: uint8 tokens [N, S].
        marks: int64 [N], equal for symmetric copies (`Moves.marks`).
        successes, trials: int64 [N], attempts of a model at each puzzle that solved it, and all of them.
        edges: int64 [E, 3], (parent, child, number of the move in `moves.named`); a puzzle that is given has no parent.
    """

    task: str
    moves: Moves
    inputs: np.ndarray
    labels: np.ndarray
    marks: np.ndarray
    successes: np.ndarray
    trials: np.ndarray
    edges: np.ndarray

    @classmethod
    def of(cls, puzzles: PuzzleSet, bounds: Bounds | None = None) -> "PuzzleGraph":
        """The graph of given puzzles, without moves; symmetric copies of earlier puzzles are left out.

        Args:
            puzzles: the nodes; their answers have to be right.
            bounds: as for `rrm.tasks.graph.moves_of`, of the puzzles that walks come to.

        Raises:
            InputError: for a task without moves, bad bounds, or no puzzle.
        """
        moves = moves_of(get_task(puzzles.task), bounds)
        if not len(puzzles):
            raise InputError("a puzzle graph of 0 puzzles: give one or more, or one solved board")
        grids, none = puzzles.inputs[:0], np.zeros(0, np.int64)
        empty = cls(puzzles.task, moves, grids, grids, none, none, none, np.zeros((0, 3), np.int64))
        return empty._admitted(puzzles.inputs, puzzles.labels)[0]

    @classmethod
    def from_board(
        cls, task: str, answer: np.ndarray, count: int, rng: np.random.Generator, bounds: Bounds | None = None
    ) -> "PuzzleGraph":
        """The graph of at most `count` puzzles that one solved board (tokens [S]) alone leads to.

        Raises:
            InputError: as `of`, and where the board leads to no puzzle inside the bounds.
        """
        moves = moves_of(get_task(task), bounds)
        inputs, labels = moves.seeds(answer, count, rng)
        if not len(inputs):
            raise InputError(f"the board leads to no puzzle of {task} inside {moves.bounds}: give wider bounds")
        return cls.of(PuzzleSet.of(task, inputs, labels), bounds)

    def __len__(self) -> int:
        return len(self.inputs)

    def puzzles(self, rows: np.ndarray | slice = slice(None)) -> PuzzleSet:
        """The nodes `rows` as a set, unrated."""
        return PuzzleSet.of(self.task, self.inputs[rows], self.labels[rows], source="graph")

    def observe(self, rows: np.ndarray, successes: np.ndarray, trials: np.ndarray) -> Self:
        """The graph after attempts at the nodes `rows` int [M]: counts add up, in any order.

        Outcomes of a model that has since become another one count as much as new ones: who walks may weigh nodes by
        the age of theirs, as the proposer of a dream loop does.
        """
        known, tried = self.successes.copy(), self.trials.copy()
        np.add.at(known, rows, successes)
        np.add.at(tried, rows, trials)
        return replace(self, successes=known, trials=tried)

    def learnability(self) -> np.ndarray:
        """float64 [N]: p(1-p) of each node, estimated without bias as s(K - s)/(K(K - 1)); 0 below two trials."""
        pairs = self.trials * (self.trials - 1)
        return np.where(pairs > 0, self.successes * (self.trials - self.successes) / np.maximum(pairs, 1), 0.0)

    def walk(
        self,
        count: int,
        length: int,
        weights: np.ndarray | None,
        rng: np.random.Generator,
        kinds: Sequence[str] | None = None,
    ) -> tuple[Self, np.ndarray]:
        """Walk to new puzzles.

        A walker starts at a node drawn by the weights and makes moves of random kinds, crossings with a mate drawn in
        the same way; where a move fails the walker stays. All puzzles on the way become nodes.

        Args:
            count: number of new puzzles.
            length: moves of a walk.
            weights: float [N] >= 0; None: `learnability`, or equal weights before any node has some.
            rng: of all choices; the same generator gives the same graph.
            kinds: names of the moves to choose from; None: all of the task.

        Returns:
            (the graph with the new nodes, int64 [M] the rows of the ends of the walks): M distinct puzzles that are no
            symmetric copies of nodes of this graph, fewer than `count` where walks lead to no more.

        Raises:
            InputError: for a length below 1, weights that are negative or not one a node, or an unknown move.
        """
        if weights is None:
            learnable = self.learnability()
            weights = learnable if learnable.any() else np.ones(len(self))
        if length < 1 or len(weights) != len(self) or not (weights >= 0).all() or not 0 < weights.sum() < np.inf:
            raise InputError(
                f"a walk of {length} moves by {len(weights)} weights over {len(self)} puzzles: use 1 move or more, and "
                "a weight of 0 or more for each puzzle, not all of them 0"
            )
        names = list(self.moves.named)
        for name in kinds or ():
            if name not in names:
                raise InputError(f"move {name!r} is unknown: {self.task} has {', '.join(names)}")
        numbers = np.array([names.index(name) for name in kinds or names])
        share = weights / weights.sum()
        graph, ends = self, np.zeros(0, np.int64)
        for _ in range(PASSES):
            missing = count - len(ends)
            if missing <= 0:
                break
            at = rng.choice(len(self), missing, p=share)
            for _ in range(length):
                graph, at = graph._moved(at, rng.choice(len(self), missing, p=share), numbers, rng)
            ends = np.concatenate([ends, at[at >= len(self)]])
            ends = ends[np.sort(np.unique(ends, return_index=True)[1])]
        return graph, ends

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name: all that a graph is beside its task and bounds."""
        return {name: getattr(self, name) for name in _ARRAYS}

    @classmethod
    def from_arrays(cls, task: str, arrays: Mapping[str, np.ndarray], bounds: Bounds | None = None) -> "PuzzleGraph":
        """The graph that `arrays` came from."""
        return cls(task, moves_of(get_task(task), bounds), **{name: arrays[name] for name in _ARRAYS})

    def _moved(
        self, at: np.ndarray, mates: np.ndarray, numbers: np.ndarray, rng: np.random.Generator
    ) -> tuple[Self, np.ndarray]:
        """The graph and the nodes of walkers after one of the moves `numbers` from the nodes `at` int [W]."""
        graph, at = self, at.copy()
        kinds = numbers[rng.integers(len(numbers), size=len(at))]
        for number, name in enumerate(self.moves.named):
            walkers = np.flatnonzero(kinds == number)
            start = at[walkers]
            inputs, labels, done = self.moves.make(
                name, self.inputs[start], self.labels[start], self.inputs[mates[walkers]], rng
            )
            graph, rows = graph._admitted(inputs[done], labels[done], start[done], number)
            at[walkers[done]] = rows
        return graph, at

    def _admitted(
        self, inputs: np.ndarray, labels: np.ndarray, parents: np.ndarray | None = None, move: int = 0
    ) -> tuple[Self, np.ndarray]:
        """The graph with puzzles [M, S] as nodes, and their rows int64 [M]; known puzzles keep their rows."""
        known, count = len(self), len(inputs)
        marks = np.concatenate([self.marks, self.moves.marks(inputs, labels)])
        _, first, which = np.unique(marks, return_index=True, return_inverse=True)
        first = first[which][known:]  # of each puzzle, the earliest equal one
        new = np.flatnonzero(first == known + np.arange(count))
        rows = first.astype(np.int64)
        rows[rows >= known] = known + np.searchsorted(new, rows[rows >= known] - known)
        edges = self.edges
        if parents is not None:
            moved = np.stack([parents, rows, np.full(count, move)], axis=1)
            edges = np.concatenate([edges, moved[parents != rows]])
        zeros = np.zeros(len(new), np.int64)
        return replace(
            self,
            inputs=np.concatenate([self.inputs, inputs[new]]),
            labels=np.concatenate([self.labels, labels[new]]),
            marks=np.concatenate([self.marks, marks[known:][new]]),
            successes=np.concatenate([self.successes, zeros]),
            trials=np.concatenate([self.trials, zeros]),
            edges=edges,
        ), rows


_ARRAYS = [field.name for field in fields(PuzzleGraph)][2:]

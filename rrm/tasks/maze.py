"""Mazes as tasks: Maze-Hard, with many shortest paths of which the label is one, and mazes with a single path."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import ClassVar

import numpy as np

from rrm.errors import InputError
from rrm.tasks import dihedral, maze_generator, maze_unique
from rrm.tasks.base import PuzzleSet
from rrm.tasks.checks import Place, refuse
from rrm.tasks.maze_cells import CHARACTERS, GOAL, LARGEST, OPEN, PAD, PATH, START, WALL, distances, pack
from rrm.tasks.maze_labels import label_mazes
from rrm.tasks.symmetry import Symmetries
from rrm.tasks.text_form import TextForm

SMALLEST = 5
ATTEMPTS = 20  # draws in a row without a new maze after which generation gives up


@dataclass(frozen=True)
class MazeTask(ABC):
    """Square mazes as token grids: "# SGo" (wall, open, start, goal, path) are 1 to 5, 0 is padding.

    The answer is the maze with the cells of a shortest path between S and G marked `o`. The rating is the length of
    that path in steps. See `rrm.tasks.base.Task` for the methods. Subclasses draw mazes and know their symmetries.
    """

    name: str
    n: int  # rows and columns

    vocab_size: ClassVar[int] = len(CHARACTERS)
    ignore_label_id: ClassVar[int] = PAD
    augmentable: ClassVar[bool]

    @property
    def seq_len(self) -> int:
        return self.n * self.n

    @cached_property
    def _text(self) -> TextForm:
        return TextForm(self.name, self.seq_len, CHARACTERS[1:], "'#', ' ', 'S', 'G' and 'o'")

    def encode(self, text: str) -> np.ndarray:
        return self._text.encode(text)

    def decode(self, tokens: np.ndarray) -> str:
        return self._text.decode(tokens)

    @abstractmethod
    def augment(
        self, inputs: np.ndarray, labels: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]: ...

    def symmetry(self, number: int, seed: Sequence[int]) -> Symmetries:
        """One of the eight symmetries of the square; eight numbers in a row, from a multiple of 8, give each once."""
        turn, place = divmod(number, dihedral.COUNT)
        chosen = int(np.random.default_rng([*seed, turn]).permutation(dihedral.COUNT)[place])
        cells = dihedral.apply(chosen, np.arange(self.seq_len)[None])
        return Symmetries(cells, np.arange(self.vocab_size, dtype=np.uint8)[None])

    @abstractmethod
    def symmetry_key(self, inputs: np.ndarray, labels: np.ndarray) -> np.ndarray: ...

    @abstractmethod
    def _draw(self, missing: int, rng: np.random.Generator) -> np.ndarray:
        """About `missing` mazes, uint8 tokens [B, S]; none where the family holds none."""

    def generate(self, count: int, seed: int, givens: int | tuple[int, int] | None = None) -> PuzzleSet:
        """`count` mazes, no two equal up to the symmetries of the task.

        Raises:
            InputError: for `givens`, which mazes do not have, and when the family holds too few mazes.
        """
        if givens is not None:
            raise InputError(f"givens {givens} for {self.name}: mazes have no number of givens; leave it out")
        rng = np.random.Generator(np.random.Philox(seed))
        inputs = np.zeros((0, self.seq_len), np.uint8)
        barren = 0
        while len(inputs) < count:
            drawn = self._draw(count - len(inputs), rng)
            together = np.concatenate([inputs, drawn])
            _, first = np.unique(self.symmetry_key(together, together), axis=0, return_index=True)
            barren = 0 if len(first) > len(inputs) else barren + 1
            inputs = together[np.sort(first)]
            if barren == ATTEMPTS or not len(drawn):
                raise InputError(
                    f"{count} mazes of {self.name}: only {len(inputs)} are found; ask for fewer, or for a larger grid"
                )
        labels, lengths = label_mazes(inputs[:count])
        return PuzzleSet.of(self.name, inputs[:count], labels, lengths, "generated")

    def equivalence_classes(self, inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return np.unique(self.symmetry_key(inputs, labels), axis=0, return_inverse=True)[1].reshape(-1)

    def check(self, puzzles: PuzzleSet, where: Place) -> None:
        """As `rrm.tasks.base.Task.check`; the answer may be any shortest path."""
        inputs, labels = puzzles.inputs, puzzles.labels
        refuse(where, (inputs < WALL) | (inputs > GOAL), "a token of the maze is none of '#', ' ', 'S' and 'G'")
        ends = ((inputs == START).sum(axis=1) != 1) | ((inputs == GOAL).sum(axis=1) != 1)
        refuse(where, ends, "the maze does not have one S and one G")
        refuse(where, self._distances(inputs, inputs == OPEN) < 0, "no path joins S and G")
        score = self.score(inputs, labels, labels)
        refuse(where, score["changed_givens"] > 0, "the answer disagrees with a wall, S or G")
        refuse(where, ~score["valid"], "the 'o' cells of the answer do not join S and G")
        refuse(where, ~score["shortest"], "the path of the answer is not a shortest one")

    def score(self, inputs: np.ndarray, labels: np.ndarray, predictions: np.ndarray) -> dict[str, np.ndarray]:
        """Judge predictions [N, S]: the scores of `rrm.tasks.base.Task.score`, and three of mazes that need no label.

        `exact` asks for the label's path, one of millions of shortest paths in a Maze-Hard maze: never report it alone.

        Returns:
            violations: int [N]: open cells that are predicted as neither open nor path, and one more where the `o`
                cells do not join S and G.
            valid: bool [N]: no violation and no changed given (wall, S or G).
            shortest: bool [N]: valid with length gap 0.
            length_gap: float32 [N]: number of `o` cells minus their number on a shortest path, nan where not valid.
        """
        inputs, predictions = np.asarray(inputs), np.asarray(predictions)
        right = predictions == labels
        changed = ((inputs != OPEN) & (predictions != inputs)).sum(axis=1)
        path = predictions == PATH
        apart = self._distances(inputs, path & (inputs == OPEN)) < 0
        strange = ((inputs == OPEN) & (predictions != OPEN) & ~path).sum(axis=1)
        violations = strange + apart
        valid = (violations == 0) & (changed == 0)
        gap = np.full(len(inputs), np.nan, np.float32)
        gap[valid] = path[valid].sum(axis=1) - (self._distances(inputs[valid], inputs[valid] == OPEN) - 1)
        return {
            "exact": right.all(axis=1),
            "cells": right.mean(axis=1),
            "violations": violations,
            "changed_givens": changed,
            "valid": valid,
            "shortest": gap == 0,
            "length_gap": gap,
        }

    def _distances(self, inputs: np.ndarray, walkable: np.ndarray) -> np.ndarray:
        """int [N]: steps from S to G over the cells bool [N, S], -1 where there is no way."""
        sets = (walkable, inputs == START, inputs == GOAL)
        return distances(*(pack(cells.reshape(-1, self.n, self.n)) for cells in sets))


@dataclass(frozen=True)
class HardMazeTask(MazeTask):
    """Maze-Hard: independent walls, S and G at least `least` steps apart (see `rrm.tasks.maze_generator`).

    The label is the path of the data set's rule (`rrm.tasks.maze_labels`). No symmetry but the identity keeps that
    rule: of the labels of Maze-Hard, turned or mirrored with their mazes, the left-right mirror leaves 92 % in
    agreement with the rule and the six others none. So `augment` changes nothing and `transform` relabels or refuses.
    """

    least: int

    augmentable: ClassVar[bool] = False

    def augment(
        self, inputs: np.ndarray, labels: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        return inputs, labels

    def transform(
        self, inputs: np.ndarray, labels: np.ndarray, symmetry: int, relabel: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mazes and labels [B, S] after one of the symmetries of `rrm.tasks.dihedral`, the labels found anew.

        Raises:
            InputError: without `relabel`, as moved labels contradict the rule of the others.
        """
        if symmetry == 0:
            return inputs, labels
        if not relabel:
            raise InputError(
                f"symmetry {symmetry} for {self.name}: a label is the path found with neighbour order down, left, "
                f"right, up, and the moved label is another; use symmetry 0, relabel=True, or a maze-unique task"
            )
        moved = dihedral.apply(symmetry, inputs)
        return moved, label_mazes(moved)[0]

    def symmetry_key(self, inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return np.array(inputs, np.uint8)

    def _draw(self, missing: int, rng: np.random.Generator) -> np.ndarray:
        return maze_generator.draw_mazes(self.n, self.least, missing, rng)


@dataclass(frozen=True)
class UniqueMazeTask(MazeTask):
    """Mazes without loops, so that the label is the only path (see `rrm.tasks.maze_unique`).

    All eight symmetries of the square keep that. S and G are a number of steps apart that is uniform on `lengths`.
    """

    lengths: tuple[int, int]

    augmentable: ClassVar[bool] = True

    def augment(
        self, inputs: np.ndarray, labels: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        symmetries = rng.integers(dihedral.COUNT, size=len(inputs))
        return dihedral.apply_each(symmetries, inputs), dihedral.apply_each(symmetries, labels)

    def transform(self, inputs: np.ndarray, labels: np.ndarray, symmetry: int) -> tuple[np.ndarray, np.ndarray]:
        """Mazes and labels [B, S] after one of the symmetries of `rrm.tasks.dihedral`."""
        return dihedral.apply(symmetry, inputs), dihedral.apply(symmetry, labels)

    def symmetry_key(self, inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return dihedral.smallest_copy(np.asarray(inputs, np.uint8))

    def check(self, puzzles: PuzzleSet, where: Place) -> None:
        super().check(puzzles, where)
        loops = ~maze_unique.is_tree(puzzles.inputs.reshape(-1, self.n, self.n))
        refuse(where, loops, "the open cells of the maze are not a tree, so that paths need not be unique")

    def _draw(self, missing: int, rng: np.random.Generator) -> np.ndarray:
        low, high = self.lengths
        return maze_unique.draw_mazes(self.n, rng.integers(low, high + 1, missing), rng)


@lru_cache
def maze_task(name: str) -> MazeTask | None:
    """The task called `maze-NxN` or `maze-unique-NxN`, None for any other name.

    The least distance is that of the data set, 109 at 30 x 30, scaled with the 1.13th power of the width: the exponent
    of shortest paths in critical percolation (P. Grassberger, J. Phys. A 25, 1992), near which the long paths are; it
    leaves mazes about equally rare at all sizes. Unique paths have 100 to 140 steps, scaled with the area.

    Raises:
        InputError: for a size out of range.
    """
    match = re.fullmatch(r"maze-(unique-)?([1-9]\d*)x([1-9]\d*)", name)
    if not match:
        return None
    rows, columns = int(match[2]), int(match[3])
    if rows != columns or not SMALLEST <= rows <= LARGEST:
        raise InputError(
            f"task {name!r}: mazes are square, {SMALLEST} x {SMALLEST} to {LARGEST} x {LARGEST}; "
            f"give a name like maze-30x30"
        )
    if match[1]:
        return UniqueMazeTask(name, rows, lengths=(round(rows**2 / 9), round(rows**2 * 7 / 45)))
    return HardMazeTask(name, rows, least=round(109 * (rows / 30) ** 1.13))

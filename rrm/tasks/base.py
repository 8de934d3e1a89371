"""The contract of a task, and the set of puzzles that tasks, splits and trainers pass around."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from rrm.files import replacing
from rrm.tasks.checks import Place
from rrm.tasks.distinct import first_of_each
from rrm.tasks.symmetry import Symmetries


@dataclass(frozen=True)
class PuzzleSet:
    """N puzzles of one task. Row i of every array belongs to puzzle i."""

    task: str
    inputs: np.ndarray  # uint8 tokens [N, S]
    labels: np.ndarray  # uint8 tokens [N, S]
    puzzle_identifiers: np.ndarray  # int32 [N]: row of the puzzle embedding; 0 for a task without one
    rating: np.ndarray  # float32 [N]: difficulty as the source states it, nan when unknown
    source: np.ndarray  # str [N]: where the puzzle comes from

    @classmethod
    def of(
        cls, task: str, inputs: np.ndarray, labels: np.ndarray, rating: ArrayLike | None = None, source: ArrayLike = ""
    ) -> "PuzzleSet":
        """A set with puzzle identifier 0.

        Args:
            task: Name of the task.
            inputs: Tokens [N, S].
            labels: Tokens [N, S].
            rating: [N]; None: all unknown (nan).
            source: One text for all puzzles, or [N] texts.
        """
        count = len(inputs)
        return cls(
            task=task,
            inputs=np.asarray(inputs, np.uint8),
            labels=np.asarray(labels, np.uint8),
            puzzle_identifiers=np.zeros(count, np.int32),
            rating=np.full(count, np.nan, np.float32) if rating is None else np.asarray(rating, np.float32),
            source=np.full(count, source) if isinstance(source, str) else np.asarray(source, str),
        )

    @classmethod
    def concatenate(cls, sets: list["PuzzleSet"]) -> "PuzzleSet":
        """The puzzles of sets of one task, one set after the other."""
        names = sets[0].arrays
        return cls(sets[0].task, **{name: np.concatenate([each.arrays[name] for each in sets]) for name in names})

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name, in the order of the fields."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "task"}

    def subset(self, index: np.ndarray | slice | list[int]) -> "PuzzleSet":
        """The puzzles that `index` (integers, booleans or a slice) selects, in its order."""
        return PuzzleSet(self.task, **{name: array[index] for name, array in self.arrays.items()})

    def distinct(self) -> np.ndarray:
        """int [D]: the puzzles that differ from all before them in their tokens or their identifier."""
        rows = zip(self.inputs, self.puzzle_identifiers, strict=True)
        first, _ = first_of_each(tokens.tobytes() + identifier.tobytes() for tokens, identifier in rows)
        return first

    def content_hash(self) -> str:
        """sha256 (hex) over the task and the names, shapes and values of the arrays; the same on every machine."""
        digest = hashlib.sha256(self.task.encode())
        for name, array in self.arrays.items():
            # numpy pads strings to the longest of the array and stores numbers in the byte order of the machine
            if array.dtype.kind == "U":
                kind, values = "str", "\0".join(array.tolist()).encode()
            else:
                kind, values = array.dtype.name, array.astype(array.dtype.newbyteorder("<")).tobytes()
            digest.update(f"\n{name} {array.shape} {kind}\n".encode())
            digest.update(values)
        return digest.hexdigest()

    def save(self, path: str | Path) -> None:
        """Write an `.npz` file without pickles. The file appears complete or not at all."""
        arrays: dict[str, Any] = {"task": np.array(self.task), **self.arrays}
        with replacing(path) as unfinished, open(unfinished, "wb") as file:
            np.savez_compressed(file, **arrays)


class Task(Protocol):
    """A family of puzzles whose answers can be verified without a label.

    Tokens are uint8. 0 is padding and never part of a puzzle, the other values below `vocab_size` are the task's own.
    Every method that takes a batch works on rows independently and leaves its arguments unchanged.
    """

    @property
    def name(self) -> str:
        """The name that `get_task` takes."""

    @property
    def seq_len(self) -> int:
        """S: tokens of a puzzle, row by row."""

    @property
    def vocab_size(self) -> int:
        """Number of tokens, padding included."""

    @property
    def ignore_label_id(self) -> int:
        """Label token that the loss leaves out."""

    @property
    def augmentable(self) -> bool:
        """Whether `augment` knows a symmetry besides the identity."""

    def encode(self, text: str) -> np.ndarray:
        """Tokens [S] of a puzzle or an answer in text form.

        Raises:
            InputError: on a wrong length or character.
        """

    def decode(self, tokens: np.ndarray) -> str:
        """The text form of tokens [S]; `decode(encode(text))` is `text` up to spelling variants."""

    def generate(self, count: int, seed: int, givens: int | tuple[int, int] | None = None) -> PuzzleSet:
        """`count` puzzles of the family, no two of them equal up to symmetry; the same for the same seed.

        Args:
            count: Number of puzzles N.
            seed: Seed of the generator.
            givens: Number of given cells, or (least, most); None: the default of the task.

        Raises:
            InputError: when the family holds fewer puzzles, or for bad givens.
        """

    def augment(
        self, inputs: np.ndarray, labels: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Apply a random symmetry to every row of inputs and labels [B, S]: an equally valid puzzle and its answer."""

    def symmetry(self, number: int, seed: Sequence[int]) -> Symmetries:
        """One random symmetry of the rules (B = 1), a pure function of `number`, 0 or more, and `seed`.

        The copy has the same answers by the rules, moved along. Where a label is one of several answers, the moved
        label need not be the label that the copy would have.
        """

    def symmetry_key(self, inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """uint8 [B, S]: equal rows exactly for puzzles that a symmetry maps on each other. Exact, and slow."""

    def equivalence_classes(self, inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """int [B]: equal numbers exactly for rows with equal symmetry keys, found without a key for every row."""

    def check(self, puzzles: PuzzleSet, where: Place) -> None:
        """Refuse puzzles that break a rule of their family or have a wrong answer.

        A Sudoku must have exactly one solution, and a maze of a unique-path family exactly one path.

        Raises:
            InputError: at the first such puzzle i; the message begins with `where(i)`, such as "train.csv line 7".
        """

    def score(self, inputs: np.ndarray, labels: np.ndarray, predictions: np.ndarray) -> dict[str, np.ndarray]:
        """Judge predictions [N, S] of puzzles [N, S] with labels [N, S].

        A prediction without violations and changed givens solves the puzzle, whatever its label says.

        Returns:
            exact: bool [N]: the prediction equals the label.
            cells: float [N]: share of right cells.
            violations: int [N]: constraints that the prediction breaks, found without the label.
            changed_givens: int [N]: given cells that the prediction changes.
            Mazes add valid, shortest and length_gap (`rrm.tasks.maze`).
        """

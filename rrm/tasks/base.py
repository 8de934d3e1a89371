"""What every task offers, and the set of puzzles that tasks, splits and trainers pass around."""

import hashlib
import uuid
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Protocol

import numpy as np

from rrm.tasks.distinct import first_of_each


@dataclass(frozen=True)
class PuzzleSet:
    """N puzzles of one task. Row i of every array belongs to puzzle i."""

    task: str
    inputs: np.ndarray  # uint8 tokens [N, S]
    labels: np.ndarray  # uint8 tokens [N, S]
    puzzle_identifiers: np.ndarray  # int32 [N]: row of the puzzle embedding, 0 where a task has no such thing
    rating: np.ndarray  # float32 [N]: difficulty as the source states it, nan when unknown
    source: np.ndarray  # str [N]: where the puzzle comes from

    @classmethod
    def of(cls, task: str, inputs, labels, rating=None, source="") -> "PuzzleSet":
        """A set with puzzle identifier 0, and with unknown ratings where none are given."""
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

    def subset(self, index) -> "PuzzleSet":
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
        path = Path(path)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            with open(temporary, "wb") as file:
                np.savez_compressed(file, task=np.array(self.task), **self.arrays)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


class Task(Protocol):
    """A family of puzzles whose answers can be verified without a label.

    Tokens are uint8. 0 is padding and never part of a puzzle, the other values below `vocab_size` are the task's own.
    Every method that takes a batch works on rows independently and leaves its arguments unchanged.
    """

    name: str
    seq_len: int  # S: tokens of a puzzle, row by row
    vocab_size: int  # number of tokens, padding included
    grid_shape: tuple[int, int]
    ignore_label_id: int  # label token that the loss leaves out
    augmentable: bool  # whether `augment` knows a symmetry but the identity

    def encode(self, text: str) -> np.ndarray:
        """Tokens [S] of a puzzle or an answer in text form; InputError on a wrong length or character."""

    def decode(self, tokens: np.ndarray) -> str:
        """The text form of tokens [S]; `decode(encode(text))` is `text` up to spelling variants."""

    def generate(self, count: int, seed: int, givens: int | tuple[int, int] | None = None) -> PuzzleSet:
        """`count` puzzles of the family, no two of them equal up to symmetry; the same for the same seed.

        `givens` bounds the number of given cells (task's default when None). InputError when the family holds fewer.
        """

    def augment(self, inputs, labels, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Apply a random symmetry to every row of inputs and labels [B, S]: an equally valid puzzle and its answer."""

    def symmetry_key(self, inputs, labels) -> np.ndarray:
        """uint8 [B, S]: equal rows exactly for puzzles that a symmetry maps on each other. Exact, and slow."""

    def equivalence_classes(self, inputs, labels) -> np.ndarray:
        """int [B]: equal numbers exactly for rows with equal symmetry keys, found without a key for every row."""

    def check(self, puzzles: PuzzleSet, where) -> None:
        """InputError at the first puzzle that breaks a rule of its family or has a wrong answer.

        A Sudoku must have just one solution, and a maze of a unique-path family just one path.

        `where(i)` names row i for the message, such as "train.csv line 7".
        """

    def score(self, inputs, labels, predictions) -> dict[str, np.ndarray]:
        """Judge predictions [N, S].

        exact (bool [N]: equals the label), cells (float [N]: share of right cells), violations (int [N]: broken
        constraints of the prediction, no label needed), changed_givens (int [N]: given cells that it changes). A
        prediction without violations and changed givens solves the puzzle. Mazes add valid, shortest and length_gap.
        """

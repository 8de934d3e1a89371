"""The folders of arrays that the training code of the field reads: `ROOT/{train,test}` and `ROOT/identifiers.json`.

A part (train or test) holds dataset.json and five arrays. Examples (rows of all__inputs and all__labels) make up
puzzles, from all__puzzle_indices[i] to the next, and puzzles make up groups in the same way: an original followed by
its augmentations. HRM's files lack total_puzzles in dataset.json, TRM's have it, with the number of groups.
Reading keeps types and texts, so that writing gives the same bytes (numpy 1.23 or later wrote the arrays).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np

from rrm.errors import InputError
from rrm.files import MB, MOST_CONFIG, map_npy, parse_object, read_text
from rrm.tasks import PuzzleSet, Task, get_task
from rrm.tasks.distinct import first_of_each
from rrm.tasks.recognise import task_of_tokens

PARTS = ("train", "test")
MOST_INT32 = (1 << 31) - 1
# Numbers of dataset.json: (the least allowed value, whether the number must be there).
_NUMBERS = {
    "seq_len": (1, True), "vocab_size": (1, True), "num_puzzle_identifiers": (1, False),
    "ignore_label_id": (-MOST_INT32, False),
}  # fmt: skip
MASKED = -100  # the label that the public losses leave out, whatever dataset.json says
BLOCK = 1 << 16  # examples whose tokens are checked together
REMEDY = "build the folder again"
MOST_NAMES = 512 * MB  # of identifiers.json: one name for each of some million augmented puzzles


@dataclass(frozen=True)
class OfficialPart:
    """One part of a data set: N examples of S tokens, P puzzles, G groups. The arrays may be memory-mapped files."""

    place: str  # the folder, for messages
    metadata_text: str  # dataset.json as it is on disk
    inputs: np.ndarray  # integer tokens [N, S]
    labels: np.ndarray  # integer tokens [N, S]
    puzzle_identifiers: np.ndarray  # integers [P]: row of the puzzle embedding
    puzzle_indices: np.ndarray  # integers [P + 1]: first example of every puzzle, and N
    group_indices: np.ndarray  # integers [G + 1]: first puzzle of every group, and P

    @cached_property
    def metadata(self) -> dict:
        return json.loads(self.metadata_text)

    @classmethod
    def of(cls, puzzles: PuzzleSet, group_size: int) -> "OfficialPart":
        """A part of puzzles with one example each; every `group_size` puzzles in a row are a group."""
        task = get_task(puzzles.task)
        groups = len(puzzles) // group_size
        metadata = {
            "pad_id": 0,
            "ignore_label_id": task.ignore_label_id,
            "blank_identifier_id": 0,
            "vocab_size": task.vocab_size,
            "seq_len": task.seq_len,
            "num_puzzle_identifiers": int(puzzles.puzzle_identifiers.max()) + 1,
            "total_groups": groups,
            "mean_puzzle_examples": 1,
            "total_puzzles": groups,
            "sets": ["all"],
        }
        return cls(
            place=puzzles.task,
            metadata_text=json.dumps(metadata),
            inputs=puzzles.inputs,
            labels=puzzles.labels,
            puzzle_identifiers=puzzles.puzzle_identifiers,
            puzzle_indices=np.arange(len(puzzles) + 1, dtype=np.int32),
            group_indices=np.arange(0, len(puzzles) + 1, group_size, dtype=np.int32),
        )

    @classmethod
    def read(cls, folder: str | Path) -> "OfficialPart":
        """The part in a folder, its arrays memory-mapped.

        Raises:
            InputError: at the first missing file or wrong value.
        """
        folder = Path(folder)
        part = cls(
            place=str(folder),
            metadata_text=read_text(folder / "dataset.json", REMEDY, MOST_CONFIG),
            **{name: map_npy(_array_path(folder, name), REMEDY) for name in _ARRAYS},
        )
        part._check_metadata()
        part._check_shapes()
        part._check_indices("puzzle_indices", len(part.inputs))
        part._check_indices("group_indices", len(part.puzzle_identifiers))
        part._check_values()
        return part

    def write(self, folder: str | Path) -> None:
        """Write the files of the part; the folder must be new, as its files may be mapped here."""
        folder = Path(folder)
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise InputError(f"{folder}: cannot be created ({error.strerror}); give the path of a new folder") from None
        _write_text(folder / "dataset.json", self.metadata_text)
        for name in _ARRAYS:
            np.save(_array_path(folder, name), getattr(self, name), allow_pickle=False)

    @property
    def originals(self) -> np.ndarray:
        """int [G]: the first example of every group; the others of the group are copies of its puzzle."""
        return self.puzzle_indices[self.group_indices[:-1]]

    def distinct(self) -> np.ndarray:
        """int [D]: the originals that differ from all before them in their tokens or their puzzle identifier."""
        originals = zip(self.originals, self.puzzle_identifiers[self.group_indices[:-1]], strict=True)
        first, _ = first_of_each(self.inputs[row].tobytes() + which.tobytes() for row, which in originals)
        return self.originals[first]

    @property
    def task(self) -> Task:
        """The task of the puzzles.

        Raises:
            InputError: when no task has that shape.
        """
        first = np.asarray(self.inputs[0], np.uint8)
        return task_of_tokens(first, self.metadata["vocab_size"], self.place)

    def puzzles(self, examples: np.ndarray) -> PuzzleSet:
        """The examples int [M] (numbers from 0) as a set of the platform, checked.

        Where the public losses leave a label out, the cell is a given one and the label becomes its token.

        Raises:
            InputError: at the first wrong example.
        """
        task = self.task
        puzzle = np.searchsorted(self.puzzle_indices, examples, side="right") - 1
        inputs, labels = self.inputs[examples], self.labels[examples]
        masked = (labels == MASKED) | (labels == self.metadata.get("ignore_label_id"))
        puzzles = PuzzleSet.of(task.name, inputs, np.where(masked, inputs, labels), source="official")
        puzzles.puzzle_identifiers[:] = self.puzzle_identifiers[puzzle]
        try:
            task.check(puzzles, lambda i: f"{self.place} example {examples[i]}")
        except InputError as error:
            if not masked.any():
                raise
            raise InputError(
                f"{error}; its labels of ignore_label_id ({self.metadata.get('ignore_label_id')}) or {MASKED} say "
                "nothing, and were taken to be what the puzzle gives: write whole answers into all__labels.npy"
            ) from None
        return puzzles

    def _check_metadata(self) -> None:
        path = Path(self.place) / "dataset.json"
        metadata = parse_object(self.metadata_text, path, REMEDY)
        for key, (least, needed) in _NUMBERS.items():
            value = metadata.get(key)
            if value is None and not needed:
                continue
            if type(value) is not int or not least <= value <= MOST_INT32:
                raise InputError(f"{path}: {key} is {value!r:.40}, give a whole number from {least} to {MOST_INT32}")
        if metadata.get("sets", ["all"]) != ["all"]:
            sets = repr(metadata["sets"])
            raise InputError(f'{path}: sets is {sets:.40}, only ["all"] is read; give a folder with that set')

    def _check_shapes(self) -> None:
        for name in _ARRAYS:
            array = getattr(self, name)
            path = _array_path(Path(self.place), name)
            dimensions = 2 if name in ("inputs", "labels") else 1
            if array.dtype.kind not in "iu" or array.ndim != dimensions or not len(array):
                raise InputError(
                    f"{path}: {array.dtype} of shape {array.shape}; needed are integers with {dimensions} "
                    f"dimension(s), at least one row; {REMEDY}"
                )
        wanted = (len(self.inputs), self.metadata["seq_len"])
        for name in ("inputs", "labels"):
            if getattr(self, name).shape != wanted:
                raise InputError(
                    f"{_array_path(Path(self.place), name)}: shape {getattr(self, name).shape}, needed is {wanted}: "
                    f"the rows of all__inputs and the seq_len of dataset.json; {REMEDY}"
                )
        if len(self.puzzle_indices) != len(self.puzzle_identifiers) + 1:
            raise InputError(
                f"{_array_path(Path(self.place), 'puzzle_indices')}: {len(self.puzzle_indices)} entries, needed are "
                f"{len(self.puzzle_identifiers) + 1}: one more than in all__puzzle_identifiers; {REMEDY}"
            )

    def _check_indices(self, name: str, end: int) -> None:
        indices = getattr(self, name).astype(np.int64)  # larger numbers wrap around and show as falling
        wrong = np.flatnonzero(np.diff(indices) <= 0)
        path = _array_path(Path(self.place), name)
        if len(wrong):
            raise InputError(
                f"{path}: entry {wrong[0] + 1} is {indices[wrong[0] + 1]} after {indices[wrong[0]]}, needed are rising "
                f"numbers; {REMEDY}"
            )
        if indices[0] != 0 or indices[-1] != end:
            raise InputError(f"{path}: numbers from {indices[0]} to {indices[-1]}, needed are 0 to {end}; {REMEDY}")

    def _check_values(self) -> None:
        metadata = self.metadata
        for name, block, first in self._token_blocks():
            wrong = (block < 0) | (block >= metadata["vocab_size"])
            if name == "labels":
                wrong &= (block != MASKED) & (block != metadata.get("ignore_label_id"))
            if wrong.any():
                row, column = np.argwhere(wrong)[0]
                raise InputError(
                    f"{_array_path(Path(self.place), name)}: token {block[row, column]} in row {first + row}, allowed "
                    f"are 0 to {metadata['vocab_size'] - 1} by the vocab_size of dataset.json; {REMEDY}"
                )
        most = metadata.get("num_puzzle_identifiers")
        identifiers = self.puzzle_identifiers
        if identifiers.min() < 0 or identifiers.max() >= (MOST_INT32 if most is None else most):
            raise InputError(
                f"{_array_path(Path(self.place), 'puzzle_identifiers')}: numbers from {identifiers.min()} to "
                f"{identifiers.max()}, num_puzzle_identifiers of dataset.json is {most}; {REMEDY}"
            )

    def _token_blocks(self) -> Iterator[tuple[str, np.ndarray, int]]:
        for name in ("inputs", "labels"):
            for first in range(0, len(self.inputs), BLOCK):
                yield name, getattr(self, name)[first : first + BLOCK], first


_ARRAYS = [field.name for field in fields(OfficialPart)][2:]


@dataclass(frozen=True)
class OfficialDataset:
    """The parts of a data set by name, train and where there is one test, and the text of identifiers.json."""

    parts: dict[str, OfficialPart]
    identifiers_text: str = '["<blank>"]'

    @classmethod
    def read(cls, root: str | Path) -> "OfficialDataset":
        """Read a folder, whose test part may be absent.

        Raises:
            InputError: at the first missing file or wrong value.
        """
        root = Path(root)
        names = [name for name in PARTS if name == "train" or (root / name).exists()]
        return cls(
            {name: OfficialPart.read(root / name) for name in names},
            read_text(root / "identifiers.json", REMEDY, MOST_NAMES),
        )

    def write(self, root: str | Path) -> None:
        """Write all files.

        Raises:
            InputError: when the folder holds a part already.
        """
        for name, part in self.parts.items():
            part.write(Path(root) / name)
        _write_text(Path(root) / "identifiers.json", self.identifiers_text)


def is_official(path: str | Path) -> bool:
    """Whether a path is a folder with a train part."""
    return (Path(path) / "train" / "dataset.json").is_file()


def _array_path(folder: Path, name: str) -> Path:
    return folder / f"all__{name}.npy"


def _write_text(path: Path, text: str) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(text)

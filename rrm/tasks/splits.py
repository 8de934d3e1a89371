"""Train, validation and test sets without overlap up to symmetry: generated or read from files, and kept on disk."""

import hashlib
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from rrm.errors import InputError
from rrm.files import file_hash, read_object, replacing
from rrm.tasks import PuzzleSet, get_task
from rrm.tasks.official_files import PARTS, OfficialPart, is_official
from rrm.tasks.puzzle_csv import distinct_rows, read_puzzles
from rrm.tasks.puzzle_file import load_puzzles

NAMES = ("train", "validation", "test")
Sizes = tuple[int, int, int]  # puzzles for train, validation and test
GENERATOR_VERSION = 2  # raise it with every change of the generated puzzles, the defaults of the tasks included
READER_VERSION = 3  # raise it with every change of the rows that are chosen or refused


@dataclass(frozen=True)
class Splits:
    """Three sets of one task; no puzzle of one set is a symmetric copy of a puzzle of another.

    Attributes:
        train, validation, test: the sets.
        repeated: rows of the files that were passed over because an earlier row has the same puzzle.
    """

    train: PuzzleSet
    validation: PuzzleSet
    test: PuzzleSet
    repeated: int = 0

    def content_hash(self) -> str:
        """sha256 (hex) over the content hashes of the three sets."""
        return hashlib.sha256(" ".join(getattr(self, name).content_hash() for name in NAMES).encode()).hexdigest()


def generate_splits(
    task_name: str,
    sizes: Sizes,
    seed: int,
    givens: int | tuple[int, int] | None,
    cache_dir: str | Path,
) -> Splits:
    """Generate puzzles that all differ up to symmetry and split them into train, validation and test.

    Args:
        task_name: Name of the task (`rrm.tasks.get_task`).
        sizes: Puzzles for train, validation and test.
        seed: Seed of the generator.
        givens: As for `Task.generate`.
        cache_dir: Folder that keeps the splits for the next call.

    Raises:
        InputError: on bad settings, or when the task has too few puzzles.
    """
    task = get_task(task_name)
    train, validation, test = _valid_sizes(sizes)

    def make() -> Splits:
        puzzles = task.generate(train + validation + test, seed, givens)
        return Splits(
            train=puzzles.subset(slice(0, train)),
            validation=puzzles.subset(slice(train, train + validation)),
            test=puzzles.subset(slice(train + validation, None)),
        )

    settings = {"generator": GENERATOR_VERSION, "task": task_name, "sizes": sizes, "seed": seed, "givens": givens}
    return _cached(Path(cache_dir), settings, make)


def read_splits(path: str | Path, sizes: Sizes, seed: int, cache_dir: str | Path) -> Splits:
    """Read a folder with train.csv and test.csv (validation is cut from train), or one CSV file that is cut in three.

    A folder with train/dataset.json and test/dataset.json is read as well (`rrm.tasks.official_files`), the first
    puzzle of each group as a row: the other puzzles are copies of the first.

    The reader draws a seeded sample of rows with distinct puzzles and checks them. For validation and train it passes
    over symmetric copies of test rows, for train also over copies of validation rows.

    Args:
        path: File or folder.
        sizes: Most puzzles for train, validation and test; smaller files are shared out in that proportion.
        seed: Seed of the sample.
        cache_dir: Folder that keeps the splits for the next call.

    Raises:
        InputError: when the path is missing, at the first wrong row, or when too few rows are left.
    """
    sizes, files = _valid_sizes(sizes), _files(Path(path))

    def make() -> Splits:
        return _draw_splits(files, sizes, np.random.Generator(np.random.Philox(seed)))

    settings = {"reader": READER_VERSION, "files": [file.hash() for file in files], "sizes": sizes, "seed": seed}
    return _cached(Path(cache_dir), settings, make)


def cells_of(path: str | Path) -> int:
    """Cells of the first puzzle of files as for `read_splits`, which says what it raises."""
    return _files(Path(path))[0].read(np.arange(1)).inputs.shape[1]


def _files(path: Path) -> "list[_File]":
    """The files of puzzles at `path`, the one with the test puzzles last."""
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; give a CSV file, or a folder with train.csv and test.csv")
    if is_official(path):
        return [_Part(path / name) for name in PARTS]
    return [_Csv(file) for file in ([path / "train.csv", path / "test.csv"] if path.is_dir() else [path])]


class _File(Protocol):
    """Puzzles by row number; `str` of a file names it in messages."""

    def hash(self) -> str | list[str]:
        """sha256 (hex) of the file, or of each of several."""

    def distinct(self) -> tuple[np.ndarray, int]:
        """(int [D]: rows that repeat no earlier one; the number of all rows)."""

    def read(self, rows: np.ndarray) -> PuzzleSet:
        """The puzzles of rows int [N], checked; InputError at the first wrong one."""


class _Csv:
    """The rows of a CSV file."""

    def __init__(self, path: Path):
        if not path.is_file():
            raise InputError(f"{path}: no such file; a folder of puzzles needs train.csv and test.csv")
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def hash(self) -> str:
        return file_hash(self.path)

    def distinct(self) -> tuple[np.ndarray, int]:
        return distinct_rows(self.path)

    def read(self, rows: np.ndarray) -> PuzzleSet:
        return read_puzzles(self.path, rows)


class _Part:
    """The original puzzles of one part of a folder of arrays."""

    def __init__(self, path: Path):
        self.path = path
        self.part = OfficialPart.read(path)

    def __str__(self) -> str:
        return str(self.path)

    def hash(self) -> list[str]:
        return [file_hash(path) for path in sorted(self.path.iterdir()) if path.is_file()]

    def distinct(self) -> tuple[np.ndarray, int]:
        return self.part.distinct(), len(self.part.originals)

    def read(self, rows: np.ndarray) -> PuzzleSet:
        return self.part.puzzles(rows)


def _draw_splits(files: list[_File], sizes: Sizes, rng: np.random.Generator) -> Splits:
    """The splits of one file, or of a train and a test file."""
    distinct, counts = zip(*(file.distinct() for file in files), strict=True)
    repeated = sum(counts) - sum(map(len, distinct))
    rows = [rng.permutation(rows) for rows in distinct]
    if len(files) == 2:
        train_size, validation_size = _fit(files[0], sizes[:2], len(rows[0]))
        (test_size,) = _fit(files[1], sizes[2:], len(rows[1]))
    else:
        train_size, validation_size, test_size = _fit(files[0], sizes, len(rows[0]))
    test, rest = _draw(files[-1], rows[-1], test_size, apart_from=[])
    rest = rows[0] if len(files) == 2 else rest
    validation, rest = _draw(files[0], rest, validation_size, apart_from=[test])
    train, _ = _draw(files[0], rest, train_size, apart_from=[test, validation])
    if train.task != test.task:
        raise InputError(f"{files[0]} holds {train.task} and {files[-1]} {test.task}; give files of one task")
    return Splits(train, validation, test, repeated)


def _fit(file: _File, sizes: tuple[int, ...], available: int) -> list[int]:
    """The sizes, scaled down where the file has fewer rows than their sum."""
    if available < len(sizes):
        raise InputError(f"{file}: {available} distinct puzzles for {len(sizes)} splits; give a file with more")
    share = min(1, available / sum(sizes))
    return [max(1, int(size * share)) for size in sizes]


def puzzles_needed(path: str | Path, sizes: Sizes, least: int) -> int:
    """Fewest distinct puzzles, in the file or the train part, of which `read_splits` makes `least` training puzzles."""
    together = sum(sizes[:2] if Path(path).is_dir() else sizes)
    return next(count for count in itertools.count(least) if int(sizes[0] * min(1, count / together)) >= least)


def _draw(file: _File, rows: np.ndarray, size: int, apart_from: list[PuzzleSet]) -> tuple[PuzzleSet, np.ndarray]:
    """(the first `size` puzzles of `rows` that are no symmetric copies of puzzles in `apart_from`, the rows behind)."""
    drawn = []
    missing = size
    while missing and len(rows):
        puzzles, rows = file.read(rows[:missing]), rows[missing:]
        drawn.append(puzzles.subset(~_copies(puzzles, apart_from)))
        missing -= len(drawn[-1])
    if missing:
        raise InputError(
            f"{file}: {size - missing} rows are left that are no symmetric copies of rows in another split, {size} are "
            f"asked for; ask for smaller splits"
        )
    return PuzzleSet.concatenate(drawn), rows


def _copies(puzzles: PuzzleSet, others: list[PuzzleSet]) -> np.ndarray:
    """bool [N]: the puzzle is a symmetric copy of a puzzle in the other sets of the same task."""
    sets = [puzzles, *(other for other in others if other.task == puzzles.task)]
    together = PuzzleSet.concatenate(sets)
    classes = get_task(puzzles.task).equivalence_classes(together.inputs, together.labels)
    return np.isin(classes[: len(puzzles)], classes[len(puzzles) :])


def _valid_sizes(sizes: Sizes) -> Sizes:
    if len(sizes) != 3 or min(sizes) < 1:
        raise InputError(f"split sizes {tuple(sizes)}; give three numbers of puzzles from 1: train, validation, test")
    train, validation, test = map(int, sizes)
    return train, validation, test


def _cached(folder: Path, settings: dict, make: Callable[[], Splits]) -> Splits:
    """The splits that the folder keeps for these settings, or else `make()`, which the folder then keeps.

    An entry is three sets and a record with the settings and the content hash. The record is written last and every
    file is renamed into place. An incomplete entry, or one that does not match its content hash, is made again.
    """
    text = json.dumps(settings, sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()
    paths = {name: folder / f"{key}-{name}.npz" for name in NAMES}
    record = folder / f"{key}.json"
    try:
        known = read_object(record, "make it again")
        splits = Splits(**{name: load_puzzles(path) for name, path in paths.items()}, repeated=known["repeated"])
        if splits.content_hash() == known["content_hash"]:
            return splits
    except (OSError, ValueError, KeyError):
        pass  # no entry, or a damaged one (InputError is a ValueError)

    splits = make()
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in paths.items():
        getattr(splits, name).save(path)
    content = {"settings": settings, "content_hash": splits.content_hash(), "repeated": splits.repeated}
    with replacing(record) as unfinished:
        unfinished.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return splits

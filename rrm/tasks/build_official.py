"""Build data sets in the files of the field from CSV files: a seeded sample with seeded symmetric copies."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rrm.errors import InputError
from rrm.tasks import PuzzleSet, get_task
from rrm.tasks.official_files import MOST_INT32, OfficialDataset, OfficialPart
from rrm.tasks.puzzle_csv import count_rows, read_puzzles

BLOCK = 100_000  # copies between two reports of the progress


def build_official(
    source: str | Path,
    out: str | Path,
    subsample: int | None,
    augmentations: int,
    seed: int,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> OfficialDataset:
    """Write a data set to a new folder; the same bytes for the same rows and settings.

    Args:
        source: A CSV file, which becomes the train part, or a folder with train.csv and test.csv.
        out: The new folder.
        subsample: Train puzzles to draw without repetition; None: all, in the order of the file.
        augmentations: Random symmetric copies that follow each train puzzle in its group. The test part gets none.
        seed: Seed of the sample and the copies.
        report: Called as `report(done, total)` with numbers of train puzzles, copies included.

    Raises:
        InputError: on bad files or settings, and for copies of a task whose labels no symmetry keeps.
    """
    source = Path(source)
    files = {"train": source / "train.csv", "test": source / "test.csv"} if source.is_dir() else {"train": source}
    if subsample is not None and subsample < 1:
        raise InputError(f"subsample {subsample}; give a number of puzzles from 1, or leave it out for all")
    if augmentations < 0:
        raise InputError(f"augmentations {augmentations}; give a number of copies of each puzzle from 0")
    if seed < 0:
        raise InputError(f"seed {seed}; give a number from 0")
    if os.path.lexists(out):
        raise InputError(f"{out}: exists already; give the path of a new folder")
    above = next(path for path in Path(out).absolute().parents if os.path.lexists(path))
    if not (above.is_dir() and os.access(above, os.W_OK)):
        raise InputError(f"{out}: cannot be made in {above}; give the path of a new folder")
    rng = np.random.Generator(np.random.Philox(seed))
    originals = read_puzzles(files["train"], _sample(files["train"], subsample, rng))
    train = _augmented(originals, augmentations, rng, report)
    parts = {"train": OfficialPart.of(train, 1 + augmentations)}
    if "test" in files:
        test = read_puzzles(files["test"])
        if test.task != train.task:
            raise InputError(f"{source}: train.csv holds {train.task}, test.csv {test.task}; give files of one task")
        parts["test"] = OfficialPart.of(test, 1)
    dataset = OfficialDataset(parts)
    dataset.write(out)
    return dataset


def _sample(file: Path, subsample: int | None, rng: np.random.Generator) -> np.ndarray | None:
    """int [M]: rows of a CSV file to read, None for all."""
    if subsample is None:
        return None
    rows = count_rows(file)
    if subsample > rows:
        raise InputError(f"subsample {subsample}: {file} has {rows} rows; give at most that many, or leave it out")
    return rng.choice(rows, subsample, replace=False)


def _augmented(
    originals: PuzzleSet, augmentations: int, rng: np.random.Generator, report: Callable[[int, int], None]
) -> PuzzleSet:
    """The originals, each followed by its copies."""
    task = get_task(originals.task)
    if augmentations and not task.augmentable:
        raise InputError(
            f"augmentations {augmentations}: the labels of {task.name} follow a rule that moved labels contradict; "
            f"give 0, or mazes with unique paths"
        )
    size = 1 + augmentations
    if len(originals) * size > MOST_INT32:
        raise InputError(
            f"augmentations {augmentations} of {len(originals)} puzzles are more than {MOST_INT32} in all, which the "
            "indices of the format do not reach; give a smaller number"
        )
    step = max(1, BLOCK // size)
    sets = []
    for first in range(0, len(originals), step):
        block = originals.subset(np.arange(first, min(first + step, len(originals))).repeat(size))
        copy = np.arange(len(block)) % size > 0
        inputs, labels = block.inputs, block.labels
        inputs[copy], labels[copy] = task.augment(inputs[copy], labels[copy], rng)
        sets.append(block)
        report(first * size + len(block), len(originals) * size)
    return PuzzleSet.concatenate(sets)

"""Rated sets of puzzles, which a folder keeps: made by a generator or by vicinity search, or rated as they are."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rrm.errors import InputError
from rrm.tasks import PuzzleSet, get_task
from rrm.tasks.difficulty import rated
from rrm.tasks.puzzle_file import load_puzzles
from rrm.tasks.splits import GENERATOR_VERSION
from rrm.tasks.sudoku_hard import BOX, rated_puzzles

RATING_VERSION = 1  # raise it with every change of a rating
HARD = 10.0  # guesses from which `generate_rated` calls a puzzle hard


def generate_rated(
    task: str,
    count: int,
    seed: int,
    givens: tuple[int, int] | None,
    hard: float | None,
    cache: Path,
    progress: Callable[[int], None] = lambda rows: None,
) -> PuzzleSet:
    """A rated set of new puzzles that differ up to symmetry; the same for the same arguments.

    Args:
        task: name of the task.
        count: number of puzzles.
        seed: of generator and rating.
        givens: as for `Task.generate`.
        hard: share of puzzles with `HARD` guesses or more, found by vicinity search; 9 x 9 Sudoku alone, without
            `givens`. None: random puzzles.
        cache: folder that keeps the set for the next call.
        progress: as for `rated`.

    Raises:
        InputError: on bad arguments, or when the task has too few puzzles.
    """
    family = get_task(task)
    if count < 1:
        raise InputError(f"{count} puzzles: ask for 1 or more")
    if hard is not None and getattr(family, "box", None) != BOX:
        raise InputError(f"a share of hard puzzles of {task}: vicinity search is for sudoku-9x9; leave the share out")
    if hard is not None and givens is not None:
        raise InputError("givens and a share of hard puzzles: vicinity search makes minimal puzzles; give one of them")

    def make() -> PuzzleSet:
        if hard is None:
            return family.generate(count, seed, givens)
        return rated_puzzles(count, seed, HARD, hard)

    settings = {"generator": GENERATOR_VERSION, "task": task, "count": count, "givens": givens, "hard": hard}
    return _kept(cache, {**settings, "seed": seed}, seed, make, progress)


def rate_again(
    puzzles: PuzzleSet, seed: int, cache: Path, progress: Callable[[int], None] = lambda rows: None
) -> PuzzleSet:
    """The set with ratings of this platform; a hard Sudoku takes 20 ms, so the folder keeps the result."""
    return _kept(cache, {"content": puzzles.content_hash(), "seed": seed}, seed, lambda: puzzles, progress)


def _kept(
    cache: Path,
    settings: dict[str, Any],
    seed: int,
    make: Callable[[], PuzzleSet],
    progress: Callable[[int], None],
) -> PuzzleSet:
    """The rated set that the folder keeps for the settings, or else that of `make()`, which the folder then keeps."""
    text = json.dumps({"rating": RATING_VERSION, **settings}, sort_keys=True)
    path = cache / f"rated-{hashlib.sha256(text.encode()).hexdigest()}.npz"
    try:
        return load_puzzles(path)
    except InputError:
        pass  # none, or a damaged one
    puzzles = rated(make(), seed, progress)
    cache.mkdir(parents=True, exist_ok=True)
    puzzles.save(path)
    return puzzles

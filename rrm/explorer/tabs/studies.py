"""What studies of several trainings have stored, as far as those trainings are drawn."""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Protocol, TypeVar

from rrm.explorer.selection import Selection


class OfARun(Protocol):
    """Something of the training `run`: its id, "GROUP/NAME" of a job folder, or "" for a training outside of all."""

    @property
    def run(self) -> str: ...


Stored = TypeVar("Stored", bound=OfARun)


def stored(selection: Selection, files: Iterable[Path], load: Callable[[Path], list[Stored]]) -> Iterator[Stored]:
    """What the files hold of the trainings that are drawn, and of trainings that belong to no run."""
    drawn = {"", *(run.id for run in selection.runs), *(f"{run.group}/{run.name}" for run in selection.runs)}
    for path in files:
        yield from (found for found in _loaded(load, path, path.stat().st_mtime_ns) if found.run in drawn)


@lru_cache(maxsize=16)
def _loaded(load: Callable[[Path], list[Stored]], path: Path, changed: int) -> list[Stored]:
    return load(path)

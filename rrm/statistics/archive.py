"""Several things of the same named arrays in one `.npz` file, read and written with numpy alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from rrm.files import read_npz, replacing

_NAMES = "names"  # of all other arrays of a file


def save_archive(path: Path, items: Sequence[Mapping[str, np.ndarray]]) -> None:
    """Write the items; the file appears whole or not at all. A name may hold no slash at its ends."""
    named = {f"{number}/{name}": np.asarray(array) for number, item in enumerate(items) for name, array in item.items()}
    with replacing(path) as unfinished, open(unfinished, "wb") as file:
        np.savez_compressed(file, **{_NAMES: np.array(list(named), str), **named})  # type: ignore[arg-type]


def load_archive(path: Path, kind: str, remedy: str) -> list[dict[str, np.ndarray]]:
    """What `save_archive` wrote, in its order; InputError for any other file.

    kind, remedy: of the file, as for `rrm.files.read_npz`.
    """
    names = [str(name) for name in read_npz(path, [_NAMES], kind, remedy)[_NAMES]]
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, array in read_npz(path, names, kind, remedy).items():
        number, _, own = name.partition("/")
        found.setdefault(number, {})[own] = array
    return list(found.values())

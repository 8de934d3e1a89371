"""The way in which tasks refuse puzzles."""

from collections.abc import Callable

import numpy as np

from rrm.errors import InputError

Place = Callable[[int], str]  # names a row of a set for a message, such as "train.csv line 7"


def refuse(where: Place, bad: np.ndarray, rule: str) -> None:
    """InputError that names the first row of `bad` (bool [N] or [N, S]) with a true value, and the broken rule."""
    rows = np.flatnonzero(bad if bad.ndim == 1 else bad.any(axis=1))
    if len(rows):
        raise InputError(f"{where(int(rows[0]))}: {rule}; correct or remove the puzzle")

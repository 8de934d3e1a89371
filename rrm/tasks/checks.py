"""How tasks refuse puzzles."""

import numpy as np

from rrm.errors import InputError


def refuse(where, bad: np.ndarray, rule: str) -> None:
    """InputError that names the first row of bool [N] or [N, S] with a true value; `where(i)` names row i."""
    rows = np.flatnonzero(bad if bad.ndim == 1 else bad.any(axis=1))
    if len(rows):
        raise InputError(f"{where(int(rows[0]))}: {rule}; correct or remove the puzzle")

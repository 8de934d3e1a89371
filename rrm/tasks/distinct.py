"""Which puzzles of a file are no repetition of another: statistics count each puzzle once."""

from array import array
from collections.abc import Iterable
from hashlib import blake2b

import numpy as np


def first_of_each(contents: Iterable[bytes]) -> tuple[np.ndarray, int]:
    """(int [D], rising: the numbers of the contents that repeat no earlier one; the number of all contents).

    Eight bytes are kept of each: among 4 million puzzles two different ones pass for the same with probability 4e-7.
    """
    digests = np.array(array("Q", (int.from_bytes(blake2b(each, digest_size=8).digest()) for each in contents)))
    return np.sort(np.unique(digests, return_index=True)[1]), len(digests)

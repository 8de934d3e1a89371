"""Independent pieces of work of a hook: done here one after the other, or spread over a cluster by who runs it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

# From a function and pieces to (position, function(piece)) of every piece once, in any order. Function, pieces and
# results can be pickled, and the function gives the same result wherever it runs.
Spread = Callable[[Callable[[Any], Any], Sequence[Any]], Iterator[tuple[int, Any]]]


def here(function: Callable[[Any], Any], pieces: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    """The pieces in their order, in this process."""
    return ((position, function(piece)) for position, piece in enumerate(pieces))

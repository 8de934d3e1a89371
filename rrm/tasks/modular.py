"""Arithmetic modulo p: every pair of numbers is a row, and a share of the pairs is for training.

The table on which delayed generalisation ("grokking") is studied (Power et al., arXiv 2201.02177): a network learns the
training pairs by heart long before it knows the others.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from rrm.errors import InputError

MOST_P = 1000  # a table of a million rows an operation


@dataclass(frozen=True)
class Operation:
    """apply: int64 arrays a, b and the modulus p -> the answer.  sign: in text.  commutative: a o b = b o a."""

    apply: Callable[[np.ndarray, np.ndarray, int], np.ndarray]
    sign: str
    commutative: bool = False


def _divide(a: np.ndarray, b: np.ndarray, p: int) -> np.ndarray:
    """a times the inverse of b, for a prime p and b > 0."""
    inverse = np.array([0, *(pow(value, -1, p) for value in range(1, p))])
    return a * inverse[b] % p


OPERATIONS = {
    "add": Operation(lambda a, b, p: (a + b) % p, "+", commutative=True),
    "subtract": Operation(lambda a, b, p: (a - b) % p, "-"),
    "multiply": Operation(lambda a, b, p: a * b % p, "*", commutative=True),
    "divide": Operation(_divide, "/"),
}


@dataclass(frozen=True)
class ModularArithmetic:
    """All N equations a o b = c (mod p) of some operations, split into training and test pairs.

    The split of each operation has its own share of training pairs, so that several operations are split alike.

    p: the modulus; a prime for division, whose pairs have no b = 0.
    operations: names of OPERATIONS, in the order of their tokens.
    train_share: share of the pairs that are for training, of each operation, rounded down; with `twins` to the pair.
    data_seed: of the split alone.
    twins: keep (a, b) and (b, a) of a commutative operation on one side of the split. Otherwise half of the answers to
        test pairs can be read off their twins, and a network that is symmetric in a and b seems to generalise early.

    Raises:
        InputError: for settings that leave no such table, or no pair on one side of the split.
    """

    p: int
    operations: tuple[str, ...] = ("add",)
    train_share: float = 0.4
    data_seed: int = 0
    twins: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "operations", tuple(self.operations))
        if type(self.p) is not int or not 2 <= self.p <= MOST_P:
            raise InputError(f"p is {self.p!r}: use a whole number from 2 to {MOST_P}")
        if not self.operations or len(set(self.operations)) < len(self.operations):
            named = ", ".join(self.operations) or "none"
            raise InputError(f"operations are {named}: name at least one, and each at most once")
        for name in self.operations:
            if name not in OPERATIONS:
                raise InputError(f"operation {name!r} is unknown: use some of {', '.join(OPERATIONS)}")
        if "divide" in self.operations and any(self.p % factor == 0 for factor in range(2, int(self.p**0.5) + 1)):
            raise InputError(f"p is {self.p}, which is no prime: division has no answer to some pairs; use a prime p")
        if not 0 < self.train_share < 1:
            raise InputError(f"train_share is {self.train_share}: use a share between 0 and 1")
        if type(self.data_seed) is not int or self.data_seed < 0:
            raise InputError(f"data_seed is {self.data_seed!r}: use a whole number from 0")
        for name, (a, _) in zip(self.operations, self._pairs, strict=True):
            count = int(self._train_of(name).sum())
            if not 0 < count < len(a):
                side = "training" if count == 0 else "testing"
                raise InputError(
                    f"train_share {self.train_share:g} of the {len(a)} pairs of {name} mod {self.p} leaves none for "
                    f"{side}: use a {'larger' if count == 0 else 'smaller'} share, or a larger p"
                )

    @property
    def vocab_size(self) -> int:
        """Tokens: the p numbers, then the operations, then "="."""
        return self.p + len(self.operations) + 1

    @property
    def classes(self) -> int:
        """Answers: the numbers below p."""
        return self.p

    @property
    def seq_len(self) -> int:
        """Tokens of a row: [a, operation, b, =]."""
        return 4

    @property
    def name(self) -> str:
        """Such as "add mod 59"."""
        return f"{' and '.join(self.operations)} mod {self.p}"

    @cached_property
    def tokens(self) -> np.ndarray:
        """int64 [N, 4]: a, operation, b, "="; the operations one after the other, a slower than b."""
        rows = []
        for number, (a, b) in enumerate(self._pairs):
            columns = (a, np.full_like(a, self.p + number), b, np.full_like(a, self.vocab_size - 1))
            rows.append(np.stack(columns, axis=1))
        return np.concatenate(rows)

    @cached_property
    def targets(self) -> np.ndarray:
        """int64 [N]: the answers."""
        named = zip(self.operations, self._pairs, strict=True)
        return np.concatenate([OPERATIONS[name].apply(a, b, self.p) for name, (a, b) in named])

    @cached_property
    def train(self) -> np.ndarray:
        """bool [N]: the training pairs."""
        return np.concatenate([self._train_of(name) for name in self.operations])

    def trained(self, place: int) -> np.ndarray:
        """bool [p, p]: the training pairs of the operation at this place, by a and b."""
        rows, found = self.tokens[:, 1] == self.p + place, np.zeros((self.p, self.p), bool)
        a, _, b, _ = self.tokens[rows].T
        found[a, b] = self.train[rows]
        return found

    def answers(self, place: int) -> np.ndarray:
        """int64 [p, p]: the answers of the operation at this place, by a and b; -1 for a pair without one."""
        rows, found = self.tokens[:, 1] == self.p + place, np.full((self.p, self.p), -1)
        a, _, b, _ = self.tokens[rows].T
        found[a, b] = self.targets[rows]
        return found

    def text(self, row: int) -> str:
        """A row as an equation, such as "3 + 58 = 2 (mod 59)"."""
        a, operation, b, _ = self.tokens[row].tolist()
        sign = OPERATIONS[self.operations[operation - self.p]].sign
        return f"{a} {sign} {b} = {self.targets[row]} (mod {self.p})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values; `ModularArithmetic(**d)` restores the table."""
        return asdict(self)

    @cached_property
    def _pairs(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """(a, b) of every operation."""
        a, b = (grid.ravel() for grid in np.meshgrid(np.arange(self.p), np.arange(self.p), indexing="ij"))
        return [(a[b > 0], b[b > 0]) if name == "divide" else (a, b) for name in self.operations]

    def _train_of(self, name: str) -> np.ndarray:
        """bool: the training pairs of an operation. They do not depend on the other operations."""
        a, b = self._pairs[self.operations.index(name)]
        together = self.twins and OPERATIONS[name].commutative
        # Pairs of one number are on one side: twins share theirs, other pairs are alone.
        group = np.minimum(a, b) * self.p + np.maximum(a, b) if together else a * self.p + b
        groups, member = np.unique(group, return_inverse=True)
        order = np.random.default_rng([self.data_seed, list(OPERATIONS).index(name)]).permutation(len(groups))
        taken = np.cumsum(np.bincount(member)[order]) <= int(self.train_share * len(a))
        chosen = np.zeros(len(groups), bool)
        chosen[order[taken]] = True
        return chosen[member]

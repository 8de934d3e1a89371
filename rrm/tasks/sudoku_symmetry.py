"""The symmetries of Sudoku grids: random ones, the canonical form of a puzzle, and classes of equivalent puzzles.

The group: relabelling the digits, permuting bands, rows inside a band, stacks, columns inside a stack, and for square
boxes the transpose. (For 9 x 9: 9! * 6^8 * 2 elements; E. Russell and F. Jarvis, Mathematical Spectrum 39, 2006.)
"""

from functools import lru_cache
from itertools import permutations, product

import numpy as np

from rrm.tasks.sudoku_box import BLANK, FIRST_DIGIT, Box
from rrm.tasks.symmetry import Symmetries

LARGEST_CANONICAL = 9  # digits up to which canonical forms are computed
BLOCK = 4096  # puzzles whose invariant is computed together: some ten arrays of 64 bits a cell


def random_symmetries(box: Box, count: int, rng: np.random.Generator) -> Symmetries:
    """`count` uniform elements of the group."""
    bands, rows, stacks, columns = box.axes
    row = _random_lines(bands, rows, count, rng)
    column = _random_lines(stacks, columns, count, rng)
    sources = row[:, :, None] * box.digits + column[:, None, :]
    if box.square:
        turned = rng.random(count) < 0.5
        sources[turned] = sources[turned].transpose(0, 2, 1)
    tokens = np.tile(np.arange(box.digits + FIRST_DIGIT, dtype=np.uint8), (count, 1))
    tokens[:, FIRST_DIGIT:] = FIRST_DIGIT + rng.random((count, box.digits)).argsort(axis=1)
    return Symmetries(sources.reshape(count, box.cells), tokens)


def _random_lines(groups: int, size: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Rows (or columns) in random order, the groups staying together: int [count, groups * size]."""
    group = rng.random((count, groups)).argsort(axis=1)
    inside = rng.random((count, groups, size)).argsort(axis=2)
    return (group[:, :, None] * size + inside).reshape(count, groups * size)


def canonical_form(puzzle: np.ndarray, answer: np.ndarray, box: Box) -> np.ndarray:
    """The representative of a puzzle with one solution: uint8 tokens [S], the same for all its symmetric copies.

    The representative is the copy with the lexicographically smallest answer and then the smallest mask of givens. The
    smallest answer has the first row 1..N and rows sorted by their first digit inside sorted bands. So a choice of
    transpose, first row and column order determines everything else, and the choices are thinned out row by row.
    """
    n, rows = box.digits, box.rows
    digits = answer.reshape(n, n) - FIRST_DIGIT
    given = (puzzle != BLANK).reshape(n, n)
    orders = _column_orders(box)
    turns = (False, True) if box.square else (False,)
    grids = np.concatenate([(digits.T if turn else digits)[:, orders].swapaxes(0, 1) for turn in turns])  # [K, N, N]
    masks = np.concatenate([(given.T if turn else given)[:, orders].swapaxes(0, 1) for turn in turns])

    relabel = grids.swapaxes(0, 1).argsort(axis=-1).astype(np.uint8).reshape(-1, n)  # makes the chosen row 0..N-1
    choice = np.tile(np.arange(len(grids)), n)
    first = np.take_along_axis(relabel, grids[choice, :, 0], axis=1).astype(np.int64)
    band = first.reshape(-1, n // rows, rows).min(axis=2).repeat(rows, axis=1)
    order = (band * n + first).argsort(axis=1)

    answer_rows, mask_rows = [], []
    for step in range(n):
        values = np.take_along_axis(relabel, grids[choice, order[:, step]], axis=1)
        keep = _smallest(values)
        answer_rows.append(values[keep[0]])
        choice, relabel, order = choice[keep], relabel[keep], order[keep]
    for step in range(n):
        values = masks[choice, order[:, step]]
        keep = _smallest(values)
        mask_rows.append(values[keep[0]])
        choice, order = choice[keep], order[keep]
    return np.where(np.concatenate(mask_rows), np.concatenate(answer_rows) + FIRST_DIGIT, BLANK).astype(np.uint8)


def symmetry_key(inputs: np.ndarray, labels: np.ndarray, box: Box) -> np.ndarray:
    """uint8 [B, S] for puzzles and answers [B, S]: equal for symmetric copies of one puzzle, else different.

    The key is the canonical form up to `LARGEST_CANONICAL` digits. Above (8 million column orders for 16 digits) the
    key is the invariant in the first eight bytes: two puzzles that are no copies share one with probability 2 ** -64.
    """
    if box.digits > LARGEST_CANONICAL:
        keys = np.zeros((len(inputs), box.cells), np.uint8)
        keys[:, :8] = _invariants(inputs, labels, box).astype("<u8")[:, None].view(np.uint8)
        return keys
    forms = [canonical_form(puzzle, answer, box) for puzzle, answer in zip(inputs, labels, strict=True)]
    return np.array(forms, np.uint8).reshape(len(forms), box.cells)


def equivalence_classes(inputs: np.ndarray, labels: np.ndarray, box: Box) -> np.ndarray:
    """Class numbers int [B] for puzzles and answers [B, S]: equal exactly for puzzles with equal symmetry keys.

    A puzzle with an invariant of its own is a class of its own; only the other puzzles need a canonical form.
    """
    marks = _invariants(inputs, labels, box)
    _, bucket, sizes = np.unique(marks, return_inverse=True, return_counts=True)
    if box.digits > LARGEST_CANONICAL:
        return bucket.reshape(-1)
    forms = np.zeros((len(inputs), box.cells), np.uint8)
    for row in np.flatnonzero(sizes[bucket] > 1):
        forms[row] = canonical_form(inputs[row], labels[row], box)
    rows = np.concatenate([marks[:, None].view(np.uint8), forms], axis=1)
    return np.unique(rows, axis=0, return_inverse=True)[1].reshape(-1)


def _invariants(inputs: np.ndarray, labels: np.ndarray, box: Box) -> np.ndarray:
    """`invariant` of any number of puzzles, block by block."""
    blocks = [slice(start, start + BLOCK) for start in range(0, max(len(inputs), 1), BLOCK)]
    return np.concatenate([invariant(inputs[block], labels[block], box) for block in blocks])


def invariant(inputs: np.ndarray, labels: np.ndarray, box: Box) -> np.ndarray:
    """uint64 [B] for puzzles and answers [B, S]: equal for symmetric copies, almost always different otherwise.

    Colour refinement (B. Weisfeiler and A. Leman, 1968): cells start as given or blank, and three times every cell
    takes in the colours of the row, column, band, stack, box and digit that it belongs to.
    """
    count, n = len(inputs), box.digits
    by_digit = labels.argsort(axis=1, kind="stable")
    back = by_digit.argsort(axis=1, kind="stable")
    colour = _mix((inputs != BLANK).astype(np.uint64))
    for _ in range(3):
        grid = colour.reshape(count, *box.axes)
        rows, columns = grid.sum(axis=(3, 4), keepdims=True), grid.sum(axis=(1, 2), keepdims=True)
        bands, stacks = _mix(rows).sum(axis=2, keepdims=True), _mix(columns).sum(axis=4, keepdims=True)
        across, down = _mix(_mix(rows) + bands), _mix(_mix(columns) + stacks)
        lines = across + down if box.square else across + 3 * down
        boxes = _mix(grid.sum(axis=(2, 4), keepdims=True) ^ np.uint64(1))
        digits = np.take_along_axis(colour, by_digit, axis=1).reshape(count, n, n).sum(axis=2).repeat(n, axis=1)
        digits = _mix(np.take_along_axis(digits, back, axis=1) ^ np.uint64(2))
        colour = _mix(colour + (lines + 5 * boxes).reshape(count, n * n) + 7 * digits)
    return _mix(colour.sum(axis=1))


def _mix(values: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 (G. L. Steele et al., OOPSLA 2014): scatters uint64 values; products wrap around."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _smallest(rows: np.ndarray) -> np.ndarray:
    """Indices of the lexicographically smallest rows of [K, n], whose values are below n (n <= 16 fits 64 bits)."""
    n = rows.shape[1]
    codes = rows.astype(np.uint64) @ (np.uint64(n) ** np.arange(n, dtype=np.uint64)[::-1])
    return np.flatnonzero(codes == codes.min())


@lru_cache
def _column_orders(box: Box) -> np.ndarray:
    """All orders of the columns that keep the stacks together: int [K, N]."""
    _, _, stacks, columns = box.axes
    insides = list(permutations(range(columns)))
    orders = [
        [stack * columns + column for stack, inside in zip(order, chosen, strict=True) for column in inside]
        for order in permutations(range(stacks))
        for chosen in product(insides, repeat=stacks)
    ]
    return np.array(orders)

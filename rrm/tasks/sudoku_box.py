"""The geometry of a Sudoku: N digits on an N x N grid that is cut into boxes of `rows` x `columns` cells."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

PAD = 0
BLANK = 1
FIRST_DIGIT = 2  # token of the digit 1: token = digit + 1, as in the data sets of the field


@dataclass(frozen=True)
class Box:
    """Boxes of `rows` x `columns` cells: 2 x 2 gives the 4 x 4 grid, 2 x 3 the 6 x 6 grid, 3 x 3 the 9 x 9 grid.

    Cells are numbered row by row, so that an array of cells [..., S] has the shape `axes` + [...] when reshaped, with
    the axes (band, row in band, stack, column in stack).
    """

    rows: int
    columns: int

    @property
    def digits(self) -> int:
        """N: the number of digits, rows, columns and boxes."""
        return self.rows * self.columns

    @property
    def cells(self) -> int:
        """S = N * N."""
        return self.digits**2

    @property
    def axes(self) -> tuple[int, int, int, int]:
        """(bands, rows in a band, stacks, columns in a stack)."""
        return self.columns, self.rows, self.rows, self.columns

    @property
    def square(self) -> bool:
        """Whether the transpose of a grid is a grid of the same family."""
        return self.rows == self.columns

    @cached_property
    def units(self) -> np.ndarray:
        """int [3N, N]: the cells of every row, then of every column, then of every box."""
        grid = np.arange(self.cells).reshape(self.axes)
        shape = (self.digits, self.digits)
        boxes = grid.transpose(0, 2, 1, 3)
        return np.concatenate([grid.reshape(shape), grid.reshape(shape).T, boxes.reshape(shape)])

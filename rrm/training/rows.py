"""The training pairs of a table, as batches by step."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rrm.errors import InputError
from rrm.tasks.modular import ModularArithmetic
from rrm.training.part import Context
from rrm.training.source import Source, SourceSettings


class TableRows(Source):
    """Every training pair once an epoch, in a new order each; all of them at once, in the order of the table.

    `batch(step)` depends on nothing but the seed and the step. inputs [B, 4], labels [B] and rows [B], which number the
    training pairs.
    """

    def __init__(self, table: ModularArithmetic, batch_size: int, seed: int, rank: int = 0, world: int = 1):
        self.count = int(table.train.sum())
        if self.count < batch_size:
            raise InputError(
                f"{table.name} has {self.count} training pairs, fewer than the batch size {batch_size}: use at most "
                f"{self.count}, or a larger train_share"
            )
        self.inputs = torch.from_numpy(table.tokens[table.train])
        self.labels = torch.from_numpy(table.targets[table.train])
        self.batch_size, self.seed = batch_size, seed
        self.mine = slice(rank * batch_size // world, (rank + 1) * batch_size // world)
        self._order: tuple[int, Tensor] = (-1, torch.arange(self.count))

    def batch(self, step: int) -> dict[str, Tensor]:
        epoch, position = divmod(step, self.count // self.batch_size)
        if self.batch_size < self.count and self._order[0] != epoch:
            order = np.random.default_rng([self.seed, 0, epoch]).permutation(self.count)
            self._order = (epoch, torch.from_numpy(order))
        rows = self._order[1][position * self.batch_size :][: self.batch_size][self.mine]
        return {"inputs": self.inputs[rows], "labels": self.labels[rows], "rows": rows}


@dataclass(frozen=True)
class TableRowsSettings(SourceSettings):
    """Nothing to set: the full batch is a batch size of all training pairs."""

    def build(self, context: Context) -> TableRows:
        return TableRows(context.table, context.batch_size, context.seed, context.rank, context.world)

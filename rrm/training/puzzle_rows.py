"""How probes see a network that learns puzzles."""

from collections.abc import Mapping
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from rrm.models import Model, PlainModel, RecursiveModel
from rrm.probes import Pass, ProbeRows
from rrm.training.losses import score
from rrm.training.part import Data, Loss
from rrm.training.stream import to_batch


class PuzzleRows(ProbeRows):
    """Puzzles of a batch, as `Source.batch` gives them, and the loss of a cell."""

    def __init__(self, model: nn.Module, batch: Mapping[str, Tensor], loss: Loss):
        super().__init__(model)
        self.batch, self.loss = batch, loss
        self.rows, self.answers = batch["inputs"].shape

    def first(self, rows: int) -> Self:
        return type(self)(self.model, {name: value[:rows] for name, value in self.batch.items()}, self.loss)

    def joined(self, others: Self) -> Self:
        both = {name: torch.cat((value, others.batch[name])) for name, value in self.batch.items()}
        return type(self)(self.model, both, self.loss)


class PlainRows(PuzzleRows):
    """Puzzles and a network without recursion, whose tokens are one-hot and not embedded."""

    model: PlainModel

    def forward(self) -> Pass:
        logits = self.model(self.batch["inputs"])
        return Pass(None, None, logits, score(logits, self.batch["labels"], self.loss).loss)


class TruncatedSegment(PuzzleRows):
    """Puzzles and one segment of a recursive model from its initial state, of which the last calls carry gradient.

    The loss is that of the answer, without a Q head's, and without the noise of a perturbed training. Gradients and
    Hessians are those of the truncated graph, as in training: the state that enters the recorded calls is a constant.
    A pass at other weights takes them in every call.
    """

    model: RecursiveModel

    @property
    def moving(self) -> bool:
        """Depth may grow, and the vectors of puzzles train by an optimizer of their own."""
        return True

    def forward(self) -> Pass:
        # A model that draws noise draws the same in every pass: the loss is one function of the weights.
        generator = torch.Generator().manual_seed(0)
        x = self.model.embed(self.batch["inputs"], self.batch["puzzle_identifiers"])
        state = self.model.segment(self.model.initial_state(self.rows, generator), x, generator)
        logits = self.model.readout(state).logits
        return Pass(x, state.z_H, logits, score(logits, self.batch["labels"], self.loss).loss)


def puzzle_rows(model: Model, data: Data, loss: Loss, rows: int, seed: int, held_out: bool) -> ProbeRows:
    """At most `rows` puzzles, drawn with the seed, for the training of a model."""
    puzzles = data.validation if held_out else data.train
    drawn = np.random.default_rng(seed).permutation(len(puzzles))[:rows]
    device = next(model.parameters()).device
    batch = {name: value.to(device) for name, value in to_batch(puzzles.subset(drawn), data.task).items()}
    if isinstance(model, RecursiveModel):
        return TruncatedSegment(model, batch, loss)
    assert isinstance(model, PlainModel)
    return PlainRows(model, batch, loss)

"""How probes see a network that classifies rows of tokens."""

from collections.abc import Mapping

import torch
from torch import Tensor

from rrm.models import TokenModel
from rrm.probes import Pass, ProbeRows
from rrm.tasks.modular import ModularArithmetic
from rrm.training.part import Loss


class TokenRows(ProbeRows):
    """Rows of tokens [B, S] with their classes [B]; the loss is that of the answer, without regulariser and price."""

    model: TokenModel
    table: ModularArithmetic

    def __init__(self, model: TokenModel, tokens: Tensor, targets: Tensor, loss: Loss, table: ModularArithmetic):
        super().__init__(model)
        self.table = table
        self.tokens, self.targets, self.loss, self.rows = tokens, targets, loss, len(tokens)

    def first(self, rows: int) -> "TokenRows":
        return TokenRows(self.model, self.tokens[:rows], self.targets[:rows], self.loss, self.table)

    def joined(self, others: "TokenRows") -> "TokenRows":
        tokens, targets = torch.cat((self.tokens, others.tokens)), torch.cat((self.targets, others.targets))
        return TokenRows(self.model, tokens, targets, self.loss, self.table)

    def logits_at(self, weights: Mapping[str, Tensor]) -> Tensor:
        return torch.func.functional_call(self.model, dict(weights), (self.tokens,), tie_weights=self.tied)

    def forward(self) -> Pass:
        x = self.model.embed(self.tokens)
        answer = self.model.respond(x)
        return Pass(x, answer.representation, answer.logits, self.loss(answer.logits, self.targets), answer.layers)

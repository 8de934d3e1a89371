"""Small networks and functions as probes see them, in float64."""

import torch
from torch import nn

from rrm.models.delta_rule import GatedDeltaRule, scan_order
from rrm.probes import Pass, ProbeRows, Subject, View


class Function(nn.Module):
    """Weights w [d] and a loss of each row, which is any function of the weights and the row's number."""

    def __init__(self, start, loss):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(start, dtype=torch.float64))
        self.loss = loss


class FunctionRows(ProbeRows):
    def __init__(self, model, rows=2):
        super().__init__(model)
        self.rows = rows

    def first(self, rows):
        return FunctionRows(self.model, rows)

    def joined(self, others):
        raise NotImplementedError

    def forward(self):
        losses = torch.stack([self.model.loss(self.model.w, row) for row in range(self.rows)])
        return Pass(None, None, losses[:, None] * torch.ones(2), losses)


class Net(nn.Module):
    """Tokens [B, 2] of 5 -> embeddings [B, 2, 3] -> logits [B, 5]; linear, or with a hidden layer of tanh."""

    def __init__(self, hidden=0):
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(5, 3)
        self.layers = nn.ModuleList([nn.Linear(6, hidden)] if hidden else [])
        self.head = nn.Linear(hidden or 6, 5)
        self.double()

    def embed(self, tokens):
        return self.table(tokens)

    def represent(self, x):
        h = x.flatten(1)
        for layer in self.layers:
            h = torch.tanh(layer(h))
        return h


class DeltaNet(Net):
    """As the linear `Net`, with a gated delta rule over the two tokens."""

    def __init__(self):
        super().__init__()
        self.delta_rule = GatedDeltaRule(3, scan_order(1, 0, 2)).double()

    def represent(self, x):
        return self.delta_rule(x, None).flatten(1)


class NetRows(ProbeRows):
    def __init__(self, model, rows=25):
        super().__init__(model)
        self.tokens = torch.cartesian_prod(torch.arange(5), torch.arange(5))[:rows]
        self.rows = len(self.tokens)

    def first(self, rows):
        return NetRows(self.model, rows)

    def joined(self, others):
        both = NetRows(self.model)
        both.tokens = torch.cat((self.tokens, others.tokens))
        both.rows = len(both.tokens)
        return both

    def forward(self):
        x = self.model.embed(self.tokens)
        h = self.model.represent(x)
        logits = self.model.head(h)
        targets = self.tokens.sum(1) % 5
        return Pass(x, h, logits, nn.functional.cross_entropy(logits, targets, reduction="none"))


def subject(model, rows=None, lr=0.1, optimizer=None, **more):
    made = optimizer or torch.optim.SGD(model.parameters(), lr=lr)
    rows = rows or (FunctionRows(model) if isinstance(model, Function) else NetRows(model))
    return Subject(model, made, rows, **more)


def stepped(watched, step=1):
    """A step of the optimizer down the loss of the training rows, and the view after it."""
    watched.remember()
    watched.optimizer.zero_grad()
    watched.train().losses.mean().backward()
    gradients = [p.grad.clone() for p in watched.parameters.values()]
    norms = torch.stack(torch._foreach_norm(gradients)).double()
    watched.optimizer.step()
    return View(watched, step, gradients, norms)

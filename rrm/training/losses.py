"""The loss of an answer, by cell and by row."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from rrm.training.part import Loss

IGNORED = -100


def stablemax_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """-log p per cell in nats, float64, 0 where the label is ignored; logits [..., V], labels [...] with -100 ignored.

    p = s / sum s with s(x) = x + 1 for x >= 0 and 1 / (1 - x) below (Prieto et al., arXiv 2501.04697).
    """
    x = logits.double()
    s = torch.where(x < 0, 1 / (1 - x + 1e-30), x + 1)
    log_p = torch.log(s / s.sum(-1, keepdim=True))
    ignored = labels == IGNORED
    picked = log_p.gather(-1, labels.masked_fill(ignored, 0).long().unsqueeze(-1)).squeeze(-1)
    return -picked.masked_fill(ignored, 0.0)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """-log softmax per cell in nats, 0 where the label is ignored; logits [..., V], labels [...] with -100 ignored.

    In the precision of the logits, float32 at least: that float32 rounds small losses to zero is part of what training
    with this loss is (softmax collapse, Prieto et al., arXiv 2501.04697).
    """
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return F.cross_entropy(wide.movedim(-1, 1), labels.long(), ignore_index=IGNORED, reduction="none")


class Score(NamedTuple):
    """By row [B]: loss in nats (mean over cells), share of right cells, whether the whole answer is right."""

    loss: Tensor
    cells: Tensor
    solved: Tensor


def score(logits: Tensor, labels: Tensor, loss: Loss) -> Score:
    """Loss and correctness of logits [B, S, V] against labels [B, S]; a row without a label has not been solved."""
    cells = labels != IGNORED
    count = cells.sum(-1).clamp_min(1)
    right = ((logits.argmax(-1) == labels) & cells).sum(-1)
    return Score(loss(logits, labels).sum(-1) / count, right / count, right == count)

"""What the answers look like: the scale of the logits, the size of the representation, and gradients that are lost.

logits/scale: the standard deviation of the logits of an answer, root of its mean square over held-out answers; it
explains most of the delay of grokking (arXiv 2606.18465). scale_train: over training answers.
representation/norm: the Euclidean norm of what the unembedding reads, mean over held-out rows (and positions).
lost_gradient/rows: the share of training rows whose gradient over the logits is exactly 0 in the precision of the
training, and lost_gradient/losses: of those whose loss is exactly 0, so that nothing pulls the right class up any more
(softmax collapse, Prieto et al., arXiv 2501.04697). Cost: .1 training steps together.
"""

import torch
from torch import Tensor

from rrm.probes.jacobian import variance
from rrm.probes.probe import Probe
from rrm.probes.view import View


class Logits(Probe):
    """scale, scale_train."""

    name = "logits"

    def measure(self, view: View) -> dict[str, Tensor]:
        return {"scale": variance(view.held_out.logits).sqrt(), "scale_train": variance(view.train.logits).sqrt()}


class Representation(Probe):
    """norm; nothing where the network does not tell its representation."""

    name = "representation"

    def measure(self, view: View) -> dict[str, Tensor]:
        found = view.held_out.representation
        return {} if found is None else {"norm": found.detach().double().norm(dim=-1).mean()}


class Lost(Probe):
    """rows, losses."""

    name = "lost_gradient"

    def measure(self, view: View) -> dict[str, Tensor]:
        found = view.train
        (slopes,) = torch.autograd.grad(found.losses.sum(), found.logits, retain_graph=True)
        return {
            "rows": (slopes.flatten(1) == 0).all(1).double().mean(),
            "losses": (found.losses.detach() == 0).double().mean(),
        }

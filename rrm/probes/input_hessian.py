"""Curvature of the answer over the embedded tokens: the trace of the Hessian of the predicted class's logit.

trace = E v^T (d^2 l / dx^2) v over the embeddings x of a held-out row, v of random signs, one draw for each row, mean
over rows; l is the logit that is largest now, summed over the answers of a row (Hutchinson 1990). 0 for a network that
is piecewise linear in its embeddings, such as one of ReLU layers without products.
Unit: logits by squared unit of an embedding. Cost: .2 training steps.
"""

import torch
from torch import Tensor, nn

from rrm.probes.jacobian import no_embeddings
from rrm.probes.probe import Probe
from rrm.probes.view import Formula, View, signs


class InputHessian(Probe):
    """trace."""

    name = "input_hessian"
    turns = 8

    @classmethod
    def lacking(cls, model: nn.Module, formula: Formula | None) -> str | None:
        return no_embeddings(model)

    def measure(self, view: View) -> dict[str, Tensor]:
        found = view.held_out
        x = found.embeddings
        assert x is not None
        (v,) = signs([x.detach()], view.generator(self.name))
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(found.logits.amax(-1).sum(), x, create_graph=True)
        if not slope.requires_grad:
            return {"trace": torch.zeros((), dtype=torch.float64, device=x.device)}
        (curved,) = torch.autograd.grad(slope, x, v, retain_graph=True, materialize_grads=True)
        return {"trace": (curved.double() * v).sum() / len(v)}

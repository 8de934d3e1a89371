"""How strongly the logits depend on the embedded tokens: the squared Frobenius norm of the Jacobian.

||J||_F^2 = E ||J^T v||^2 for v ~ N(0, I), J = d logits / d embeddings of a row; one draw of v for each held-out row,
averaged over the rows. `squared_frobenius` is in squared logits per squared unit of an embedding and grows with the
scale of the logits; `relative` is divided by their variance. The probe `layers` has the same of what leaves each layer.
Hutchinson's estimator as in Hoffman et al., arXiv 1908.02729. Cost: .1 training steps.
"""

import torch
from torch import Tensor, nn

from rrm.probes.probe import Probe
from rrm.probes.view import Formula, View


class Jacobian(Probe):
    """squared_frobenius, relative."""

    name = "jacobian"

    @classmethod
    def lacking(cls, model: nn.Module, formula: Formula | None) -> str | None:
        return no_embeddings(model)

    def measure(self, view: View) -> dict[str, Tensor]:
        found = view.held_out
        assert found.embeddings is not None
        v = torch.randn(found.logits.shape, generator=view.generator(self.name)).to(found.logits)
        (pulled,) = torch.autograd.grad(found.logits, found.embeddings, v, retain_graph=True)
        squared = pulled.double().square().sum() / len(pulled)
        return {"squared_frobenius": squared, "relative": squared / variance(found.logits)}


def no_embeddings(model: nn.Module) -> str | None:
    """`Probe.lacking` of a probe that differentiates with respect to embedded tokens."""
    return None if hasattr(model, "embed") else "embedded tokens"


def variance(logits: Tensor) -> Tensor:
    """The variance of the logits [B, ..., V] of an answer, mean over answers."""
    return logits.detach().double().var(-1, correction=0).mean()

"""A network of tokens layer by layer: what leaves each layer, how the answer depends on it, and its weights.

With x_l what leaves layer l for a held-out row ("embedding" for what enters the first one):
representation/LAYER = ||x_l||, Euclidean, mean over rows and positions.
jacobian/LAYER = E ||J_l^T v||^2 for v ~ N(0, I), J_l = d logits / d x_l: the squared Frobenius norm of J_l, mean over
rows, as `jacobian` has it of the embeddings; one draw of v serves all layers.
input_hessian/LAYER = E v^T (d^2 l / dx_l^2) v for v of random signs, l the largest logit: the trace of the Hessian,
mean over rows, as `input_hessian` has it of the embeddings; one draw for each layer.
weight_norm/PARAMETER = ||w|| of each parameter tensor; `rrm.statistics.layer_names` has names and groups for readers.
Units: those of the stream, of squared logits and of logits by its square. Cost: .3 training steps, of four layers as of
one.
"""

import torch
from torch import Tensor, nn

from rrm.models import TokenModel
from rrm.probes.probe import Probe
from rrm.probes.view import Formula, View, signs


class Layers(Probe):
    """representation/LAYER, jacobian/LAYER, input_hessian/LAYER, weight_norm/PARAMETER."""

    name = "layers"
    turns = 8

    @classmethod
    def lacking(cls, model: nn.Module, formula: Formula | None) -> str | None:
        return None if isinstance(model, TokenModel) else "the layers of a network of tokens"

    def measure(self, view: View) -> dict[str, Tensor]:
        found = view.held_out
        assert found.embeddings is not None
        layers = {"embedding": found.embeddings, **found.layers}
        x, generator = list(layers.values()), view.generator(self.name)
        v = torch.randn(found.logits.shape, generator=generator).to(found.logits)
        pulled = torch.autograd.grad(found.logits, x, v, retain_graph=True)
        with torch.enable_grad():
            slopes = torch.autograd.grad(found.logits.amax(-1).sum(), x, create_graph=True)
        numbers: dict[str, Tensor] = {}
        for name, at, back, slope in zip(layers, x, pulled, slopes, strict=True):
            numbers[f"representation/{name}"] = at.detach().double().norm(dim=-1).mean()
            numbers[f"jacobian/{name}"] = back.double().square().sum() / len(at)
            numbers[f"input_hessian/{name}"] = _trace(slope, at, generator)
        norms = zip(view.subject.names, view.weight_norms.unbind(), strict=True)
        return numbers | {f"weight_norm/{name}": norm for name, norm in norms}


def _trace(slope: Tensor, at: Tensor, generator: torch.Generator) -> Tensor:
    """One draw of the trace of the Hessian whose gradient at [B, ...] is `slope`, mean over rows."""
    if not slope.requires_grad:
        return torch.zeros((), dtype=torch.float64, device=at.device)
    (v,) = signs([at.detach()], generator)
    (curved,) = torch.autograd.grad(slope, at, v, retain_graph=True, materialize_grads=True)
    return (curved.double() * v).sum() / len(at)

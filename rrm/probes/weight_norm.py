"""Norms of the weights and of the last update.

||w|| and ||w_t - w_(t-1)||, Euclidean, of all weights, of those that the optimizer decays, and by layer; the update as
it was made, with weight decay. Unit: that of a weight. Cost: .02 training steps.
"""

import torch
from torch import Tensor

from rrm.probes.probe import Probe
from rrm.probes.view import View


class WeightNorm(Probe):
    """total, decayed, layer/NAME."""

    name = "weight_norm"

    def measure(self, view: View) -> dict[str, Tensor]:
        return _by_layer(view, view.weight_norms)


class UpdateNorm(Probe):
    """total, decayed, layer/NAME of the last step; relative: the total divided by the norm of the weights."""

    name = "update_norm"
    every_step = True  # the weights before each step have to be kept

    def measure(self, view: View) -> dict[str, Tensor]:
        return _by_layer(view, view.update_norms) | {"relative": view.update_norms.norm() / view.weight_norms.norm()}


def _by_layer(view: View, norms: Tensor) -> dict[str, Tensor]:
    """Norms of sets of parameters from those of each, [P]."""
    decayed = [number for number, group in enumerate(view.subject.groups()) if group.get("weight_decay")]
    layers = {f"layer/{name}": norms[places].norm() for name, places in view.subject.layers.items()}
    none = torch.zeros((), dtype=norms.dtype, device=norms.device)
    return {"total": norms.norm(), "decayed": norms[decayed].norm() if decayed else none, **layers}

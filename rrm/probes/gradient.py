"""The gradient: its norm in the training, and its noise over rows.

norm = ||g|| of the gradient of the last step on its own batch, before it is clipped.
noise_scale = tr(Sigma) / ||G||^2, in rows: the batch size at which noise and gradient are equal (McCandlish et al.,
arXiv 1812.06162). G and Sigma are mean and covariance of the gradients of fixed training rows, both without bias: with
signs s_i of which half are +1, ||sum s_i g_i||^2 / B has the mean tr(Sigma), so one backward pass and no gradient of a
row by itself is needed, whatever the network is made of; and ||mean g||^2 - tr(Sigma) / B has the mean ||G||^2. Where
noise is all there is the latter may be negative, and noise_scale is nan.
Cost: .2 training steps beside the gradient that curvature needs too.
"""

import torch
from torch import Tensor

from rrm.probes.probe import Probe
from rrm.probes.view import View, dot


class Gradient(Probe):
    """norm, variance (tr Sigma), noise_scale."""

    name = "gradient"

    def measure(self, view: View) -> dict[str, Tensor]:
        found = {} if view.gradient_norms is None else {"norm": view.gradient_norms.double().norm()}
        variance = gradient_variance(view)
        if variance is None:
            return found
        mean = [g.detach() for g in view.gradient]
        squared = dot(mean, mean).double() - variance / len(view.train.losses)
        return found | {"variance": variance, "noise_scale": (variance / squared).where(squared > 0, torch.nan)}


def gradient_variance(view: View) -> Tensor | None:
    """tr(Sigma) of the gradients of single training rows, estimated by one draw of signs; None of one row alone."""
    rows = len(view.train.losses) // 2 * 2
    return dot(view.signed_gradient, view.signed_gradient).double() / rows if rows else None

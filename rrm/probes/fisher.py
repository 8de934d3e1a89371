"""The trace of the empirical Fisher matrix: the mean squared norm of the gradients of single rows.

trace = mean_i ||g_i||^2 = ||mean g||^2 + (B - 1) / B tr(Sigma), over fixed training rows and their own labels, with
tr(Sigma) by one draw of signs as `rrm.probes.gradient` says. With labels drawn from the answers it would be that of the
Fisher matrix itself; with those of the data it vanishes with the loss (Kunstner et al., arXiv 1905.12558).
Unit: squared nats by squared weight. Cost: none beside the gradient's noise.
"""

from torch import Tensor

from rrm.probes.gradient import gradient_variance
from rrm.probes.probe import Probe
from rrm.probes.view import View, dot


class Fisher(Probe):
    """trace."""

    name = "fisher"

    def measure(self, view: View) -> dict[str, Tensor]:
        mean, rows = [g.detach() for g in view.gradient], len(view.train.losses)
        variance = gradient_variance(view)
        squared = dot(mean, mean).double()
        return {"trace": squared if variance is None else squared + (rows - 1) / rows * variance}

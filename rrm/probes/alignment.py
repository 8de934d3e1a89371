"""Whether training turns the weights or only scales them: cosines with the weights.

descent = cos(-g, w), g the gradient of the last step: near 1 the loss falls by growth of the weights alone ("naive loss
minimisation", Prieto et al., arXiv 2501.04697).  update = cos(dw, w): below 0 the weights shrink.
nan where one of the two is 0. Cost: .02 training steps.
"""

from torch import Tensor

from rrm.probes.probe import Probe
from rrm.probes.view import View, dot


class Alignment(Probe):
    """descent, update."""

    name = "alignment"
    every_step = True  # the weights before each step have to be kept

    def measure(self, view: View) -> dict[str, Tensor]:
        w, size = view.weights, view.weight_norms.norm()
        found = {"update": dot(view.update, w) / view.update_norms.norm() / size}
        if view.gradients is None:
            return found
        # Of the gradients as they are now: clipping may have made them shorter than the norms of the step.
        return found | {"descent": -dot(view.gradients, w) / dot(view.gradients, view.gradients).sqrt() / size}

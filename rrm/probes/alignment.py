"""Whether training turns the weights or only scales them: cosines with the weights.

descent = cos(-g, w), g the gradient of the last step: near 1 the loss falls by growth of the weights alone ("naive loss
minimisation", Prieto et al., arXiv 2501.04697).  update = cos(dw, w): below 0 the weights shrink.
Cost: .02 training steps.
"""

from collections.abc import Sequence

from torch import Tensor

from rrm.probes.probe import Probe
from rrm.probes.view import View, dot


class Alignment(Probe):
    """descent, update."""

    name = "alignment"
    every_step = True  # the weights before each step have to be kept

    def measure(self, view: View) -> dict[str, Tensor]:
        found = {"update": _cosine(view.update, view.weights)}
        return found if view.gradients is None else found | {"descent": -_cosine(view.gradients, view.weights)}


def _cosine(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """nan where one of them is 0."""
    return (dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()).double()

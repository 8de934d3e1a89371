"""How far the last update could have gone on before it raises the loss: the critical step.

factor: the smallest c for which the loss of the training rows at w + c dw is above that at w, dw the last update and w
the weights before it, within a factor of 2^(1/8); 1 or less is beyond the edge.  sharpness = 2 / (c lr) (arXiv
2601.16979). Forward passes alone, so the loss may have any kernel. On rows that are all memorised the loss falls along
the update almost without end, so the factor says little there; it is searched from 2^-12 to 2^12.
From the factor of the last measurement on, 5 passes or a few more. Cost: .1 training steps.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from rrm.probes.probe import Probe
from rrm.probes.view import View

MOST = 2.0**12
LEAST = 2.0**-12
HALVINGS = 2  # of a factor of 2


class CriticalStep(Probe):
    """factor, sharpness = 2 / (factor lr)."""

    name = "critical"
    turns = 8
    every_step = True  # the weights before each step have to be kept

    def __init__(self) -> None:
        self._factor = 1.0

    @torch.no_grad()
    def measure(self, view: View) -> dict[str, Tensor]:
        before = view.subject.previous

        def loss(factor: float) -> Tensor:
            weights = torch._foreach_add(before, view.update, alpha=factor)
            return view.subject.train.at(dict(zip(view.subject.names, weights, strict=True))).losses.double().mean()

        start = loss(0.0)

        def rises(factor: float) -> bool:
            return bool(loss(factor) > start)

        self._factor = _first_rise(rises, self._factor)
        rate = float(view.subject.groups()[0]["lr"])
        found = torch.tensor(self._factor, dtype=torch.float64)
        return {"factor": found, "sharpness": 2 / (found * rate)}

    def tensors(self) -> dict[str, Tensor]:
        return {"factor": torch.tensor(self._factor, dtype=torch.float64)}

    def load(self, view: View, tensors: Mapping[str, Tensor]) -> None:
        self._factor = tensors["factor"].item()


def _first_rise(rises: Callable[[float], bool], guess: float) -> float:
    """The factor from which on a loss rises, between LEAST and MOST, searched from a guess."""
    high = rises(guess)
    factor = guess
    while LEAST < factor < MOST:
        following = factor / 2 if high else factor * 2
        if rises(following) != high:
            low = min(factor, following)
            break
        factor = following
    else:
        return factor
    width = 2.0
    for _ in range(HALVINGS):
        width **= 0.5
        if not rises(low * width):
            low *= width
    return low * width**0.5

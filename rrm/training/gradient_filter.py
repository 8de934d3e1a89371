"""Gradients whose slow part, which generalises, is amplified (Grokfast, Lee et al., arXiv 2405.20233)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rrm.errors import InputError
from rrm.training.hook import Hook, HookSettings
from rrm.training.part import Context, chosen


class GradientFilter(Hook):
    """g <- g + gain * slow(g), after the gradients of all workers are in and before they are clipped.

    Subclasses define `_slow`, which hears of each gradient once a step.
    """

    def __init__(self, settings: "GradientFilterSettings", model: nn.Module):
        super().__init__()
        self.settings, self.state = settings, dict[str, Tensor]()
        self.parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}

    @torch.no_grad()
    def after_backward(self, step: int) -> None:
        for name, parameter in self.parameters.items():
            if parameter.grad is not None and (slow := self._slow(name, parameter.grad, step)) is not None:
                parameter.grad.add_(slow, alpha=self.settings.gain)

    def _slow(self, name: str, gradient: Tensor, step: int) -> Tensor | None:
        """The slow part of the gradients of a parameter so far, None while there is none."""
        raise NotImplementedError

    def tensors(self) -> dict[str, Tensor]:
        return dict(self.state)

    def load(self, tensors: Mapping[str, Tensor], records: list[dict[str, Any]]) -> None:
        super().load(tensors, records)
        self.state = dict(tensors)


class MovingAverage(GradientFilter):
    """Grokfast-EMA: m <- decay m + (1 - decay) g, from the first gradient on."""

    def _slow(self, name: str, gradient: Tensor, step: int) -> Tensor:
        if name not in self.state:
            self.state[name] = gradient.clone()
        return self.state[name].lerp_(gradient, 1 - self.settings.decay)


class Window(GradientFilter):
    """Grokfast-MA: the mean of the last `window` gradients, as soon as there are so many.

    The state of a parameter is a ring [window, ...].
    """

    def _slow(self, name: str, gradient: Tensor, step: int) -> Tensor | None:
        size = self.settings.window
        ring = self.state.setdefault(name, gradient.new_zeros(size, *gradient.shape))
        ring[step % size] = gradient
        return ring.mean(0) if step + 1 >= size else None


FILTERS: dict[str, type[GradientFilter]] = {"ema": MovingAverage, "window": Window}


@dataclass(frozen=True)
class GradientFilterSettings(HookSettings):
    """filter: a name in FILTERS.  gain: of the slow part.  decay: of "ema".  window: steps of "window".

    The published settings: ema with decay 0.98 and gain 2, window of 100 with gain 5.
    """

    filter: str = "ema"
    gain: float = 2.0
    decay: float = 0.98
    window: int = 100

    def __post_init__(self) -> None:
        chosen(FILTERS, "gradient filter", self.filter)
        if not math.isfinite(self.gain):
            raise InputError(f"gain is {self.gain}: use a finite number")
        if not 0 <= self.decay < 1:
            raise InputError(f"decay is {self.decay:g}: use a number from 0 to below 1")
        if type(self.window) is not int or self.window < 1:
            raise InputError(f"window is {self.window!r}: use a number of steps from 1")

    def build(self, context: Context) -> GradientFilter:
        return FILTERS[self.filter](self, context.model)

"""A curriculum of recursion depth: deep supervision whose segments grow (CGAR, arXiv 2511.08653).

The first steps have few cycles, and so few calls: at equal call units a training that grows has more steps. CGAR grows
TRM from 2 x 1 to 4 x 2 and 6 x 3 cycles after 30 and 60 % of the training.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from rrm.errors import InputError
from rrm.models import recursive
from rrm.models.base import RecursiveModel
from rrm.models.hrm import HRM
from rrm.models.trm import TRM
from rrm.training.deep_supervision import DeepSupervision, DeepSupervisionSettings
from rrm.training.losses import stablemax_cross_entropy
from rrm.training.part import Context, Data, Loss
from rrm.training.perturbation import TrajectoryPerturbation
from rrm.training.rollouts import Calls
from rrm.training.schedule import Growth


class GrowingDepth(DeepSupervision):
    """Deep supervision whose H and L cycles grow over training by `growth`, from those of the model.

    A puzzle in the carry goes on at the new depth. An evaluation has the depth of its step.
    """

    model: TRM | HRM

    def __init__(
        self,
        model: TRM | HRM,
        perturbation: TrajectoryPerturbation,
        settings: "GrowingDepthSettings",
        loss: Loss = stablemax_cross_entropy,
        data: Data | None = None,
        seed: int = 0,
    ):
        super().__init__(model, perturbation, settings, loss, data, seed)
        self.growth = settings.growing(model.config.H_cycles, model.config.L_cycles)

    def before_step(self, step: int, total_steps: int, optimizer: torch.optim.Optimizer) -> None:
        """Set the depth of the coming step."""
        super().before_step(step, total_steps, optimizer)
        self.model.set_cycles(*self.growth.depth(step + 1, total_steps))

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        assert isinstance(model, TRM | HRM)
        model.set_cycles(self.model.config.H_cycles, self.model.config.L_cycles)
        return super().evaluate(model)


@dataclass(frozen=True)
class GrowingDepthSettings(DeepSupervisionSettings):
    """growth: {"H": [[percent, increment], ...], "L": [...]}, more cycles from so many percent of the training on."""

    growth: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if strangers := self.growth.keys() - {"H", "L"}:
            raise InputError(f"growth has a part {min(strangers)!r}: it has H and L")

    def build(self, context: Context) -> GrowingDepth:
        return GrowingDepth(
            _carrying(context.model), context.perturbation, self, context.loss, context.puzzles, context.seed
        )

    def growing(self, H_cycles: int, L_cycles: int) -> Growth:
        """Depth over training, from so many cycles on."""
        H, L = (tuple((at, by) for at, by in self.growth.get(name, ())) for name in ("H", "L"))
        return Growth(H_cycles, L_cycles, H=H, L=L)

    def calls(self, model: nn.Module, description: Mapping[str, Any], step: int, total_steps: int) -> Calls:
        reasoner = _carrying(model)
        H, L = self.growing(description["H_cycles"], description["L_cycles"]).depth(step, total_steps)
        forward = H * (L + 1)
        ahead = forward if reasoner.q_learning and self.halt_max_steps > 1 else 0
        return Calls(forward, L + 1 if isinstance(reasoner, TRM) else reasoner.grad_calls, ahead)

    def rollout(
        self, model: RecursiveModel, description: Mapping[str, Any], step: int, total_steps: int
    ) -> tuple[int, int]:
        H, L = self.growing(description["H_cycles"], description["L_cycles"]).depth(step, total_steps)
        return self.halt_max_steps, H * (L + 1)


def _carrying(model: nn.Module) -> TRM | HRM:
    """The model as one that carries its state; InputError for another."""
    reasoner = recursive(model, "objective 'growing_depth'")
    if not isinstance(reasoner, TRM | HRM):
        raise InputError(
            f"objective 'growing_depth' trains models that carry their state from step to step (trm, hrm), not "
            f"{type(model).__name__}: the objective 'last_step' of srm grows by itself"
        )
    return reasoner

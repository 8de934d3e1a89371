"""Plain supervision: one forward pass of a network without recursion, and the loss of its answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rrm.errors import InputError
from rrm.models.plain import PlainModel
from rrm.training.losses import cross_entropy, score
from rrm.training.objective import Carry, ObjectiveSettings, Outcome, PuzzleObjective
from rrm.training.part import Context, Data, Loss


class Supervised(PuzzleObjective):
    """The loss of every row's answer, averaged over the batch."""

    model: PlainModel

    def __init__(self, model: PlainModel, loss: Loss = cross_entropy, data: Data | None = None):
        super().__init__(model, loss, data)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the network."""
        self.model.compile(*args, **kwargs)

    def forward(
        self, carry: Carry, batch: Mapping[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, Carry, Outcome]:
        found = score(self.model(batch["inputs"]), batch["labels"], self.loss)
        loss, cells, solved = (value.detach() for value in found)
        sums = {
            "rows": torch.tensor(float(len(loss))),
            "lm_loss": loss.sum(),
            "exact": solved.sum(),
            "cells": cells.sum(),
        }
        by_row = {"row": batch["rows"], "loss": loss, "solved": solved, "halted": torch.ones_like(solved)}
        return found.loss.mean(), carry, Outcome(sums, by_row)

    def metrics(self, sums: Mapping[str, float]) -> dict[str, float]:
        return {f"train/{name}": sums[name] / sums["rows"] for name in ("lm_loss", "exact", "cells")}


@dataclass(frozen=True)
class SupervisedSettings(ObjectiveSettings):
    """Nothing to set."""

    def build(self, context: Context) -> Supervised:
        if not isinstance(context.model, PlainModel):
            raise InputError(
                f"objective 'supervised' trains networks without recursion (mlp), not {type(context.model).__name__}: "
                "use the objective of the model's family"
            )
        if context.perturbation.trajectories > 1 or context.perturbation.sigma or context.perturbation.far:
            raise InputError("objective 'supervised' has no state to perturb: leave the perturbation out")
        return Supervised(context.model, context.loss, context.puzzles)

    def units(self, model: nn.Module, description: Mapping[str, Any], step: int, total_steps: int) -> float:
        return 3.0

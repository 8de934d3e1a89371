"""What the gates of a delta rule do (`rrm.models.delta_rule`, arXiv 2412.06464): forget slowly or fast, write or not.

Numbers of `GateStatistics`: mean and spread of the decay alpha of a cell, its half-life in cells, mean and spread of
the writing strength beta, the share of the cells with beta > .5, and the spectral norm of the last state; means over
rows, ways, heads and the calls of a pass. Cost: a forward pass, .1 training steps.
"""

import torch
from torch import Tensor, nn

from rrm.models.delta_rule import GatedDeltaRule, gate_statistics
from rrm.models.layers import RotaryPositions
from rrm.probes.heads import mean_over_calls
from rrm.probes.probe import Probe
from rrm.probes.view import Formula, View


class Gates(Probe):
    """alpha, alpha_spread, half_life, beta, beta_spread, writing, state_norm."""

    name = "gates"

    @classmethod
    def lacking(cls, model: nn.Module, formula: Formula | None) -> str | None:
        return None if _delta_rules(model) else "a gated delta rule"

    @torch.no_grad()
    def measure(self, view: View) -> dict[str, Tensor]:
        return mean_over_calls(view, _delta_rules(view.subject.model), gate_numbers)


def gate_numbers(module: GatedDeltaRule, x_BLD: Tensor, rotary: RotaryPositions | None) -> dict[str, Tensor]:
    """The numbers of one call with this input."""
    return {name: values.mean() for name, values in gate_statistics(module.reading(x_BLD, rotary))._asdict().items()}


def _delta_rules(model: nn.Module) -> list[GatedDeltaRule]:
    return [module for module in model.modules() if isinstance(module, GatedDeltaRule)]

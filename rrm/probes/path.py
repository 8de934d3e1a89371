"""The way of a training: how far the weights went, how hard, and how far the answers went.

With steps dw_t of rates lr_t, added up in float64 over every step since the start:

tau = sum lr_t: the time of the flow that the steps follow.
length = sum ||dw_t||, displacement = ||w_t - w_0||: length >= displacement.
kinetic_action = sum ||dw_t||^2 / (2 lr_t): the integral over tau of half the squared speed; >= length^2 / (2 tau).
gradient_action = sum lr_t ||g_t||^2: for plain gradient descent the fall of the loss, so it measures nothing there; the
oracle of the sums.
function_action = sum over t of the mean over answers of 2 ||sqrt p_(t+1) - sqrt p_t||, divided by 2 arccos V^-1/2: the
Fisher-Rao length of the path of the softmax answers to fixed held-out rows, in units of the distance from the uniform
answer to a certain one. It does not depend on the parameters, so it compares networks. A straight way to the right
answer has 1; certain and wrong first and right then at least 1 + pi / (2 arccos V^-1/2). `function_action_train` is
that of training rows. Chords are taken for arcs, which underestimates jumps.

Other numbers are of weights, so divide by their number to compare sizes. Fisher-Rao length: Rao (1945); chords of the
square roots: Bhattacharyya (1946). Cost: .05 training steps at every step, most of it the passes of about 128 answers.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from rrm.probes.probe import Probe
from rrm.probes.view import ProbeRows, View

ANSWERS = 64  # distributions of each side whose way is followed
_SUMS = ("tau", "length", "kinetic_action", "gradient_action", "function_action", "function_action_train")


class Path(Probe):
    """tau, length, displacement, kinetic_action, gradient_action, function_action, function_action_train."""

    name = "path"
    every_step = True

    def begin(self, view: View) -> None:
        self._start = [w.clone() for w in view.weights]
        device = self._start[0].device
        self._sums = {name: torch.zeros((), dtype=torch.float64, device=device) for name in _SUMS}
        self._follow(view)

    def after_step(self, view: View) -> None:
        sums = self._sums
        rates = [float(group["lr"]) for group in view.subject.groups()]  # type: ignore[arg-type]
        squared = view.update_norms.square()
        sums["length"] += squared.sum().sqrt()
        if rates.count(rates[0]) == len(rates):
            kinetic = squared.sum() / (2 * rates[0]) if rates[0] else 0 * squared.sum()
        else:
            halves = torch.tensor([0.5 / rate if rate else 0.0 for rate in rates], dtype=torch.float64)
            kinetic = squared @ halves.to(squared.device)
        sums["kinetic_action"] += kinetic
        sums["tau"] += rates[0]
        if view.gradient_norms is not None:
            sums["gradient_action"] += rates[0] * view.gradient_norms.square().sum()
        for name, rows in self._rows.items():
            roots = _roots(rows)
            arcs = 2 * (roots - self._roots[name]).norm(dim=-1).mean(dtype=torch.float64)
            sums[name] += arcs / (2 * math.acos(roots.shape[-1] ** -0.5))
            self._roots[name] = roots

    def measure(self, view: View) -> dict[str, Tensor]:
        moved = torch.stack(torch._foreach_norm(torch._foreach_sub(view.weights, self._start)))
        held_out = set() if "function_action" in self._rows else {"function_action"}
        found = {name: value.clone() for name, value in self._sums.items() if name not in held_out}
        return found | {"displacement": moved.double().norm()}

    def tensors(self) -> dict[str, Tensor]:
        return self._sums | {f"start/{number}": w for number, w in enumerate(self._start)}

    def load(self, view: View, tensors: Mapping[str, Tensor]) -> None:
        self._sums = {name: tensors[name] for name in _SUMS}
        self._start = [tensors[f"start/{number}"] for number in range(len(view.weights))]
        self._follow(view)

    def _follow(self, view: View) -> None:
        """Take up the answers at the present weights."""
        sides = {"function_action": view.subject.held_out, "function_action_train": view.subject.train}
        self._rows = {
            name: rows.first(min(rows.rows, math.ceil(ANSWERS / rows.answers))) for name, rows in sides.items() if rows
        }
        self._roots = {name: _roots(rows) for name, rows in self._rows.items()}


@torch.no_grad()
def _roots(rows: ProbeRows) -> Tensor:
    """The square roots of the answer distributions of rows, [..., V]."""
    return rows().logits.softmax(-1).sqrt()

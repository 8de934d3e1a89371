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
square roots: Bhattacharyya (1946).

A small network keeps its weights for up to 16 steps, and all their passes follow one another: after each training step
by itself, with caches that the step has left cold, a pass takes twice as long. Cost: .03 training steps at every step,
.06 for a recursive model, of which a pass of 16 answers of each side (a puzzle at least) is most.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from rrm.probes.probe import Probe
from rrm.probes.view import View, flat

ANSWERS = 16  # distributions of each side whose way is followed
MOST_WAITING = 16  # steps
MOST_KEPT = 2**22  # numbers: the weights of all steps that wait
NAMES = ("tau", "length", "kinetic_action", "gradient_action", "function_action_train", "function_action")


class Path(Probe):
    """tau, length, displacement, kinetic_action, gradient_action, function_action, function_action_train."""

    name = "path"
    every_step = True

    def begin(self, view: View) -> None:
        self._start = [w.clone() for w in view.weights]
        self._sums = torch.zeros(len(NAMES), dtype=torch.float64, device=self._start[0].device)
        self._follow(view)

    def after_step(self, view: View) -> None:
        before = view.subject.before
        assert before is not None
        rates = [float(group["lr"]) for group in view.subject.groups()]
        self._waiting.append(_Step(rates, before, view.gradient_norms))
        if self._rows.moving:
            self._roots.append(self._present())
        if len(self._waiting) == self._most:
            self._add_up()

    def measure(self, view: View) -> dict[str, Tensor]:
        self._add_up()
        moved = torch.stack(torch._foreach_norm(torch._foreach_sub(view.weights, self._start)))
        held_out = view.subject.held_out is not None
        found = dict(zip(NAMES, self._sums.clone(), strict=True)) | {"displacement": moved.double().norm()}
        return {name: value for name, value in found.items() if held_out or name != "function_action"}

    def tensors(self) -> dict[str, Tensor]:
        self._add_up()
        return {"sums": self._sums, **{f"start/{number}": w for number, w in enumerate(self._start)}}

    def load(self, view: View, tensors: Mapping[str, Tensor]) -> None:
        # Older checkpoints have each sum by its name.
        sums = tensors["sums"] if "sums" in tensors else torch.stack([tensors[name] for name in NAMES])
        self._sums = sums.clone()
        self._start = [tensors[f"start/{number}"] for number in range(len(view.weights))]
        self._follow(view)

    def _follow(self, view: View) -> None:
        """Take up the answers at the present weights, as many of each side."""
        self._subject = view.subject
        sides = [rows for rows in (view.subject.train, view.subject.held_out) if rows]
        few = min(math.ceil(ANSWERS / sides[0].answers), *(rows.rows for rows in sides))
        first = [rows.first(few) for rows in sides]
        self._rows = first[0].joined(first[1]) if len(first) == 2 else first[0]
        self._sides = len(first)
        self._most = min(MOST_WAITING, max(1, MOST_KEPT // sum(w.numel() for w in view.weights)))
        self._waiting: list[_Step] = []
        # The same kernels on the same layout as for the steps to come: a resumed series goes on to the last digit.
        self._roots = [self._present()] if self._rows.moving else self._past([flat(view.weights)])

    @torch.no_grad()
    def _present(self) -> Tensor:
        """The roots of the answers [B, ..., V] by the present weights, those to training rows first."""
        with self._subject.looking():
            return self._rows().logits.softmax(-1).sqrt()

    @torch.no_grad()
    def _past(self, weights: Sequence[Tensor]) -> list[Tensor]:
        """The same by each of other weights [N]."""
        names, parts = self._subject.names, self._subject.parts
        with self._subject.looking():
            logits = [self._rows.logits_at(dict(zip(names, parts(one), strict=True))) for one in weights]
        return [one.softmax(-1).sqrt() for one in logits]

    def _add_up(self) -> None:
        """Add the steps that wait to the sums."""
        if not self._waiting:
            return
        now = flat([p.detach() for p in self._subject.parameters.values()])
        weights = [*(step.before for step in self._waiting), now]
        move, found = torch.empty_like(now), []
        for before, after in pairwise(weights):
            torch.sub(after, before, out=move)
            found.append(torch.stack(torch._foreach_norm(self._subject.parts(move))))
        norms = torch.stack(found).double().square()  # [T, P]
        rates = torch.tensor([step.rates for step in self._waiting], dtype=torch.float64, device=now.device)
        gradients = torch.stack(
            [torch.zeros_like(found[0]) if step.gradients is None else step.gradients for step in self._waiting]
        )
        gradients = gradients.double().square()
        squared, rate = norms.sum(1), rates[:, 0]
        kinetic = (norms / (2 * rates)).where(rates > 0, 0.0).sum()
        roots = torch.stack(self._roots if self._rows.moving else self._roots + self._past(weights[1:]))
        chords = (roots[1:] - roots[:-1]).norm(dim=-1).unflatten(1, (self._sides, -1)).flatten(2).mean(2).double()
        ways = chords.sum(0) / math.acos(roots.shape[-1] ** -0.5)
        sums = [rate.sum(), squared.sqrt().sum(), kinetic, (rate * gradients.sum(1)).sum(), *ways]
        self._sums[: len(sums)] += torch.stack(sums)
        self._waiting, self._roots = [], [roots[-1]]


class _Step(NamedTuple):
    """Rates by parameter, the weights before the step [N], and norms of the gradient by parameter."""

    rates: list[float]
    before: Tensor
    gradients: Tensor | None

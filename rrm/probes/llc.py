"""The local learning coefficient: how fast the volume of nearly as good weights grows around these weights.

lambda = n beta (mean L over chains - L(w*)), beta = 1 / ln n, for chains of stochastic gradient Langevin dynamics,
w <- w - eps/2 (n beta grad L + gamma (w - w*)) + sqrt(eps) N(0, I), from w* (Lau et al., arXiv 2308.12108). d / 2 where
the loss is a quadratic of d weights, less where directions are flat. L is the loss of all n training rows of the view,
in the chains and at w* alike, so that one baseline serves all chains; eps has to be small against 1 / (n beta h) of the
largest curvature h, and gamma against n beta h. r_hat compares chains with each other (Gelman and Rubin 1992): do not
believe a coefficient whose r_hat is far above 1. Cost: CHAINS x DRAWS gradients, some 100 training steps at 128 rows.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from rrm.probes.probe import Probe
from rrm.probes.view import Vector, View

CHAINS, DRAWS, BURN_IN = 4, 100, 50
STEP, LOCALISATION = 1e-5, 100.0


class LocalLearningCoefficient(Probe):
    """coefficient, spread (standard deviation over chains), r_hat."""

    name = "llc"
    turns = 256

    def measure(self, view: View) -> dict[str, Tensor]:
        subject, names = view.subject, view.subject.names

        def loss(weights: Vector) -> Tensor:
            return subject.train.at(dict(zip(names, weights, strict=True))).losses.mean()

        rows, generator = len(view.train.losses), view.generator(self.name)
        found = learning_coefficient(loss, view.weights, rows, generator, draws=DRAWS, burn_in=BURN_IN)
        return {"coefficient": found.by_chain.mean(), "spread": found.by_chain.std(), "r_hat": found.r_hat}


class Coefficient(NamedTuple):
    """by_chain: [chains].  r_hat: scalar.  losses: nats, [chains, draws], after the burn-in."""

    by_chain: Tensor
    r_hat: Tensor
    losses: Tensor


def learning_coefficient(
    loss: Callable[[Vector], Tensor],
    weights: Vector,
    rows: int,
    generator: torch.Generator,
    *,
    chains: int = CHAINS,
    draws: int = DRAWS,
    burn_in: int = BURN_IN,
    step: float = STEP,
    localisation: float = LOCALISATION,
) -> Coefficient:
    """The coefficient at `weights` of a mean loss over so many rows; see the head of this file."""
    strength = rows / math.log(max(rows, 3))
    with torch.no_grad():
        start = loss(weights).double()
    found = []
    for _ in range(chains):
        w = [part.clone() for part in weights]
        seen = []
        for _ in range(burn_in + draws):
            with torch.enable_grad():
                leaves = [part.detach().requires_grad_() for part in w]
                value = loss(leaves)
                slopes = torch.autograd.grad(value, leaves, materialize_grads=True)
            seen.append(value.detach().double())
            for place, (part, slope) in enumerate(zip(w, slopes, strict=True)):
                drift = strength * slope + localisation * (part - weights[place])
                noise = torch.randn(part.shape, generator=generator).to(part)
                w[place] = part - step / 2 * drift + math.sqrt(step) * noise
        found.append(torch.stack(seen[burn_in:]))
    losses = torch.stack(found)
    return Coefficient(strength * (losses.mean(1) - start), r_hat(losses), losses)


def r_hat(samples: Tensor) -> Tensor:
    """The potential scale reduction of chains [chains, draws]: the root of pooled variance over that within chains."""
    draws = samples.shape[1]
    within, between = samples.var(1).mean(), samples.mean(1).var()
    return ((draws - 1) / draws + between / within).sqrt()

"""Curvature of the loss over the weights: trace and largest eigenvalue of the Hessian of fixed training rows.

trace = E v^T H v for v of random signs, one draw a measurement (Hutchinson 1990; its spread averages out over the
series); also of the diagonal block of each layer, from the same product. Both traces fall with the train loss, so
compare them at equal loss.
largest: the largest eigenvalue, not the largest in size, by Lanczos from the vector of the last measurement, two
products each (twelve at the first).  residual = ||H u - largest u||: an eigenvalue lies within it.
Unit: nats by squared weight. Cost: .6 training steps the first of the three products with the gradient, .25 each other.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from rrm.probes.probe import Probe
from rrm.probes.view import Vector, View, dot, scaled, signs

FIRST, LATER = 12, 2  # products of the first measurement, which has no vector to start from, and of the others


class Hessian(Probe):
    """trace, trace/NAME of each layer, largest, residual."""

    name = "hessian"

    def __init__(self) -> None:
        self._vector: Vector | None = None

    def measure(self, view: View) -> dict[str, Tensor]:
        v = signs(view.weights, view.generator(self.name))
        parts = torch.stack([dot([a], [b]) for a, b in zip(v, view.hessian_times(v), strict=True)]).double()
        top = warm_lanczos(view.hessian_times, self._vector, view, self.name)
        self._vector = top.vector
        layers = {f"trace/{name}": parts[places].sum() for name, places in view.subject.layers.items()}
        return {"trace": parts.sum(), "largest": top.value, "residual": top.residual, **layers}

    def tensors(self) -> dict[str, Tensor]:
        return stored(self._vector)

    def load(self, view: View, tensors: Mapping[str, Tensor]) -> None:
        self._vector = list(tensors.values())


class Top(NamedTuple):
    """The largest eigenvalue, a unit vector of it, and how far the vector is from an eigenvector."""

    value: Tensor
    vector: Vector
    residual: Tensor


def warm_lanczos(times: Callable[[Vector], Vector], start: Vector | None, view: View, probe: str) -> Top:
    """The top of an operator by a few products from the last vector, by more from a random one."""
    if start is not None:
        return lanczos(times, start, LATER)
    generator = view.generator(f"{probe} start")
    return lanczos(times, [torch.randn(w.shape, generator=generator).to(w) for w in view.weights], FIRST)


def lanczos(times: Callable[[Vector], Vector], start: Vector, products: int) -> Top:
    """The largest eigenvalue of a symmetric operator in the Krylov space of `start`, by so many products.

    Every new vector is made orthogonal to all others, twice, so that no eigenvalue comes as a ghost.
    """
    basis: list[Vector] = []
    images: list[Vector] = []
    following = start
    for _ in range(products):
        norm = dot(following, following).sqrt()
        # The space is exhausted, or the operator is 0: a vector of rounding would only bring noise.
        if basis and not norm > 1e-6 * dot(images[-1], images[-1]).sqrt():
            break
        basis.append(scaled(following, 1 / norm.clamp_min(torch.finfo(norm.dtype).tiny)))
        images.append(times(basis[-1]))
        following = images[-1]
        for _ in range(2):
            for known in basis:
                following = list(torch._foreach_sub(following, scaled(known, dot(known, following))))
    T = torch.stack([torch.stack([dot(a, b) for b in images]) for a in basis]).double()
    values, vectors = torch.linalg.eigh((T + T.mT) / 2)
    weights = vectors[:, -1].tolist()
    vector, image = _sum(weights, basis), _sum(weights, images)
    value = values[-1]
    difference = torch._foreach_sub(image, scaled(vector, value.item()))
    return Top(value, vector, dot(difference, difference).sqrt())


def stored(vector: Vector | None) -> dict[str, Tensor]:
    """A vector as a checkpoint keeps it; its names sort in order."""
    return {} if vector is None else {f"{number:06}": part for number, part in enumerate(vector)}


def _sum(weights: list[float], vectors: list[Vector]) -> Vector:
    total = scaled(vectors[0], weights[0])
    for weight, vector in zip(weights[1:], vectors[1:], strict=True):
        torch._foreach_add_(total, scaled(vector, weight))
    return total

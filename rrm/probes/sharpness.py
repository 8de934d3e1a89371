"""How close an adaptive optimizer is to its edge of stability: sharpness after preconditioning, and its threshold.

largest = lambda_max(P^-1/2 H P^-1/2), with the preconditioner P of `rrm.probes.adam`; threshold = (2 - lr wd)
(1 + beta) / ((1 - beta) lr'), with lr' = lr / (1 - beta^t): frozen Adam on a mode h oscillates and grows beyond it
(Cohen et al., arXiv 2207.14484: 38 / lr at beta .9).  ratio = largest / threshold: 1 is the edge.
Few rows overstate it, as they do the largest eigenvalue (`rrm.probes.hessian`).
Weights that never had a gradient do not move and are left out. Four Hessian-vector products. Cost: .9 training steps,
one in eight measurements.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rrm.probes.adam import no_moments
from rrm.probes.hessian import flat_product, warm_lanczos
from rrm.probes.probe import Probe
from rrm.probes.view import Formula, View, flat


class Sharpness(Probe):
    """largest, threshold, ratio, residual."""

    name = "preconditioned_sharpness"
    turns = 8

    def __init__(self) -> None:
        self._vector: Tensor | None = None

    @classmethod
    def lacking(cls, model: nn.Module, formula: Formula | None) -> str | None:
        return no_moments(formula)

    def measure(self, view: View) -> dict[str, Tensor]:
        known = [m for m in view.moments if m is not None]
        roots = flat(
            [
                torch.zeros_like(w) if m is None else m.preconditioner.rsqrt()
                for m, w in zip(view.moments, view.weights, strict=True)
            ]
        ).nan_to_num(0.0, posinf=0.0)

        def times(v: Tensor) -> Tensor:
            return roots * flat_product(view, roots * v)

        top = warm_lanczos(times, self._vector, view, self.name)
        self._vector = top.vector
        # Groups may differ: the edge is that of the first one to reach it.
        threshold = min(
            (2 - m.lr * m.weight_decay) * (1 + m.beta1) / ((1 - m.beta1) * m.sharpness_rate) if m.lr else float("inf")
            for m in known
        )
        edge = torch.tensor(threshold, dtype=torch.float64, device=top.value.device)
        return {"largest": top.value, "threshold": edge, "ratio": top.value / edge, "residual": top.residual}

    def tensors(self) -> dict[str, Tensor]:
        return {} if self._vector is None else {"vector": self._vector}

    def load(self, view: View, tensors: Mapping[str, Tensor]) -> None:
        self._vector = tensors["vector"]

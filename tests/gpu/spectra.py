"""Seconds and error of Lyapunov spectra of the papers' TRM, in float32 and in reduced precision.

Each precision is compared with float64 on the first examples: after one segment, where the difference is arithmetic,
and after all of them, where a chaotic rollout has carried the difference to another orbit. Then the mean over examples
says whether the precision moves the exponents.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from unittest import mock

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from rrm.dynamics import NetworkMap, lyapunov_spectrum, map_spectrum
from rrm.dynamics.measure import choose_batch
from rrm.dynamics.network_map import flat_tangents
from rrm.dynamics.tangent_map import flat
from rrm.dynamics.tangents import push
from rrm.models import RecursiveModel, build
from rrm.models import precision as rrm_precision
from rrm.tasks import PuzzleSet, get_task
from tests.gpu.product_rate import product_rate
from tests.gpu.session import Session, in_words

Batch = dict[str, np.ndarray]
# Of the time that is left, a case may take this.
SHARE = 0.65
# (model, batch, k, segments, compiled) -> log R [calls, B, k] in float64.
Estimate = Callable[..., Tensor]


class BfloatMap(NetworkMap):
    """The map with network calls and pushed tangents in bfloat16; state, basis and QR keep their precision.

    The halves that a call leaves alone are not rounded, and neither is the sum over calls.
    """

    def push(self, t: int, z: Tensor, V: Tensor) -> tuple[Tensor, Tensor]:
        half, state = self._half(t), self.state(z)
        V_H, V_L = V.unflatten(2, (2, *self.half_shape)).unbind(2)
        with self.model.precision(torch.bfloat16):
            u = self.model.inject(half, state, self._x)
            direction = (V_H + V_L).transpose(0, 1).bfloat16()
            out, V_out = push(self.model.network(half), u, direction, compiled=self.compiled)
        z = flat(self.model.update(half, state, out.float()))
        V_out = V_out.transpose(0, 1).float()
        return z, flat_tangents(V_out, V_L) if half == "H" else flat_tangents(V_H, V_out)


def in_float32(model: RecursiveModel, batch: Batch, k: int, segments: int, compiled: bool) -> Tensor:
    return lyapunov_spectrum(model, batch, k, segments, compiled=compiled).log_R


def in_bfloat16(model: RecursiveModel, batch: Batch, k: int, segments: int, compiled: bool) -> Tensor:
    system = BfloatMap(model, batch, compiled=compiled)
    return map_spectrum(system, None, k, segments * system.calls_per_segment).log_R


@contextmanager
def tf32_products() -> Iterator[None]:
    """Products of float32 in TF32, which the estimators otherwise forbid."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        with mock.patch.object(rrm_precision, "_PRODUCTS", []):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


@dataclass(frozen=True)
class Precision:
    """A way to measure: the estimate, the dtype of its products, and what surrounds it."""

    estimate: Estimate
    products: torch.dtype
    around: Callable[[], AbstractContextManager] = nullcontext


PRECISIONS = {
    "float32": Precision(in_float32, torch.float32),
    "bfloat16 calls": Precision(in_bfloat16, torch.bfloat16),
    "TF32 products": Precision(in_float32, torch.float32, tf32_products),
}


def run(session: Session) -> None:
    Spectra(session).run()


class Spectra:
    """The model, its puzzles, and the exponents in float64 that all others are compared with."""

    def __init__(self, session: Session):
        self.session, self.sizes = session, session.sizes
        task = get_task(self.sizes.task)
        torch.manual_seed(0)
        self.model = build(self.sizes.recipe("trm_sudoku").model).eval().to(session.device)
        self.calls = len(self.model.segment_calls)
        base = task.generate(32, seed=0)
        rows = np.arange(max(examples for _, _, examples in self.sizes.spectra)) % len(base)
        copies = task.augment(base.inputs[rows], base.labels[rows], np.random.default_rng(0))
        self.puzzles = PuzzleSet.of(task.name, *copies)

    def run(self) -> None:
        sizes = self.sizes
        few = self.batch(0, sizes.subset)
        with FlopCounterMode(display=False) as counter:
            in_float32(self.model, few, sizes.k, 1, compiled=False)
        self.flops = counter.get_total_flops() * sizes.segments / sizes.subset  # of an example
        self.exact = in_float32(copy.deepcopy(self.model).double(), few, sizes.k, sizes.segments, compiled=False)
        leading = self.exact[..., 0].mean(0)
        says = f"lambda_1 of {sizes.subset} examples {leading.mean():+.4f} nats per call, SD {leading.std():.4f}"
        self.session.row("float64, for comparison", says, flops=self.flops)

        for name, compiled, examples in sizes.spectra:
            self.measured(name, compiled, examples)

    def batch(self, first: int, count: int) -> Batch:
        rows = slice(first, first + count)
        return {"inputs": self.puzzles.inputs[rows], "puzzle_identifiers": self.puzzles.puzzle_identifiers[rows]}

    def measured(self, name: str, compiled: bool, examples: int) -> None:
        """Measure so many examples, or as many as SHARE of the time left allows, and write the row of this case.

        The first batch, which compiles, is left out of the seconds.
        """
        session, sizes, precision = self.session, self.sizes, PRECISIONS[name]
        case = f"{name}, {'compiled' if compiled else 'eager'}"
        with session.case(case), precision.around():
            until = (1 - SHARE) * session.left
            rate = product_rate(session, name, precision.products)
            session.forget_peak()
            size = min(choose_batch(self.model, sizes.k), examples)
            estimate = partial(precision.estimate, self.model, k=sizes.k, segments=sizes.segments, compiled=compiled)
            began = session.clock()
            error = self.error(estimate(self.batch(0, size)))
            first_s = session.clock() - began
            done, each, began = size, 0.0, session.clock()
            while not each or (done < examples and session.left > until + each * size):
                estimate(self.batch(done % examples, size))
                done += size
                each = (session.clock() - began) / (done - size)
            goal, peak = sizes.goal_s, session.peak_gib
            says = in_words(
                f"{each:.3g} s per example" + (f", goal {goal:g}" if goal else ""),
                f"{done} examples in batches of {size}",
                f"{self.flops / each / rate:.0%} of the product rate",
                None if peak is None else f"{peak:.3g} GiB",
                f"first batch {first_s:.3g} s",
                f"off float64 by {error['one_segment']:.1e} after a segment and {error['all']:.1e} after all (median, "
                f"nats per call)",
                f"mean lambda_1 by {error['mean']:+.1e} +- {error['mean_se']:.0e}",
            )
            session.row(
                case, says, None if goal is None else each <= goal, each_s=each, examples=done, batch=size,
                share=self.flops / each / rate, peak_gib=peak, first_s=first_s, error=error,
            )  # fmt: skip

    def error(self, log_R: Tensor) -> dict[str, float]:
        """Differences from float64 on the examples that both have, in nats per call."""
        count = min(log_R.shape[1], self.exact.shape[1])
        difference = (log_R[:, :count] - self.exact[:, :count]).cpu()
        first, whole = (difference[:calls].mean(0) for calls in (self.calls, len(difference)))
        leading = whole[:, 0]
        return {
            "one_segment": float(first.abs().median()),
            "one_segment_max": float(first.abs().max()),
            "all": float(whole.abs().median()),
            "all_max": float(whole.abs().max()),
            "mean": float(leading.mean()),
            "mean_se": float(leading.std() / count**0.5),
        }

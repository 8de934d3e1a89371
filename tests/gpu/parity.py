"""Parity and tangents on the device: numbers of the public implementations, and automatic differentiation."""

import torch

from rrm.dynamics.tangents import push, push_by_jvp
from rrm.models import VARIANTS, build, variant
from rrm.models.precision import measurement
from tests.gpu.session import Session
from tests.models.agreement import MODELS, REFERENCES, comparisons, read_reference, reference_file

# Largest difference over the largest entry, in float32 by both ways; float64 is what the tests compare in.
TANGENT_BOUND = {torch.float32: 2e-5, torch.float64: 1e-11}


def run(session: Session) -> None:
    for name in MODELS:
        for size in REFERENCES:
            if (path := reference_file(name, size)).exists():
                _public_numbers(session, name, size, read_reference(path))
    for name in VARIANTS:
        with session.case(f"{name}: tangents"):
            _tangents(session, name)


def _public_numbers(session: Session, name: str, size: str, ref: dict) -> None:
    for subject, compare in comparisons(name, ref).items():
        case = f"{name}, {size}: {subject}"
        with session.case(case):
            found = list(compare(name, ref, session.device))
            # A nan is the worst of all.
            worst = max(found, key=lambda one: one.error / one.bound if one.error == one.error else float("inf"))
            says = f"{worst.error:.1e} off at most, below {worst.bound:.0e} ({worst.of}; {len(found)} compared)"
            holds = all(one.error < one.bound for one in found)
            session.row(case, says, holds, error=worst.error, bound=worst.bound, of=worst.of)


@measurement()
def _tangents(session: Session, name: str) -> None:
    width, heads = session.sizes.tangent_width, max(2, session.sizes.tangent_width // 64)
    torch.manual_seed(0)
    shape = {"vocab_size": 11, "seq_len": 81, "hidden_size": width, "num_heads": heads, "L_layers": 2, "H_layers": 2}
    model = build(variant(name, **shape)).eval().to(session.device)
    u, du = torch.randn(4, 81, width), torch.randn(3, 4, 81, width)
    for dtype, bound in TANGENT_BOUND.items():
        network = model.to(dtype).network("L")
        args = network, u.to(session.device, dtype), du.to(session.device, dtype)
        (out, pushed), (again, by_jvp) = push(*args), push_by_jvp(*args)
        error = max(float((a - b).abs().max() / b.abs().max()) for a, b in ((out, again), (pushed, by_jvp)))
        kind = str(dtype).removeprefix("torch.")
        says = f"{error:.1e} off automatic differentiation, below {bound:.0e}"
        session.row(f"{name}: tangents, {kind}", says, error < bound, error=error, bound=bound)

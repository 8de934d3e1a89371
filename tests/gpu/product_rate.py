"""The rate of plain matrix products: what the share of a step's or a spectrum's arithmetic is a share of."""

from statistics import median

import torch

from tests.gpu.session import Session


def product_rate(session: Session, name: str, dtype: torch.dtype) -> float:
    """FLOP per second of an n x n product of random numbers in `dtype`, and a row that says it under `name`."""
    n = session.sizes.product
    a, b = (torch.randn(n, n, device=session.device, dtype=torch.float32).to(dtype) for _ in range(2))
    session.timed(lambda: a @ b, 3)
    rate = 2 * n**3 / median(session.timed(lambda: a @ b, 10))
    session.row(f"{n} x {n} product, {name}", f"{rate / 1e12:.3g} TFLOP/s", tflops=rate / 1e12)
    return rate

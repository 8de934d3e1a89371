"""Numbers in the precision that the code names, whatever the program around the call has set."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

# The switches of matrix products by backend, which torch 2.8 does not have yet.
_PRODUCTS = [b for b in (torch.backends.mkldnn.matmul, torch.backends.cuda.matmul) if hasattr(b, "fp32_precision")]


@contextmanager
def own_precision() -> Iterator[None]:
    """No autocast inside, and products of float32 in float32, not in the TF32 or bfloat16 that a caller allows.

    Exponents are sums of logarithms of small differences: in bfloat16 they are those of the rounding.
    """
    before = [backend.fp32_precision for backend in _PRODUCTS]
    with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
        try:
            for backend in _PRODUCTS:
                backend.fp32_precision = "ieee"
            yield
        finally:
            for backend, value in zip(_PRODUCTS, before, strict=True):
                backend.fp32_precision = value


@contextmanager
def measurement() -> Iterator[None]:
    """`own_precision` without gradients: what every estimator of `rrm.dynamics` runs in."""
    with torch.no_grad(), own_precision():
        yield

"""Computation in the precision that the code names, whatever the calling program has set."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

# The switches of matrix products by backend; torch 2.8 has none of them, and no `mkldnn.matmul`.
_BACKENDS: tuple[Any, ...] = (getattr(torch.backends.mkldnn, "matmul", None), torch.backends.cuda.matmul)
_PRODUCTS = [backend for backend in _BACKENDS if hasattr(backend, "fp32_precision")]


@contextmanager
def own_precision() -> Iterator[None]:
    """No autocast inside, and products of float32 in float32, not in the TF32 or bfloat16 that a caller allows.

    Exponents are sums of logarithms of small differences: in bfloat16 they would measure the rounding.
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
    """`own_precision` without gradients, for every estimator of `rrm.dynamics`."""
    with torch.no_grad(), own_precision():
        yield

"""Matrix products of float32 on a CPU by oneDNN, which PyTorch asks for products of bfloat16 alone.

PyTorch gives products of float32 to MKL, which leaves the wide registers (AVX-512) of processors of other makers than
Intel unused: there oneDNN is more than twice as fast. Both compute in float32, and differ by rounding.
"""

from typing import Any

import torch
from torch import Tensor

_ONEDNN = torch.backends.mkldnn.is_available() and torch.backends.mkl.is_available()


def product(a: Tensor, b: Tensor) -> Tensor:
    """a @ b of matrices [M, K] and [K, N] of one dtype, with any strides; differentiable."""
    wanted = _ONEDNN and a.device.type == "cpu" and a.dtype == torch.float32
    # oneDNN refuses empty matrices; the forward mode and the batching of torch.func are those of PyTorch's product.
    possible = a.numel() > 0 and b.numel() > 0 and not torch._C._are_functorch_transforms_active()
    return _product(_dense(a), _dense(b)) if wanted and possible else a @ b


def _dense(matrix: Tensor) -> Tensor:
    """The matrix with its entries side by side: oneDNN takes a thousand times as long for one that was expanded."""
    return matrix if matrix.is_contiguous() or matrix.mT.is_contiguous() else matrix.contiguous()


@torch.library.custom_op("rrm::product", mutates_args=())
def _product(a: Tensor, b: Tensor) -> Tensor:
    """a @ b by a kernel that gives x w^T; the kernel copies an x that is not contiguous, while w may be transposed."""
    linear = torch.ops.mkldnn._linear_pointwise
    if _transposed(a, b):
        return linear(b.mT, a, None, "none", [], "").mT
    return linear(a, b.mT, None, "none", [], "")


def _transposed(a: Tensor, b: Tensor) -> bool:
    """Whether (b^T a^T)^T copies less than a b does."""
    return not a.is_contiguous() and (b.mT.is_contiguous() or b.numel() < a.numel())


@_product.register_fake
def _(a: Tensor, b: Tensor) -> Tensor:
    rows, columns = a.shape[0], b.shape[1]
    return a.new_empty(columns, rows).mT if _transposed(a, b) else a.new_empty(rows, columns)


def _save(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
    a, b = ctx.saved_tensors
    of_a, of_b = ctx.needs_input_grad
    return product(grad, b.mT) if of_a else None, product(a.mT, grad) if of_b else None


_product.register_autograd(_gradients, setup_context=_save)

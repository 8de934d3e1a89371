"""Products by oneDNN against those of PyTorch, for matrices of all strides."""

import itertools

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from rrm.models.products import product


@pytest.mark.parametrize(("a_turned", "b_turned"), list(itertools.product((False, True), repeat=2)))
@pytest.mark.parametrize("shape", [(3, 4, 5), (5, 4, 3), (0, 4, 3), (1, 1, 1)])
def test_product_and_gradients(shape, a_turned, b_turned):
    rows, inner, columns = shape
    a = torch.randn(inner, rows).mT if a_turned else torch.randn(rows, inner)
    b = torch.randn(columns, inner).mT if b_turned else torch.randn(inner, columns)
    found, expected = [], []
    for multiply, values in ((product, found), (torch.matmul, expected)):
        leaves = a.clone().requires_grad_(), b.clone().requires_grad_()
        out = multiply(*leaves)
        values += [out, *torch.autograd.grad((out**2).sum(), leaves)]
    torch.testing.assert_close(found, expected)
    # The compiler plans with the strides that the fake product has.
    with FakeTensorMode() as mode:
        fake = product(mode.from_tensor(a), mode.from_tensor(b))
    assert fake.stride() == product(a, b).stride()


def test_gradient_of_a_sum():
    """The gradient of the product is a single number, expanded."""
    a, b = torch.randn(3, 4, requires_grad=True), torch.randn(4, 5, requires_grad=True)
    found = torch.autograd.grad(product(a, b).sum(), (a, b))
    torch.testing.assert_close(found, torch.autograd.grad((a @ b).sum(), (a, b)))


def test_forward_mode():
    a, b = torch.randn(3, 4), torch.randn(4, 5)
    out, pushed = torch.func.jvp(lambda b: product(a, b), (b,), (b,))
    torch.testing.assert_close([out, pushed], [a @ b, a @ b])

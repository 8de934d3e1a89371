"""Gradients of exponents against central differences in float64: through Q, R and the state, to the weights."""

import pytest
import torch

from rrm.dynamics import CallableMap, NetworkMap, window_exponents
from rrm.dynamics.orthonormal import orthonormalize
from rrm.models import build
from tests.variants import TYPES, described

SHAPE = {"vocab_size": 6, "seq_len": 4, "hidden_size": 16, "num_heads": 2, "H_cycles": 1, "L_cycles": 2}
BATCH = {"inputs": torch.tensor([[1, 2, 3, 4], [5, 3, 1, 2]]), "puzzle_identifiers": torch.zeros(2)}


def along(parameters, value, seed=0, eps=2e-6):
    """(derivative by reverse mode, by central difference) of value() along a random direction of the parameters."""
    generator = torch.Generator().manual_seed(seed)
    direction = [0.1 * torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]
    gradient = torch.autograd.grad(value(), parameters)
    by_hand = sum((g * d).sum() for g, d in zip(gradient, direction, strict=True))
    ends = []
    for sign in (eps, -eps):
        with torch.no_grad():
            torch._foreach_add_(parameters, direction, alpha=sign)
            ends.append(value())
            torch._foreach_add_(parameters, direction, alpha=-sign)
    return by_hand.item(), ((ends[0] - ends[1]) / (2 * eps)).item()


def test_gradient_for_a_tanh_network():
    torch.manual_seed(0)
    J, b, z0 = (torch.randn(s, dtype=torch.float64, requires_grad=True) for s in ((8, 8), (8,), (3, 8)))
    inputs = torch.randn(12, 1, 1, dtype=torch.float64)

    def value():
        system = CallableMap(lambda t, z: torch.tanh(z @ J.T / 2 + b + inputs[t]), z0)
        exponents = window_exponents(system, 5, 12, transient=3, seed=1)
        return (exponents * torch.arange(1, 6)).square().mean()

    exact, difference = along([J, b, z0], value)
    assert exact == pytest.approx(difference, rel=1e-6) and abs(exact) > 1e-3


@pytest.mark.parametrize("name", TYPES)
def test_gradient_for_a_recursive_model(name):
    torch.manual_seed(0)
    model = build(described(name, **SHAPE)).double().eval()
    # The blocks, and through the orbit the input embedding.
    trained = [p for key, p in model.named_parameters() if "head" not in key]

    def value():
        system = NetworkMap(model, BATCH)
        z = system.step(0, system.start())
        return window_exponents(system, 3, 5, transient=1, first=1, z=z).square().mean()

    exact, difference = along(trained, value)
    assert exact == pytest.approx(difference, rel=1e-6) and abs(exact) > 1e-4


def test_gradient_of_rows_that_need_householder():
    """An ill-conditioned row beside an easy one; tangents that are dependent are refused, not answered with nan."""
    torch.manual_seed(0)
    V = torch.randn(2, 3, 6, dtype=torch.float64)
    V[1, 2] = V[1, 0] + 1e-8 * V[1, 2]
    V.requires_grad_()

    def value(V=V):
        Q, R = orthonormalize(V)
        return (Q * torch.linspace(-1, 1, 6)).sum() + R.diagonal(dim1=-2, dim2=-1).log().square().sum()

    (gradient,) = torch.autograd.grad(value(), V)
    q, r = torch.linalg.qr(V.mT)
    sign = r.diagonal(dim1=-2, dim2=-1).sign()
    by_qr = ((q * sign.unsqueeze(-2)).mT * torch.linspace(-1, 1, 6)).sum()
    by_qr = by_qr + (r.diagonal(dim1=-2, dim2=-1) * sign).log().square().sum()
    (expected,) = torch.autograd.grad(by_qr, V)
    assert torch.allclose(gradient, expected, rtol=1e-6)
    with torch.no_grad():
        V[1, 2] = V[1, 0]
    with pytest.raises(ArithmeticError, match=r"the tangents of 1 row\(s\) became dependent"):
        orthonormalize(V)
    with torch.no_grad():
        assert orthonormalize(V).log_diagonal.isfinite().all()


def test_what_has_no_gradient_is_refused():
    model = build(described("trm_mlp", **SHAPE)).eval()
    with pytest.raises(ValueError, match="tangents on a copy of the weights have no gradient"):
        window_exponents(NetworkMap(model, BATCH, wide_tangents=True), 2, 3)
    with pytest.raises(ValueError, match="transient is 3: of 3 steps 0 to 2"):
        window_exponents(NetworkMap(model, BATCH), 2, 3, transient=3)

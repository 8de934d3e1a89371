"""Covariant vectors: eigenvectors where they are known, and covariance where they are not."""

import math

import pytest
import torch

from rrm.dynamics.covariant import covariant, covariant_features
from rrm.dynamics.network_map import NetworkMap
from rrm.dynamics.tangent_map import CallableMap
from rrm.models import build, variant
from rrm.toys.reference_systems import TRIANGULAR_DIAGONAL, henon, triangular_matrix


def triangular() -> CallableMap:
    matrix = triangular_matrix()
    return CallableMap(lambda t, z: z @ matrix.T, torch.zeros(1, 5, dtype=torch.float64))


def unit(columns: torch.Tensor) -> torch.Tensor:
    return columns / torch.linalg.vector_norm(columns, dim=1, keepdim=True)


def test_covariant_vectors_of_a_linear_map_are_its_eigenvectors():
    found = covariant(triangular(), 5, 20, transient=150, backward_transient=120, vectors_at=(0, 20))
    sizes, vectors = torch.linalg.eig(triangular_matrix())
    vectors = vectors.real[:, sizes.real.argsort(descending=True)]
    for step in (0, 20):
        assert torch.allclose((found.vectors[step][0] * vectors).sum(0).abs(), torch.ones(5).double(), atol=1e-9)
    assert torch.allclose(found.cosines[:, 0].abs(), (vectors.T @ vectors).abs().expand(20, 5, 5), atol=1e-7)
    rates = torch.tensor(TRIANGULAR_DIAGONAL, dtype=torch.float64).log()
    assert torch.allclose(found.exponents[0], rates, atol=1e-7)
    assert found.spread_at_end.max() < 1e-7
    # Vector 2 forgets its start as exp(-gap x steps).
    early, late = (covariant(triangular(), 5, 1, transient=150, backward_transient=steps) for steps in (20, 60))
    fall = (early.spread_at_end[0, 1] / late.spread_at_end[0, 1]).log() / 40
    assert abs(fall - math.log(1.5 / 1.1)) < 1e-3


def test_growth_of_covariant_vectors_reproduces_the_exponents_of_the_qr_method():
    z0 = torch.tensor([[0.1, 0.1], [-0.05, 0.02]], dtype=torch.float64)
    system = CallableMap(henon, z0)
    found = covariant(system, 2, 100, transient=50, backward_transient=30, vectors_at=(0, 7, 8, 100))
    assert found.spread_at_end.max() < 1e-10
    assert torch.allclose(found.exponents[:, 0], found.log_R[..., 0].mean(0), atol=1e-12)
    # The area that the vectors span grows by det DF, so that the sums differ by what the angle between them changed.
    area = {step: (vectors.mT @ vectors).det().sqrt().log() for step, vectors in found.vectors.items()}
    total = 100 * found.exponents.sum(1) + area[100] - area[0]
    assert torch.allclose(total, torch.tensor(100 * math.log(0.3)).double().expand(2), atol=1e-8)
    assert torch.allclose(found.exponents, found.log_R.mean(0), atol=0.05)
    z = system.start()
    for t in range(57):
        z = system.step(t, z)
    pushed = system.push(57, z, found.vectors[7].mT)[1].mT
    assert torch.allclose(unit(pushed), found.vectors[8], atol=1e-9)
    one = covariant(system, 2, 1, transient=57, backward_transient=80)
    assert torch.allclose(torch.linalg.vector_norm(pushed, dim=1).log(), one.exponents, atol=1e-9)


def test_covariant_vectors_of_a_network_and_their_features():
    torch.manual_seed(0)
    shape = {"vocab_size": 6, "seq_len": 3, "hidden_size": 8, "num_heads": 2, "H_cycles": 1, "L_cycles": 2}
    model = build(variant("trm_att", **shape, L_layers=1)).double().eval()
    batch = {"inputs": torch.tensor([[1, 2, 3], [5, 1, 4]]), "puzzle_identifiers": torch.zeros(2)}
    system = NetworkMap(model, batch)
    found = covariant(system, 3, 12, transient=6, backward_transient=6, vectors_at=(3, 4))
    z = system.start()
    for t in range(9):
        z = system.step(t, z)
    pushed = system.push(9, z, found.vectors[3].mT)[1].mT
    assert torch.allclose(unit(pushed), found.vectors[4], atol=1e-9)
    features = covariant_features(found, system.half_shape)
    assert {value.shape for value in features.values()} == {(2,)}
    assert all(bool(value.isfinite().all()) for value in features.values())
    assert bool((features["leading_positions"] >= 1 / 3).all() and (features["leading_positions"] <= 1).all())
    weight = found.vectors[3][:, : 3 * 8, 0].square().sum(1) + found.vectors[4][:, : 3 * 8, 0].square().sum(1)
    assert torch.allclose(features["leading_H"], weight / 2)


def test_features_of_known_angles():
    found = covariant(triangular(), 2, 5, transient=100, backward_transient=100)
    # Eigenvectors (1, 0, ...) and (3, -0.4, ...) of the upper triangle.
    cosine = 3 / math.hypot(3, 0.4)
    features = covariant_features(found)
    assert features["mean_abs_cosine"].item() == pytest.approx(cosine, abs=1e-9)
    assert features["log_smallest_angle"].item() == pytest.approx(math.log(math.acos(cosine)), abs=1e-6)
    assert features["log_spread"] < -15


def test_dead_directions_and_broken_rows():
    z0 = torch.tensor([[0.1, 0.2, 0.3], [0.1, 0.2, math.nan]], dtype=torch.float64)
    sizes = torch.tensor([2.0, 1.0, 0.0], dtype=torch.float64)
    found = covariant(CallableMap(lambda t, z: (z * sizes).sin(), z0), 3, 5, transient=5, backward_transient=5)
    assert bool(found.exponents[0].isfinite().all() and found.cosines[:, 0].isfinite().all())
    assert found.exponents[0, 2] < -30 and bool(found.exponents[1].isnan().all())


def test_wrong_windows():
    with pytest.raises(ValueError, match="n_steps is 0"):
        covariant(triangular(), 2, 0, transient=0, backward_transient=0)
    with pytest.raises(ValueError, match="vectors_at holds 6: the window has steps 0 to 5"):
        covariant(triangular(), 2, 5, transient=0, backward_transient=0, vectors_at=(6,))
    with pytest.raises(ValueError, match="k is 6: the tangent space has dimension 5"):
        covariant(triangular(), 6, 5, transient=0, backward_transient=0)
    with pytest.raises(ValueError, match="k is 1"):
        covariant_features(covariant(triangular(), 1, 2, transient=0, backward_transient=0))

"""Estimators that share nothing agree: pushed tangents, two trajectories, full Jacobians, singular values."""

import math

import pytest
import torch

from rrm.dynamics.dimensions import kaplan_yorke, positive_sum
from rrm.dynamics.jacobian import jacobian_spectrum
from rrm.dynamics.lyapunov import factorizations, lyapunov_spectrum, start_basis
from rrm.dynamics.network_map import NetworkMap
from rrm.dynamics.orthonormal import LOG_FLOOR, random_basis
from rrm.dynamics.singular_values import singular_value_ftle
from rrm.dynamics.tangent_map import CallableMap
from rrm.dynamics.twin import max_lyapunov
from rrm.models import build
from rrm.toys.reference_systems import henon, triangular_matrix
from tests.variants import TYPES, described

SHAPE = {"vocab_size": 6, "seq_len": 3, "hidden_size": 8, "num_heads": 2, "H_cycles": 1, "L_cycles": 2}
LAYERS = {"L_layers": 1, "H_layers": 1}
BATCH = {"inputs": torch.tensor([[1, 2, 3], [5, 1, 4]]), "puzzle_identifiers": torch.zeros(2)}
EQR = {"damping": 0.9, "call_noise": 0.1, "random_start": True}


def tiny_model(name: str):
    torch.manual_seed(0)
    description = described("trm_mlp" if name == "eqr" else name, **SHAPE | LAYERS)
    return build(description | (EQR if name == "eqr" else {})).eval()


def diagonal_map(diagonal) -> CallableMap:
    sizes = torch.tensor(diagonal, dtype=torch.float64)
    return CallableMap(lambda t, z: z * sizes, torch.zeros(1, len(sizes), dtype=torch.float64))


@pytest.mark.parametrize("name", [*TYPES, "eqr"])
def test_tangents_twin_and_full_jacobians_agree(name):
    model = tiny_model(name).double()
    system = NetworkMap(model, BATCH, seed=3)
    spectrum = lyapunov_spectrum(model, BATCH, k=3, segments=3, seed=3)
    n_steps, dimension = len(spectrum.log_R), system.start().shape[1]
    oracle = jacobian_spectrum(system, n_steps, Q0=random_basis(dimension, 3, 3, torch.float64).T)
    assert torch.allclose(spectrum.log_R, oracle.log_R, atol=1e-8)
    assert torch.allclose(spectrum.z_H.flatten(1), oracle.z[:, : dimension // 2], atol=1e-10)
    # Two trajectories start in the direction of the k = 1 basis of the same seed.
    leading = lyapunov_spectrum(model, BATCH, k=1, segments=3, seed=3).log_R[..., 0]
    twin = max_lyapunov(system, n_steps, seed=3)
    assert torch.allclose(twin.log_growth, leading, atol=1e-5) and not twin.collapsed.any()


def test_twin_in_float32():
    model = tiny_model("trm_att")
    twin = max_lyapunov(NetworkMap(model, BATCH), 9)
    assert torch.allclose(twin.exponents, lyapunov_spectrum(model, BATCH, 1, 3).lambda_per_call[:, 0], atol=2e-3)


def test_transient_is_left_out_of_twin_and_oracle():
    system = diagonal_map([2.0, 0.1])
    assert abs(max_lyapunov(system, 20, transient=20).exponents[0] - math.log(2)) < 1e-9
    swapped = torch.tensor([[0.6, 0.8], [0.8, -0.6]])
    oracle = jacobian_spectrum(system, 20, transient=20, Q0=swapped)
    assert torch.allclose(oracle.exponents[0], torch.tensor([2.0, 0.1], dtype=torch.float64).log(), atol=1e-9)


def test_collapsed_twin_is_floored_and_flagged():
    z0 = torch.tensor([[1.0, 2.0]])
    twin = max_lyapunov(CallableMap(lambda t, z: 0 * z, z0), 4, transient=1)
    assert twin.exponents.tolist() == [LOG_FLOOR] and twin.collapsed.tolist() == [5]
    below_spacing = max_lyapunov(CallableMap(lambda t, z: 2 * z, z0), 4, distance=1e-9)
    assert below_spacing.collapsed.tolist() == [4]


def test_rows_that_are_not_finite_stay_apart():
    # The second orbit overflows after a few steps.
    system = CallableMap(henon, torch.tensor([[0.1, 0.1], [1e3, 0.0]], dtype=torch.float64))
    for exponents in (max_lyapunov(system, 40).exponents, jacobian_spectrum(system, 40).exponents[:, 0]):
        assert bool(exponents[0].isfinite()) and bool(exponents[1].isnan())


def test_singular_values_of_short_products():
    torch.manual_seed(0)
    factors = torch.linalg.qr(torch.randn(6, 20, 5, 5, dtype=torch.float64))[1]
    product = torch.eye(5, dtype=torch.float64)
    for factor in factors:
        product = factor @ product
    exact = torch.linalg.svdvals(product).log() / 6
    assert torch.allclose(singular_value_ftle(factors), exact, atol=1e-10)


def test_singular_values_far_beyond_the_range_of_the_numbers():
    rates = torch.tensor([0.1, 0.0999, 0.0, -0.5, -2.0, -5.0], dtype=torch.float64)
    torch.manual_seed(0)
    basis = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64))[0]
    matrix = basis @ torch.diag(rates.exp()) @ basis.T
    assert torch.allclose(singular_value_ftle(matrix.expand(336, 2, 6, 6)), rates, atol=1e-12)
    # Of a general product the inverse has the inverse singular values.
    factors = torch.linalg.qr(torch.randn(336, 2, 6, 6, dtype=torch.float64))[0] @ matrix
    backward = singular_value_ftle(torch.linalg.inv(factors).flip(0))
    assert torch.allclose(singular_value_ftle(factors), -backward.flip(-1), atol=1e-11)


def test_singular_values_of_a_map_do_not_depend_on_the_basis():
    matrix = triangular_matrix()
    system = CallableMap(lambda t, z: z @ matrix.T, torch.zeros(1, 5, dtype=torch.float64))
    found = []
    for seed in (0, 1):
        V = start_basis(system.start(), 5, seed)
        found.append(singular_value_ftle(torch.stack([f.R for _, _, f in factorizations(system, V, 10)])))
    exact = torch.linalg.svdvals(torch.linalg.matrix_power(matrix, 10)).log() / 10
    assert torch.allclose(found[0], exact, atol=1e-9) and torch.allclose(found[1], exact, atol=1e-9)


def test_singular_values_of_dead_and_broken_factors():
    factors = torch.eye(2, dtype=torch.float64).repeat(5, 3, 1, 1)
    factors[:, 0, 1, 1], factors[2, 1, 0, 0] = 0, torch.nan
    found = singular_value_ftle(factors)
    assert found[0, 0].abs() < 1e-12 and found[0, 1] < -30 and bool(found[1].isnan().all())
    assert found[2].abs().max() < 1e-12


def test_full_jacobian_is_refused_where_it_would_not_fit():
    system = CallableMap(lambda t, z: z, torch.zeros(1, 2000))
    with pytest.raises(ValueError, match="2000 entries: full Jacobians are held up to 1024"):
        jacobian_spectrum(system, 1)
    with pytest.raises(ValueError, match="Q0 has shape"):
        jacobian_spectrum(diagonal_map([1.0, 2.0]), 1, Q0=torch.eye(3))


@pytest.mark.parametrize(
    ("exponents", "dimension", "expected", "truncated"),
    [
        ([0.41922, -1.62319], 2, 1.25827, False),  # Henon
        ([-14.5723, 0.9056, 0.0], 3, 2.06215, False),  # Lorenz, in any order
        ([-0.1, -0.2], 5, 0.0, False),
        ([0.3, 0.1, -0.2], 8, 3.0, True),
        ([0.3, 0.1, -0.2], 3, 3.0, False),
        ([0.0, -1.0], 2, 1.0, False),
        ([math.nan, -1.0], 2, math.nan, False),
        ([0.5, -math.inf], 9, 1.0, False),
    ],
)
def test_kaplan_yorke_dimension(exponents, dimension, expected, truncated):
    D, cut = kaplan_yorke(torch.tensor(exponents), dimension)
    assert D.item() == pytest.approx(expected, abs=1e-5, nan_ok=True) and cut.item() is truncated


def test_dimension_and_entropy_of_a_batch():
    exponents = torch.tensor([[0.2, 0.1], [0.2, -0.1], [math.nan, 0.1]], dtype=torch.float64)
    bound, truncated = positive_sum(exponents, 3)
    assert torch.allclose(bound[:2], torch.tensor([0.3, 0.2], dtype=torch.float64)) and bool(bound[2].isnan())
    assert truncated.tolist() == [True, False, False] and not positive_sum(exponents, 2)[1].any()
    assert kaplan_yorke(exponents.expand(4, 3, 2), 3)[0].shape == (4, 3)
    with pytest.raises(ValueError, match="k 1 to dimension 1"):
        kaplan_yorke(exponents, 1)

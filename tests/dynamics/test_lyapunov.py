"""Spectra of networks: tangents, units, precision, orthonormalisation. Known exponents: test_reference_systems.py."""

import math
import shutil

import pytest
import torch

from rrm.dynamics import CallableMap, jacobian_spectrum, lyapunov_spectrum, map_spectrum, rollout
from rrm.dynamics.orthonormal import LOG_FLOOR, orthonormalize, random_basis
from rrm.dynamics.tangents import push, push_by_jvp
from rrm.models import build
from rrm.toys.reference_systems import Lorenz63
from tests.variants import TYPES, described

SHAPE = {"vocab_size": 6, "seq_len": 9, "hidden_size": 32, "num_heads": 2, "H_cycles": 2, "L_cycles": 2}
BATCH = {"inputs": torch.arange(36).view(4, 9) % 5 + 1, "puzzle_identifiers": torch.zeros(4)}


def small_model(name: str, **changes):
    torch.manual_seed(0)
    return build(described(name, **SHAPE | changes)).eval()


@pytest.mark.parametrize("name", TYPES)
def test_pushed_tangents_equal_forward_mode_and_central_differences(name):
    model = small_model(name).double()
    u, du = torch.randn(2, 9, 32, dtype=torch.float64), torch.randn(3, 2, 9, 32, dtype=torch.float64)
    network, eps = model.network("L"), 1e-5
    with torch.no_grad():
        out, dout = push(network, u, du)
        again, by_jvp = push_by_jvp(network, u, du)
        difference = torch.stack([(network(u + eps * v) - network(u - eps * v)) / (2 * eps) for v in du])
    assert torch.allclose(out, network(u), atol=1e-12) and torch.allclose(again, out, atol=1e-12)
    assert torch.allclose(dout, by_jvp, atol=1e-11)
    assert torch.allclose(dout, difference, atol=1e-7)


@pytest.mark.parametrize("name", TYPES)
def test_spectrum_units_and_independence_of_the_batch(name):
    model = small_model(name)
    spectrum = lyapunov_spectrum(model, BATCH, k=3, segments=2)
    calls = len(model.segment_calls)
    assert spectrum.log_R.shape == (2 * calls, 4, 3) and spectrum.log_R.dtype == torch.float64
    assert torch.allclose(spectrum.lambda_per_segment, calls * spectrum.lambda_per_call)
    alone = lyapunov_spectrum(model, {key: value[2:3] for key, value in BATCH.items()}, k=3, segments=2)
    assert torch.allclose(alone.lambda_per_call[0], spectrum.lambda_per_call[2], atol=1e-4)
    Q = spectrum.Q.double()
    assert torch.allclose(Q.mT @ Q, torch.eye(3, dtype=torch.float64).expand(4, 3, 3), atol=1e-5)


def test_float64_tangents_agree_with_float32():
    single = lyapunov_spectrum(small_model("trm_att"), BATCH, k=4, segments=2)
    double = lyapunov_spectrum(small_model("trm_att").double(), BATCH, k=4, segments=2)
    assert torch.allclose(single.lambda_per_call, double.lambda_per_call, atol=1e-4)


def test_interval_and_transient_leave_the_same_local_growth():
    model = small_model("trm_att")
    each = lyapunov_spectrum(model, BATCH, k=3, segments=4)
    calls = len(model.segment_calls)
    rare = lyapunov_spectrum(model, BATCH, k=3, segments=4, qr_every=3)
    assert torch.allclose(rare.log_R, each.log_R.unflatten(0, (-1, 3)).sum(1), atol=1e-4)
    late = lyapunov_spectrum(model, BATCH, k=3, segments=4, transient=1)
    assert torch.allclose(late.lambda_per_segment, each.log_R[calls:].sum(0) / 3)
    with pytest.raises(ValueError, match="qr_every is 4: it must divide the 6 calls"):
        lyapunov_spectrum(model, BATCH, k=3, segments=4, qr_every=4)
    with pytest.raises(ValueError, match="transient is 4: of 4 segments 0 to 3"):
        lyapunov_spectrum(model, BATCH, k=3, segments=4, transient=4)


def test_interval_too_long_for_the_digits_is_refused():
    stretch = torch.tensor([10.0, 0.1], dtype=torch.float64)
    with pytest.raises(ValueError, match=r"the tangents spread by exp\(8.1\) before step 2, at most exp\(7\)"):
        map_spectrum(lambda t, z: stretch * z, torch.zeros(1, 2, dtype=torch.float64), 2, 8, qr_every=2)


def test_wide_tangents_follow_the_narrow_trajectory():
    model = small_model("trm_mlp")
    narrow = lyapunov_spectrum(model, BATCH, k=4, segments=3)
    wide = lyapunov_spectrum(model, BATCH, k=4, segments=3, wide_tangents=True)
    assert wide.Q.dtype == torch.float64 and torch.equal(wide.z_H, narrow.z_H)
    assert torch.allclose(wide.lambda_per_call, narrow.lambda_per_call, atol=2e-6)
    assert not torch.equal(wide.lambda_per_call, narrow.lambda_per_call)


@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="torch.compile needs a C++ compiler")
@pytest.mark.parametrize("name", ["trm_mlp", "trm_mlp, normalised"])
def test_compiled_tangents_are_those_of_the_eager_ones(name):
    network = small_model(name, L_layers=1).network("L")
    u, du = torch.randn(2, 9, 32), torch.randn(1, 2, 9, 32)
    with torch.no_grad():
        for eager, compiled in zip(push(network, u, du), push(network, u, du, compiled=True), strict=True):
            assert torch.allclose(eager, compiled, atol=2e-6)


@pytest.mark.parametrize("condition", [1e1, 1e3, 1e5, 1e9])
def test_orthonormalisation_is_accurate_at_any_condition(condition):
    torch.manual_seed(0)
    left, _ = torch.linalg.qr(torch.randn(200, 6, dtype=torch.float64))
    right, _ = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64))
    V = (left @ torch.diag(torch.logspace(0, -math.log10(condition), 6, dtype=torch.float64)) @ right).mT
    both = torch.stack((V, torch.randn(6, 200, dtype=torch.float64)))  # an easy row beside a hard one
    Q, log_R = (f := orthonormalize(both)).Q, f.log_diagonal
    exact = torch.linalg.qr(V.mT)[1].diagonal().abs().log()
    assert torch.allclose(log_R[0], exact, atol=1e-4)
    assert torch.allclose(Q @ Q.mT, torch.eye(6, dtype=torch.float64).expand(2, 6, 6), atol=1e-3)


def test_annihilated_direction_is_floored_and_finite():
    Q, log_R = (f := orthonormalize(torch.tensor([[[1.0, 0, 0], [0, 0, 0]]]))).Q, f.log_diagonal
    assert log_R[0, 0] == 0 and log_R[0, 1] == LOG_FLOOR and bool(Q.isfinite().all())


def test_wrong_k_and_segments():
    with pytest.raises(ValueError, match="k is 7: the tangent space has dimension 6"):
        random_basis(6, 7, 0)
    with pytest.raises(ValueError, match="segments is 0"):
        lyapunov_spectrum(small_model("trm_mlp"), BATCH, 2, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"transient": -1}, "transient is -1: use 0 or more"),
        ({"n_steps": 0}, "n_steps is 0: at least 1 step"),
        ({"qr_every": 0}, "qr_every is 0"),
        ({"k": 0}, "k is 0: the tangent space has dimension 2"),
        ({"z0": torch.ones(1, 2, dtype=torch.complex64)}, "the state is torch.complex64: .* float32 or float64"),
        ({"step": lambda t, z: z * (0.5 + 0.5j)}, "the state is torch.complex64"),
        ({"z0": torch.ones(1, 2, dtype=torch.bfloat16)}, "the state is torch.bfloat16"),
        ({"z0": torch.ones(1, 2, dtype=torch.float16)}, "the state is torch.float16"),
        ({"z0": torch.ones(2)}, r"the state has shape \(2,\): give a batch of orbits"),
        ({"Q0": torch.tensor([[1.0, 2.0], [1.0, 2.0]])}, "Q0 has 2 columns of rank 1"),
        ({"Q0": torch.tensor([[1.0, 0.0], [torch.nan, 1.0]])}, "Q0 is not real and finite"),
        ({"Q0": torch.eye(3)}, r"Q0 has shape \(3, 3\): 2 exponents of this map need \[2, 2\]"),
    ],
)
def test_what_cannot_be_measured_is_refused(arguments, message):
    call = {"step": lambda t, z: 2 * z, "z0": torch.ones(1, 2), "k": 2, "n_steps": 10} | arguments
    with pytest.raises(ValueError, match=message):
        map_spectrum(**call)


def test_columns_of_a_start_basis_are_made_orthonormal():
    Q0 = 5 * torch.tensor([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0]])
    spectrum = map_spectrum(lambda t, z: 2 * z, torch.ones(2, 3), 2, 10, Q0)
    assert torch.allclose(spectrum.exponents, torch.tensor(2.0, dtype=torch.float64).log())
    assert torch.allclose(spectrum.Q, torch.eye(3)[:, :2].expand(2, 3, 2))
    oracle = jacobian_spectrum(CallableMap(lambda t, z: 2 * z, torch.ones(2, 3)), 10, Q0=Q0)
    assert torch.allclose(oracle.exponents, spectrum.exponents)


def rotated(*growth: float, seed: int = 0) -> torch.Tensor:
    """A matrix in float64 with these singular values, of random directions."""
    generator = torch.Generator().manual_seed(seed)
    shape = (2, len(growth), len(growth))
    left, right = torch.linalg.qr(torch.randn(shape, generator=generator, dtype=torch.float64))[0]
    return left @ torch.diag(torch.tensor(growth, dtype=torch.float64)) @ right


@pytest.mark.parametrize(
    ("dtype", "growth", "marked"),
    [
        (torch.float64, (2.0, 1.0, 0.0), True),
        (torch.float64, (1.6, 1.0, 0.4, math.exp(-25)), False),
        (torch.float64, (1.6, 1.0, 0.4, math.exp(-35)), True),
        (torch.float32, (1.0, math.exp(-20)), True),
        (torch.float32, (1.6, 1.0, 0.4, math.exp(-20)), True),
        (torch.float32, (1.6, 1.0, 0.4, math.exp(-30)), True),
        (torch.float32, (1.6, 1.0, 0.4, math.exp(-8)), False),
    ],
)
def test_growth_that_a_single_step_takes_beyond_the_digits_is_marked(dtype, growth, marked):
    A, z0 = rotated(*growth).to(dtype), torch.zeros(2, len(growth), dtype=dtype)
    system = CallableMap(lambda t, z: z @ A.T, z0)
    for spectrum in (map_spectrum(system, None, len(growth), 20), jacobian_spectrum(system, 20)):
        assert spectrum.floored.tolist() == ([20, 20] if marked else [0, 0])
        if not marked:  # the sum is the determinant's
            assert torch.allclose(spectrum.exponents.sum(1), A.double().det().abs().log().expand(2), atol=2e-3)


def test_superstable_orbits_are_marked():
    """The logistic map at 2 has its critical point for a fixed point: every step there has derivative 0."""
    spectrum = map_spectrum(lambda t, z: 2 * z * (1 - z), torch.tensor([[0.5], [0.3]]), 1, 3)
    assert spectrum.exponents[0].item() == LOG_FLOOR and spectrum.floored.tolist() == [3, 0]


@pytest.mark.parametrize(("units", "marked"), [(0.1, False), (1.0, True), (2.0, True)])
def test_a_flow_sampled_too_rarely_for_its_digits_is_marked(units, marked):
    """Lorenz's flow contracts by 14.57 nats a unit of time while it stretches by 0.91: in float32 too much at once."""

    class Sampled(Lorenz63):
        def push(self, t, z, V):
            for _ in range(round(units / self.h)):
                z, V = super().push(t, z, V)
            return z, V

    z0 = torch.tensor([[-5.76, 2.27, 32.82], [1.0, 3.0, 20.0]])
    spectrum = map_spectrum(Sampled(z0), None, 3, round(20 / units), transient=round(2 / units))
    right = (spectrum.exponents.sum(1) / units - Lorenz63.divergence).abs() < 0.01
    assert right.all() != marked and (spectrum.floored > 0).all() == marked


@pytest.mark.parametrize("name", TYPES)
def test_dead_directions_of_a_network_are_marked(name):
    """Post-norm kills a direction in every position: with k = N the last exponents of float32 are rounding."""
    shape = {"seq_len": 3, "hidden_size": 8, "H_cycles": 1, "L_layers": 1, "H_layers": 1}
    model = small_model(name, **shape)
    batch = {"inputs": torch.tensor([[1, 2, 3]]), "puzzle_identifiers": torch.zeros(1)}
    narrow = lyapunov_spectrum(model, batch, 48, 4)
    wide = lyapunov_spectrum(model, batch, 48, 4, wide_tangents=True)
    gap = (narrow.lambda_per_call - wide.lambda_per_call).abs()[0]
    assert gap[:24].max() < 1e-3 and narrow.floored.item() > 0
    assert gap.max() > 1 and narrow.floored > wide.floored


@pytest.mark.parametrize("half", ["inputs", "puzzle_identifiers"])
@pytest.mark.parametrize("value", [-1, 6, 1.5, math.nan])
def test_tokens_and_identifiers_that_are_no_row_are_refused(half, value):
    model = small_model("trm_mlp", puzzle_emb_len=1, puzzle_emb_ndim=8, num_puzzle_identifiers=6)
    batch = {key: tensor.clone().float() for key, tensor in BATCH.items()}
    rollout(model, batch, 1)  # whole numbers in float are rows
    batch[half].view(-1)[-1] = value
    name = {"inputs": "token", "puzzle_identifiers": "puzzle identifier"}[half]
    for estimator in (rollout, lambda *of: lyapunov_spectrum(of[0], of[1], 1, of[2])):
        with pytest.raises(ValueError, match=f"{name} {value:g} is no row .* 0 to 5"):
            estimator(model, batch, 1)


@pytest.mark.parametrize("value", [-1, 1.5])
def test_identifiers_are_looked_at_also_where_no_table_reads_them(value):
    batch = BATCH | {"puzzle_identifiers": torch.full((4,), float(value))}
    with pytest.raises(ValueError, match=f"puzzle identifier {value:g} is no row"):
        rollout(small_model("trm_mlp"), batch, 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["Kahan 12", "Kahan 16", "Kahan 20", "shear 1e7", "shear 1e5", "shear 3"])
def test_an_even_diagonal_hides_no_condition(dtype, kind):
    """Kahan's matrices are all but singular, with a diagonal that hardly falls (Canad. Math. Bull. 9, 757, 1966)."""
    name, size = kind.split()
    if name == "Kahan":
        n, c, s = int(size), math.cos(0.35), math.sin(0.35)
        R = torch.diag(s ** torch.arange(n)) @ (torch.eye(n) - c * torch.ones(n, n).triu(1))
    else:
        R = torch.tensor([[1.0, float(size)], [0.0, 1.0]])
    basis = torch.linalg.qr(torch.randn(40, len(R), generator=torch.Generator().manual_seed(0), dtype=torch.float64))[0]
    V = (basis @ R.double()).mT.to(dtype).expand(2, -1, -1)
    factors = orthonormalize(V)
    exact = torch.linalg.qr(V.double().mT)[1].diagonal(dim1=-2, dim2=-1).abs().log()
    assert torch.allclose(factors.log_diagonal, exact, atol=1e-6)
    eye = torch.eye(len(R), dtype=dtype)
    assert (factors.Q @ factors.Q.mT - eye).abs().max() < 10 * torch.finfo(torch.float32).eps

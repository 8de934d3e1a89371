"""Spectra of systems whose exponents are known, and of the real network code where they can be."""

import math

import numpy as np
import pytest
import torch
from scipy.special import digamma, polygamma
from scipy.stats import chi2
from torch.nn.attention import SDPBackend, sdpa_kernel

from rrm.dynamics import lyapunov_spectrum, map_spectrum, orthonormalize, random_basis
from rrm.dynamics.orthonormal import LOG_FLOOR
from rrm.dynamics.tangents import push, push_by_jvp
from rrm.models import VARIANTS, State, build, variant

SHAPE = {"vocab_size": 6, "seq_len": 9, "hidden_size": 32, "num_heads": 2, "H_cycles": 2, "L_cycles": 2}
BATCH = {"inputs": torch.arange(36).view(4, 9) % 5 + 1, "puzzle_identifiers": torch.zeros(4)}


def small_model(name: str, **changes):
    torch.manual_seed(0)
    return build(variant(name, **SHAPE | changes)).eval()


def test_linear_map():
    """A symmetric matrix: exponents are the logs of its eigenvalues' sizes."""
    torch.manual_seed(0)
    basis, _ = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64))
    sizes = torch.tensor([1.5, 1.1, 0.9, 0.5, 0.2, 0.1], dtype=torch.float64)
    matrix = basis @ torch.diag(sizes) @ basis.T
    found = map_spectrum(lambda t, z: z @ matrix.T, torch.zeros(2, 6, dtype=torch.float64), 6, 300, transient=200)
    assert torch.allclose(found.exponents, sizes.log().expand(2, 6), atol=1e-10)
    assert torch.allclose(found.Q.mT @ found.Q, torch.eye(6, dtype=torch.float64).expand(2, 6, 6), atol=1e-12)


def test_henon_map():
    """lambda_1 = 0.41922 at a = 1.4, b = 0.3; the sum is ln 0.3 exactly, for the Jacobian has determinant -b."""

    def henon(t, z):
        x, y = z[..., 0], z[..., 1]
        return torch.stack((1 - 1.4 * x**2 + y, 0.3 * x), -1)

    rng = np.random.default_rng(0)
    z0 = torch.from_numpy(rng.uniform(-0.1, 0.1, (100, 2)))
    found = map_spectrum(henon, z0, 2, 1000, transient=50)
    assert torch.allclose(found.exponents.sum(1), torch.tensor(math.log(0.3), dtype=torch.float64), atol=1e-10)
    lambda_1 = found.exponents[:, 0].numpy()
    error = lambda_1.std() / 10
    assert error < 2e-3 and abs(lambda_1.mean() - 0.41922) < 3 * error


def test_products_of_gaussian_matrices():
    """lambda_i = (ln 2 + psi((N - i + 1) / 2)) / 2, log R_ii with variance psi'((N - i + 1) / 2) / 4 (Newman 1986)."""
    n, steps, orbits = 8, 500, 20
    generator = torch.Generator().manual_seed(0)
    matrices = torch.randn(steps, orbits, n, n, generator=generator, dtype=torch.float64)
    found = map_spectrum(
        lambda t, z: (matrices[t] @ z.unsqueeze(-1)).squeeze(-1), torch.zeros(orbits, n, dtype=torch.float64), n, steps
    )
    shape = (n - np.arange(n)) / 2
    exact, variance = (math.log(2) + digamma(shape)) / 2, polygamma(1, shape) / 4
    z = (found.exponents.mean(0).numpy() - exact) / np.sqrt(variance / (steps * orbits))
    assert np.square(z).sum() < chi2.ppf(0.999, n)  # the exponents are independent of each other
    assert np.abs(found.log_R.flatten(0, 1).var(0).numpy() / variance - 1).max() < 0.1


def test_zero_weight_network_has_the_exponents_of_its_normalisation():
    """With zero weights z' = rms(z + x): -ln(1 + rms(x)) in all directions but the radial one, which dies."""
    model = small_model("trm_att", seq_len=1).double()
    with torch.no_grad():
        for parameter in model.L_level.parameters():
            parameter.zero_()
    x = torch.randn(1, 1, 32, dtype=torch.float64)

    def step(t, z):
        with sdpa_kernel(SDPBackend.MATH):
            return model.L_level(z.view(1, 1, 32) + x).view(1, 32)

    found = map_spectrum(step, torch.randn(1, 32, dtype=torch.float64), 32, 300, transient=200).exponents[0]
    rate = -torch.log1p(x.square().mean().sqrt())
    assert torch.allclose(found[:31], rate.expand(31), atol=1e-4) and found[31] < -5


@pytest.mark.parametrize("name", sorted(VARIANTS))
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


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_joint_spectrum_equals_the_full_jacobian(name):
    """QR of the product of full joint Jacobians, written out, for a system small enough to hold them."""
    model = small_model(name, hidden_size=4, num_heads=1, seq_len=4).double()
    batch = {"inputs": torch.tensor([[1, 2, 3, 4]]), "puzzle_identifiers": torch.zeros(1)}
    found = lyapunov_spectrum(model, batch, k=3, segments=2)
    x, state = model.embed(batch["inputs"], batch["puzzle_identifiers"]), model.initial_state(1)
    half, basis, log_R = 16, random_basis(32, 3, 0, torch.float64).T, []
    for _ in range(2):
        for which in model.segment_calls:
            flat = torch.cat([part.flatten() for part in state])

            def joint(z, which=which):
                moved = model.step(which, State(*z.view(2, 1, 4, 4)), x)
                return torch.cat([part.flatten() for part in moved])

            basis, r = torch.linalg.qr(torch.autograd.functional.jacobian(joint, flat) @ basis)
            log_R.append(r.diagonal().abs().log())
            state = model.step(which, state, x)
    assert flat.shape == (2 * half,)
    assert torch.allclose(found.log_R[:, 0], torch.stack(log_R).detach(), atol=1e-8)
    assert torch.allclose(found.z_H, state.z_H, atol=1e-10)


@pytest.mark.parametrize("name", sorted(VARIANTS))
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

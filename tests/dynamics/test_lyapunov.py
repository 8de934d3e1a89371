"""Spectra of networks: tangents, units, precision, orthonormalisation. Known exponents: test_reference_systems.py."""

import math
import shutil

import pytest
import torch

from rrm.dynamics import lyapunov_spectrum, map_spectrum, orthonormalize, random_basis
from rrm.dynamics.orthonormal import LOG_FLOOR
from rrm.dynamics.tangents import push, push_by_jvp
from rrm.models import VARIANTS, build, variant

SHAPE = {"vocab_size": 6, "seq_len": 9, "hidden_size": 32, "num_heads": 2, "H_cycles": 2, "L_cycles": 2}
BATCH = {"inputs": torch.arange(36).view(4, 9) % 5 + 1, "puzzle_identifiers": torch.zeros(4)}


def small_model(name: str, **changes):
    torch.manual_seed(0)
    return build(variant(name, **SHAPE | changes)).eval()


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
def test_compiled_tangents_are_those_of_the_eager_ones():
    network = small_model("trm_mlp", L_layers=1).network("L")
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

"""Numbers are in the precision that is named, whatever the program around the call has set."""

import subprocess
import sys
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
import torch

from rrm.dynamics import (
    NetworkMap,
    Settings,
    covariant,
    escape,
    jacobian_spectrum,
    lyapunov_spectrum,
    map_spectrum,
    max_lyapunov,
    measure,
    rollout,
    stochastic_rollouts,
    window_exponents,
)
from rrm.dynamics.orthonormal import orthonormalize
from rrm.models import VARIANTS, build, variant
from rrm.tasks import get_task
from rrm.training.evaluate import predict

TASK = get_task("sudoku-4x4")
PUZZLES = TASK.generate(4, seed=0)
BATCH = {"inputs": PUZZLES.inputs, "puzzle_identifiers": PUZZLES.puzzle_identifiers}


@contextmanager
def coarse_products():
    torch.set_float32_matmul_precision("medium")
    try:
        yield
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


@contextmanager
def autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        yield
        assert torch.is_autocast_enabled("cpu")


AROUND = pytest.mark.parametrize("around", [autocast, coarse_products])


def small_model(name: str):
    torch.manual_seed(0)
    shape = {"vocab_size": 6, "seq_len": 16, "hidden_size": 16, "num_heads": 2, "H_cycles": 1, "L_cycles": 1}
    return build(variant(name, **shape, L_layers=1, H_layers=1)).eval()


def estimates(model) -> dict[str, np.ndarray]:
    """One number or more of every estimator."""
    system = NetworkMap(model, BATCH)
    calls = system.calls_per_segment
    settings = Settings(k=2, segments=2, calls_per_segment=calls, seed=0, precision="float32", model="", task=TASK.name,
                        checkpoint_hash="", data_hash="", batch=4)  # fmt: skip
    vectors = covariant(system, 2, calls, transient=0, backward_transient=calls, vectors_at=[1])
    noisy = stochastic_rollouts(model, PUZZLES, TASK, 1, [2], 0.1, exponent=True)
    return {
        "spectrum": lyapunov_spectrum(model, BATCH, 2, 2).log_R.numpy(),
        "rollout": rollout(model, BATCH, 2).logits.numpy(),
        "escape": escape(model, PUZZLES, TASK, 2).drift_H,
        "stochastic": np.stack([noisy.q_halt, noisy.residual, noisy.growth, noisy.lambda_1]),
        "twin": max_lyapunov(system, 2 * calls).log_growth.numpy(),
        "jacobians": jacobian_spectrum(system, 1).log_R.numpy(),
        "covariant": vectors.vectors[1].numpy(),
        "window": window_exponents(system, 2, calls).detach().numpy(),
        "measure": measure(model, PUZZLES, TASK, settings).lambda_segments,
        "predict": predict(model, PUZZLES, TASK, 2).get("q_halt", np.empty(0)),
    }


@AROUND
@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_what_surrounds_a_call_does_not_change_a_bit_of_an_estimate(name, around):
    model = small_model(name)
    plain = estimates(model)
    with around():
        found = estimates(model)
    for estimate, values in plain.items():
        assert np.array_equal(found[estimate], values, equal_nan=True), estimate


@AROUND
def test_what_surrounds_a_call_does_not_change_the_spectrum_of_a_map(around):
    A = torch.randn(32, 32, generator=torch.Generator().manual_seed(0))
    V = torch.randn(2, 8, 64, generator=torch.Generator().manual_seed(1))
    results = []
    for context in (nullcontext, around):
        with context():
            spectrum = map_spectrum(lambda t, z: torch.tanh(z @ A), torch.ones(2, 32), 4, 5)
            results.append((spectrum.log_R, spectrum.Q, orthonormalize(V).Q))
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_a_release_of_torch_without_switches_by_backend():
    without = "import torch; del type(torch.backends.mkldnn).matmul; from rrm.models.precision import own_precision"
    subprocess.run([sys.executable, "-c", f"{without}\nwith own_precision(): pass"], check=True)

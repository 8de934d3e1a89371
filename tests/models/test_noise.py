"""The one way to draw and to add noise: pinned numbers, dtypes, and who draws from whom."""

import numpy as np
import pytest
import torch

from rrm.dynamics.restarts import kicked, start_noise
from rrm.models import State, build, variant
from rrm.models.noise import add_noise, gaussian, gaussian_rows, generator_on
from rrm.training.perturbation import TrajectoryPerturbation

SHAPE = {"vocab_size": 6, "seq_len": 3, "hidden_size": 8, "num_heads": 2, "H_cycles": 1, "L_cycles": 2, "L_layers": 1}


def test_draws_are_those_of_earlier_versions():
    """float32 from generators of both kinds; the next draw continues the stream."""
    generator, rows = torch.Generator().manual_seed(3), [np.random.default_rng([3, i]) for i in range(2)]
    first = gaussian((2, 3), generator)
    assert torch.equal(first, torch.randn(2, 3, generator=torch.Generator().manual_seed(3)))
    assert first.dtype == torch.float32 and not torch.equal(first, gaussian((2, 3), generator))
    drawn = torch.cat([gaussian_rows((2, 2), rows), gaussian_rows((2, 2), rows)], 1)
    alone = np.random.default_rng([3, 1]).standard_normal((4, 2), np.float32)
    assert np.array_equal(drawn[1].numpy(), alone) and drawn.dtype == torch.float32
    assert generator_on(torch.device("cpu"), generator) is generator


def test_the_sum_has_the_wider_dtype_and_the_product_that_of_the_noise():
    noise = gaussian((1000,), torch.Generator().manual_seed(0))
    for dtype in (torch.float32, torch.float64):
        moved = add_noise(torch.zeros(1000, dtype=dtype), 0.3, noise)
        # The very numbers of float32, whatever the state.
        assert moved.dtype == dtype and torch.equal(moved.float(), 0.3 * noise) and torch.equal(moved, moved.float())
    wide = add_noise(torch.zeros(1000, dtype=torch.float64), 0.3, noise.double())
    assert not torch.equal(wide, wide.float().double())
    assert add_noise(torch.zeros(1000, dtype=torch.bfloat16), 0.3, noise.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_noise_in_all_places_is_pinned(dtype):
    """What EqR's call, a training step and a kicked restart add, number by number."""
    eqr = {"damping": 0.95, "call_noise": 0.01, "forward_dtype": dtype}
    model = build(variant("trm_mlp", **SHAPE) | eqr)
    out = torch.ones(2, 3, 8, dtype=model.compute_dtype)
    state = State(out, out)
    noise = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(5))
    after = model.update("L", state, out, torch.Generator().manual_seed(5))
    damped = (1 - 0.95) * out + 0.95 * out
    assert torch.equal(after.z_L, damped + 0.01 * noise.to(out)) and after.z_H is out

    trained = TrajectoryPerturbation(sigma=0.5, location="z_H").noise(1, torch.Generator().manual_seed(5)).start(state)
    still = torch.randn(1, 3, 8, generator=torch.Generator().manual_seed(5))
    assert trained.z_H.dtype == torch.float32 and torch.equal(trained.z_H[:1], out[:1].float())
    assert torch.equal(trained.z_H[1:], out[1:].float() + 0.5 * still) and trained.z_L is out

    start = State(out.float(), out.float())
    moved, realised, relative = kicked(start, 0.1, start_noise(np.array([7, 4]), (3, 8), 2, 1, 0))
    drawn = np.random.default_rng([2, 1, 0, 4]).standard_normal((2, 3, 8), np.float32)
    assert torch.equal(moved.z_L[1], 1 + 0.1 * torch.from_numpy(drawn[1]))
    assert realised[1] == pytest.approx(0.1 * np.sqrt(np.square(drawn).mean()), rel=1e-5)
    assert relative[1] == pytest.approx(realised[1], rel=1e-5)  # a state of unit RMS

"""Traces of puzzles against plain rollouts and spectra, and their file."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from rrm.dynamics.lyapunov import lyapunov_spectrum
from rrm.dynamics.stochastic import stochastic_rollouts
from rrm.dynamics.trace import trace
from rrm.errors import InputError
from rrm.models import build, variant
from rrm.tasks import get_task
from rrm.tasks.trace import Trace, load_trace, save_trace

TASK = get_task("sudoku-4x4")
PUZZLES = TASK.generate(3, seed=0)
SHAPE = {"vocab_size": 6, "seq_len": 16, "hidden_size": 16, "num_heads": 2, "H_cycles": 2, "L_cycles": 2, "L_layers": 1}
SEGMENTS, CALLS, K = 3, 6, 2


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build(variant("trm_mlp", **SHAPE)).eval()


@pytest.fixture(scope="module")
def found(model):
    return trace(model, PUZZLES, TASK, SEGMENTS, K, 0.5, seed=3)


def test_the_clean_rollout_is_that_of_the_spectrum(model, found):
    spectrum = lyapunov_spectrum(model, PUZZLES.arrays, 1, SEGMENTS, seed=3)
    ends = slice(CALLS - 1, None, CALLS)
    assert found.calls * SEGMENTS == "LLHLLH" * SEGMENTS
    assert np.array_equal(found.answers[:, 0, ends], spectrum.rollout.predictions.numpy().transpose(1, 0, 2))
    likely = spectrum.rollout.logits.softmax(-1).amax(-1).numpy().transpose(1, 0, 2)
    assert np.allclose(found.probability[:, 0, ends] / 255, likely, atol=0.5 / 255 + 1e-5)
    assert np.allclose(found.growth[:, 0], spectrum.log_R[:, :, 0].numpy().T, atol=1e-4)
    assert (found.drift > 0).all() and found.drift.shape == (3, K + 1, SEGMENTS * CALLS)
    assert np.array_equal(found.right, (found.answers == PUZZLES.labels[:, None, None]).all(-1))


def test_noisy_rollouts_are_those_of_the_selectors(model, found):
    noisy = stochastic_rollouts(model, PUZZLES, TASK, K, [SEGMENTS], 0.5, seed=3, exponent=True)
    assert np.allclose(found.growth.mean(2), noisy.lambda_1[:, :, 0], atol=1e-4)
    assert not np.allclose(found.drift[:, 1], found.drift[:, 2])
    alone = trace(model, PUZZLES, TASK, SEGMENTS, K, 0.5, seed=3, index=np.array([2]))
    assert np.allclose(alone.drift[0], found.drift[2], atol=1e-4)


def test_a_trace_comes_back_from_its_file_and_another_file_is_refused(found, tmp_path):
    path = tmp_path / "boards.npz"
    save_trace(found, path)
    back = load_trace(path)
    assert type(back) is Trace and back.segments == SEGMENTS
    assert all(np.array_equal(getattr(back, field.name), getattr(found, field.name)) for field in fields(Trace))
    for damaged in ({"right": found.right[:, :, 1:]}, {"calls": "LLLLL"}, {"calls": ""}, {"inputs": found.inputs[0]}):
        save_trace(replace(found, **damaged), path)
        with pytest.raises(InputError, match="trace the puzzles again"):
            load_trace(path)


def test_bad_lengths_are_refused(model):
    for segments, count in ((0, 1), (1, -1)):
        with pytest.raises(ValueError, match="a trace needs"):
            trace(model, PUZZLES, TASK, segments, count, 0.1)

"""Kept answers of noisy rollouts: those that the measurements of the same rollouts hash and judge."""

import numpy as np
import pytest
import torch

from rrm.dynamics.sampling import Samples, SamplingNoise, sample_answers
from rrm.dynamics.shards import join, load_rows, save_rows
from rrm.dynamics.stochastic import answer_hash, stochastic_rollouts
from rrm.models import build, variant
from rrm.tasks import get_task
from rrm.tasks.verdict import OUTCOMES

TASK = get_task("sudoku-4x4")
SHAPE = {"vocab_size": 6, "seq_len": 16, "hidden_size": 16, "num_heads": 2, "H_cycles": 1, "L_cycles": 2, "L_layers": 1}


def small_model(**changes):
    torch.manual_seed(0)
    return build(variant("trm_mlp", **SHAPE) | changes).eval()


@pytest.mark.parametrize("eqr", [{}, {"damping": 0.95, "call_noise": 0.01, "random_start": True}])
def test_answers_are_those_of_the_measured_rollouts(eqr):
    model, puzzles = small_model(**eqr), TASK.generate(20, seed=0)
    found = sample_answers(model, puzzles, TASK, 5, (4, 2), SamplingNoise(0.5, "both", 3), batch_size=32)
    measured = stochastic_rollouts(model, puzzles, TASK, 5, (2, 4), 0.5, "both", seed=3, batch_size=32)
    assert found.answers.shape == (20, 5, 2, 16) and found.answers.dtype == np.uint8
    hashes = answer_hash(found.answers.reshape(-1, 16)).reshape(20, 5, 2)
    assert np.array_equal(hashes, measured.answer[:, 1:]) and len(np.unique(hashes)) > 50
    for name in (*OUTCOMES, "finite"):
        assert np.array_equal(getattr(found, name), getattr(measured, name)[:, 1:])


def test_shards_are_the_whole_and_the_older_spelling_is_the_same_noise(tmp_path):
    model, puzzles = small_model(), TASK.generate(40, seed=1)
    whole = sample_answers(model, puzzles, TASK, 3, (2,), SamplingNoise(0.5, "z_L"))
    for number, rows in enumerate((np.arange(32, 40), np.arange(32))):
        part = sample_answers(model, puzzles, TASK, 3, (2,), SamplingNoise(0.5, "z_L"), index=rows)
        save_rows(part, tmp_path / f"{number}.npz")
    joined = join([load_rows(Samples, tmp_path / f"{number}.npz") for number in (0, 1)])
    older = sample_answers(model, puzzles, TASK, 3, (2,), SamplingNoise(0.5, "L"))
    for other in (joined, older):
        assert all(np.array_equal(getattr(other, name), getattr(whole, name)) for name in Samples.row_axes)

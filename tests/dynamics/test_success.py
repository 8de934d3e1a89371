"""The median exponent of the successes alone, and the exponents from several start bases."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from rrm.dynamics import Settings, lyapunov_spectrum, measure
from rrm.dynamics.bases import start_bases
from rrm.dynamics.success import success_lambda_1
from rrm.models import build, variant
from rrm.tasks import get_task
from rrm.tasks.splits import generate_splits
from rrm.training.evaluate import predict

TASK = get_task("sudoku-4x4")


@pytest.fixture(scope="module")
def puzzles(tmp_path_factory):
    return generate_splits(TASK.name, (8, 40, 8), 0, (6, 9), tmp_path_factory.mktemp("puzzles")).validation


@pytest.fixture(scope="module")
def model():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    shape = {"vocab_size": TASK.vocab_size, "seq_len": TASK.seq_len, "hidden_size": 32, "num_heads": 2}
    return build(variant("trm_att", **shape, H_cycles=2, L_cycles=2))


def test_median_of_the_solved_rollouts(model, puzzles):
    settings = Settings(k=1, segments=2, calls_per_segment=len(model.segment_calls), seed=0, precision="float32",
                        model="", task=TASK.name, checkpoint_hash="", data_hash="", transient=1)  # fmt: skip
    reference = measure(model.eval(), puzzles, TASK, settings)
    # An untrained network solves nothing: let the labels of every third puzzle be what it answers.
    answers, solved = predict(model, puzzles, TASK, 2)["predictions"], np.arange(len(puzzles)) % 3 == 0
    labels = np.where(solved[:, None], answers, puzzles.labels)
    assert not reference.solved.any() and math.isnan(success_lambda_1(model, puzzles, TASK, 2))
    made = type(puzzles)(puzzles.task, **(puzzles.arrays | {"labels": labels.astype(puzzles.labels.dtype)}))
    model.train()
    found = success_lambda_1(model, made, TASK, 2)
    assert found == pytest.approx(np.median(reference.lambda_per_call[solved, 0]), abs=1e-6)
    assert model.training


def test_start_bases_are_those_of_the_spectrum(model, puzzles):
    model.eval()
    found = start_bases(model, puzzles, TASK, 2, transient=1, seeds=(3, 4))
    again = start_bases(model, puzzles, TASK, 2, transient=1, seeds=(4,), index=np.arange(16, 40))
    assert found.lambda_1.shape == found.solved.shape == (40, 2)
    assert np.array_equal(found.lambda_1[16:, 1:], again.lambda_1) and not np.allclose(*found.lambda_1.T, atol=1e-3)
    spectrum = lyapunov_spectrum(model, puzzles.arrays, 1, 2, seed=3, transient=1)
    assert np.allclose(found.lambda_1[:, 0], spectrum.lambda_per_call[:, 0], atol=1e-6)
    # One rollout that is not finite among three that solve their puzzle, none that does with the second basis.
    solved = np.array([[True, False], [True, False], [True, False], [False, False]])
    lambda_1 = np.array([[0.1, 1.0], [0.3, 2.0], [np.nan, 3.0], [5.0, 4.0]])
    made = replace(found, index=np.arange(4), solved=solved, lambda_1=lambda_1)
    assert np.array_equal(made.medians(True), [0.2, np.nan], equal_nan=True)
    assert made.medians(False).tolist() == [5, 2.5]

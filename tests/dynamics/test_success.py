"""The median exponent of the successes alone."""

import math

import numpy as np
import pytest
import torch

from rrm.dynamics import Settings, measure
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
                        model="", task=TASK.name, checkpoint_hash="", data_hash="")  # fmt: skip
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

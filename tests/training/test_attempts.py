"""Attempts: noisy rollouts of a training model whose answers depend on nothing but seed and puzzle."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from rrm.dynamics.sampling import PUZZLES, SamplingNoise, sample_answers
from rrm.models import build
from rrm.tasks import get_task
from rrm.training.attempts import Attempts, attempt
from rrm.training.evaluate import predict
from rrm.training.recipes import cpu_sudoku

TASK = get_task("sudoku-4x4")
COUNT, K, SEGMENTS = PUZZLES + 5, 6, 3


@pytest.fixture(scope="module")
def model():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return build(cpu_sudoku(TASK).model).train()


@pytest.fixture(scope="module")
def puzzles():
    return TASK.generate(COUNT, seed=0, givens=(5, 9))


def made(model, puzzles, sigma=0.5, **more):
    return attempt(model, puzzles, TASK, SEGMENTS, **{"rollouts": K, "sigma": sigma, "seed": 3} | more)


def same(one, other):
    return all(np.array_equal(getattr(one, f.name), getattr(other, f.name), equal_nan=True) for f in fields(Attempts))


def test_shards_have_the_attempts_of_the_whole_bit_for_bit(model, puzzles):
    whole = made(model, puzzles)
    assert whole.answers.shape == (COUNT, K, TASK.seq_len) and whole.answers.dtype == np.uint8
    assert whole.q.shape == whole.passed_wrong.shape == (COUNT, K) and model.training
    cuts = (slice(0, PUZZLES), slice(PUZZLES, None))
    shards = [made(model, puzzles.subset(cut), positions=np.arange(COUNT)[cut]) for cut in cuts]
    assert same(Attempts.join(shards), whole)
    # The rollouts differ, those of the selection study among them, and so do those of another seed.
    assert len(np.unique(whole.answers[0], axis=0)) > 1
    study = sample_answers(model, puzzles, TASK, K, [SEGMENTS], SamplingNoise(0.5, "both", 3))
    assert np.array_equal(study.answers[:, :, 0], whole.answers)
    assert not same(made(model, puzzles, seed=4), whole)


def test_without_noise_every_attempt_is_the_answer_of_evaluation(model, puzzles):
    found = made(model, puzzles, sigma=0.0)
    answers = predict(model, puzzles, TASK, SEGMENTS)
    assert (found.answers == answers["predictions"][:, None]).all()
    assert np.allclose(found.q, answers["q_halt"][:, None], atol=1e-5)


def test_a_rollout_passes_a_wrong_answer_where_it_stood_still_on_another(monkeypatch, model, puzzles):
    """Answers a a b: it stood on a, then left it. a b b and a b a never stood on another than the last."""
    courses = iter(np.array([[1, 1, 2], [1, 2, 2], [1, 2, 1], [2, 2, 2]], np.uint8).T)
    monkeypatch.setattr("rrm.training.attempts.answers_of", lambda readout: np.tile(next(courses)[:, None], (1, 16)))
    found = made(model, puzzles.subset([0]), rollouts=4)
    assert found.passed_wrong.tolist() == [[True, False, False, False]] and found.answers[0, :, 0].tolist() == [
        2,
        2,
        1,
        2,
    ]

"""Symmetric copies as rollouts: an equivariant model does not notice, and answers come back to their puzzle."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from rrm.dynamics.sampling import SamplingNoise, sample_answers
from rrm.dynamics.shards import join, load_rows, save_rows
from rrm.dynamics.stochastic import StochasticResult, answer_hash, stochastic_rollouts
from rrm.errors import InputError
from rrm.models import Readout, RecursiveModel, State, build, variant
from rrm.tasks import get_task

TASK = get_task("sudoku-4x4")
SHAPE = {"vocab_size": 6, "seq_len": 16, "hidden_size": 16, "num_heads": 2, "H_cycles": 1, "L_cycles": 1, "L_layers": 1}


class Copying(RecursiveModel):
    """Answers with the puzzle as it reads it, which every symmetry carries along; `last` instead in one cell."""

    segment_calls, grad_calls, forward_dtype = ("H",), 1, torch.float32

    def __init__(self, vocab_size, last=None):
        super().__init__()
        self.vocab_size, self.last = vocab_size, last
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.half_shape = None

    def initial_state(self, batch_size, generator=None):
        return State(*torch.zeros(2, batch_size, self.cells, 1))

    def embed(self, inputs_BS, puzzle_identifiers_B):
        self.cells = inputs_BS.shape[1]
        return inputs_BS[:, :, None].float()

    def network(self, half):
        raise NotImplementedError

    def step(self, half, state, x_BLD, generator=None):
        return State(x_BLD, state.z_L)

    def readout(self, state):
        tokens = state.z_H[:, :, 0].round().long()
        if self.last is not None:
            tokens[:, -1] = self.last
        return Readout(torch.nn.functional.one_hot(tokens, self.vocab_size).float(), None, None)


@pytest.mark.parametrize("name", ["sudoku-4x4", "sudoku-6x6", "sudoku-9x9", "maze-7x7", "maze-unique-9x9"])
def test_an_equivariant_model_gives_every_copy_the_same_answer(name):
    task = get_task(name)
    puzzles = task.generate(20, seed=1)
    model, noise = Copying(task.vocab_size), SamplingNoise(0.0, rollouts="symmetry")
    found = sample_answers(model, puzzles, task, 9, (1, 2), noise, batch_size=40)
    assert (found.answers == puzzles.inputs[:, None, None]).all() and found.rollouts == "symmetry"
    # A cell that the model always fills in the same way comes back elsewhere, and under other names.
    moved = sample_answers(Copying(task.vocab_size, last=3), puzzles, task, 9, (1,), noise).answers[:, :, 0]
    places = [{tuple(np.flatnonzero(answer != puzzle)) for answer in answers}
              for answers, puzzle in zip(moved, puzzles.inputs, strict=True)]  # fmt: skip
    assert max(map(len, places)) > 2


def test_copies_are_pure_functions_of_seed_rollout_and_puzzle(tmp_path):
    torch.manual_seed(0)
    model, puzzles = build(variant("trm_mlp", **SHAPE)).eval(), TASK.generate(40, seed=1)
    settings = {"K": 5, "depths": (3,), "sigma": 0.3, "rollouts": "symmetry", "batch_size": 32}
    whole = stochastic_rollouts(model, puzzles, TASK, **settings)
    parts = [stochastic_rollouts(model, puzzles, TASK, index=rows, **settings)
             for rows in (range(32, 40), range(16), range(16, 32))]  # fmt: skip
    for number, part in enumerate(parts):
        save_rows(part, tmp_path / f"{number}.npz")
    joined = join([load_rows(StochasticResult, tmp_path / f"{number}.npz") for number in range(3)])
    for name in (field.name for field in fields(StochasticResult)):
        np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name))
    answers = sample_answers(model, puzzles, TASK, 5, (3,), SamplingNoise(0.3, rollouts="symmetry"), batch_size=32)
    assert np.array_equal(answer_hash(answers.answers.reshape(-1, 16)).reshape(40, 5, 1), whole.answer[:, 1:])

    noise = stochastic_rollouts(model, puzzles, TASK, **settings | {"rollouts": "noise"})
    for name in ("answer", "residual", "stop_segment", "solved"):  # rollout 0 is the puzzle itself without noise
        assert np.array_equal(getattr(whole, name)[:, 0], getattr(noise, name)[:, 0])
    assert not np.isclose(whole.residual[:, 1:], noise.residual[:, 1:]).all(1).any()
    other = stochastic_rollouts(model, puzzles, TASK, **settings | {"sigma": 0.0, "seed": 1}, index=[3])
    plain = stochastic_rollouts(model, puzzles, TASK, **settings | {"sigma": 0.0, "K": 7}, index=[3])
    fewer = stochastic_rollouts(model, puzzles, TASK, **settings | {"sigma": 0.0, "K": 2}, index=[3, 30])
    assert len(np.unique(plain.residual)) == 8 and not np.isclose(other.residual[0, 1:], plain.residual[0, 1:6]).all()
    assert np.allclose(fewer.residual[0], plain.residual[0, :3], rtol=1e-5)


def test_files_of_older_versions_load(tmp_path):
    torch.manual_seed(0)
    found = stochastic_rollouts(build(variant("trm_mlp", **SHAPE)).eval(), TASK.generate(3, seed=1), TASK, 2, (2,), 0.3)
    save_rows(found, tmp_path / "new.npz")
    newer = {"rollouts", "calls_per_segment", "stops"} | {n.name for n in fields(found) if n.name.startswith("stop_")}
    with np.load(tmp_path / "new.npz") as file:
        np.savez(tmp_path / "old.npz", **{name: file[name] for name in file.files if name not in newer})
    old = load_rows(StochasticResult, tmp_path / "old.npz")
    assert old.rollouts == "noise" and old.calls_per_segment == 0 and old.stop_segment is None and old.stops == ""
    assert np.array_equal(old.answer, found.answer)
    joined = join([old])
    save_rows(joined, tmp_path / "again.npz")
    assert load_rows(StochasticResult, tmp_path / "again.npz").stop_rank is None
    assert load_rows(StochasticResult, tmp_path / "new.npz", current=True).stops == found.stops
    with pytest.raises(InputError, match="old.npz: .*it has no array 'rollouts'.*delete it to have it made again"):
        load_rows(StochasticResult, tmp_path / "old.npz", current=True)


def test_unknown_rollouts_are_named():
    with pytest.raises(ValueError, match="rollouts are 'mirror': use one of noise, symmetry"):
        SamplingNoise(0.0, rollouts="mirror")

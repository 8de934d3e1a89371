"""Noisy rollouts against plain ones, against spectra, and against a system whose growth is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from rrm.dynamics.escape import escape
from rrm.dynamics.lyapunov import lyapunov_spectrum
from rrm.dynamics.network_map import NetworkMap
from rrm.dynamics.restarts import restarts
from rrm.dynamics.rollout import rollout
from rrm.dynamics.sampling import PUZZLES as TOGETHER
from rrm.dynamics.shards import join, load_rows, save_rows
from rrm.dynamics.stochastic import StochasticResult, stochastic_rollouts
from rrm.dynamics.twin import max_lyapunov
from rrm.models import VARIANTS, Readout, RecursiveModel, State, build, variant
from rrm.tasks import PuzzleSet, dihedral, get_task
from rrm.tasks.maze_cells import OPEN, PATH
from rrm.tasks.maze_labels import label_mazes
from rrm.tasks.puzzle_csv import read_puzzles
from rrm.tasks.verdict import OUTCOMES, distinct_outcomes

TASK = get_task("sudoku-4x4")
PUZZLES = TASK.generate(12, seed=0)
SHAPE = {"vocab_size": 6, "seq_len": 16, "hidden_size": 16, "num_heads": 2, "H_cycles": 2, "L_cycles": 2}


def small_model(name: str = "trm_mlp", **changes):
    torch.manual_seed(0)
    return build(variant(name, **SHAPE | {"L_layers": 1} | changes)).eval()


def same(one: StochasticResult, other: StochasticResult) -> bool:
    return all(np.array_equal(getattr(one, n), getattr(other, n), equal_nan=n != "index") for n in one.row_axes)


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_without_noise_every_rollout_is_the_plain_one_bit_for_bit(name):
    model = small_model(name, forward_dtype="bfloat16")  # run in float32 all the same
    with model.precision(torch.float32):
        roll = rollout(model, PUZZLES.arrays, 6)
    puzzles = replace(PUZZLES, labels=roll.predictions[3].to(torch.uint8).numpy())
    found = stochastic_rollouts(model, puzzles, TASK, 2, (6, 4), 0.0, batch_size=TOGETHER)
    assert found.depths.tolist() == [4, 6] and found.solved.shape == (12, 3, 2) and found.finite.all()
    plain = escape(model, puzzles, TASK, 7)
    for r in range(3) if not model.call_noise else range(1):
        assert np.array_equal(found.solved[:, r], plain.solved[:, [3, 5]]) and found.solved[:, r, 0].all()
        q = np.full((2, 12), np.nan) if roll.q_halt is None else roll.q_halt[[3, 5]].numpy()
        assert np.array_equal(found.q_halt[:, r], q.T.astype(np.float32), equal_nan=True)
        if not model.call_noise:
            assert (found.residual[:, r, 1] >= plain.drift_H[:, 6] * 0.9999).all()  # one more segment, both halves
        changed = (roll.predictions[1:] != roll.predictions[:-1]).any(2).numpy()
        last = [max([t + 2 for t in range(5) if changed[t, i]], default=1) for i in range(12)]
        assert found.settled[:, r, 1].tolist() == last
    assert found.settled.min() >= 1 and np.isnan(found.lambda_1).all()


def test_noise_depends_on_puzzle_rollout_and_segment_alone(tmp_path):
    model, puzzles = small_model().double(), TASK.generate(40, seed=1)
    whole = stochastic_rollouts(model, puzzles, TASK, 5, (3,), 0.3, batch_size=32)
    shards = [stochastic_rollouts(model, puzzles, TASK, 5, (3,), 0.3, batch_size=32, index=rows)
              for rows in (range(32, 40), range(16), range(16, 32))]  # fmt: skip
    for number, shard in enumerate(shards):
        save_rows(shard, tmp_path / f"{number}.npz")
    assert same(join([load_rows(StochasticResult, tmp_path / f"{number}.npz") for number in range(3)]), whole)

    more = stochastic_rollouts(model, puzzles, TASK, 7, (2, 3), 0.3, batch_size=1, index=[39, 3])
    for name in ("residual", "growth"):
        mine, theirs = getattr(more, name)[:, :6, 1], getattr(whole, name)[[3, 39], :, 0]
        assert np.allclose(mine, theirs, rtol=1e-5)
        assert len(np.unique(getattr(whole, name))) == 40 * 6  # no two rollouts have the same noise
    other = stochastic_rollouts(model, puzzles, TASK, 2, (3,), 0.3, seed=1, index=[3])
    assert not np.isclose(other.residual[0, 1:], whole.residual[3, 1:3]).any()
    assert np.allclose(other.residual[0, 0], whole.residual[3, 0])  # the clean one has none


def test_the_exponent_is_that_of_the_spectrum_and_growth_that_of_two_trajectories():
    model = small_model().double()
    segments = 12
    found = stochastic_rollouts(model, PUZZLES, TASK, 2, (4, segments), 0.0, exponent=True)
    spectrum = lyapunov_spectrum(model, PUZZLES.arrays, 1, segments)
    for r in range(3):
        assert np.allclose(found.lambda_1[:, r, 1], spectrum.lambda_per_call[:, 0].numpy(), atol=1e-9)
    calls = len(model.segment_calls)
    twin = max_lyapunov(NetworkMap(model, PUZZLES.arrays), 3 * calls, transient=calls)
    assert np.allclose(found.growth[:, 0, 0], calls * twin.exponents.numpy(), atol=1e-5)
    noisy = stochastic_rollouts(model, PUZZLES, TASK, 2, (segments,), 0.3, exponent=True)
    plain = stochastic_rollouts(model, PUZZLES, TASK, 2, (segments,), 0.3)
    assert np.allclose(noisy.residual, plain.residual) and not np.allclose(noisy.lambda_1[:, 1], noisy.lambda_1[:, 0])


class Doubling(RecursiveModel):
    """z_H <- 2 z_H, from 1: separations and states double in every segment, noise is doubled with them."""

    segment_calls, grad_calls, forward_dtype = ("H",), 1, torch.float32

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def initial_state(self, batch_size, generator=None):
        return State(torch.ones(batch_size, 16, 2), torch.zeros(batch_size, 16, 2))

    def embed(self, inputs_BS, puzzle_identifiers_B):
        return torch.zeros(len(inputs_BS), 16, 2)

    def network(self, half):
        raise NotImplementedError

    def step(self, half, state, x_BLD, generator=None):
        return State(2 * state.z_H, 0 * state.z_L)

    def readout(self, state):
        sure = (state.z_H[:, 0, 0] > 100).long()
        tokens = (2 + sure)[:, None].expand(-1, 16)
        return Readout(torch.nn.functional.one_hot(tokens, 6).float(), None, None)


def test_known_growth_residual_and_settling():
    found = stochastic_rollouts(Doubling(), PUZZLES, TASK, 1, (1, 3, 6, 9), 0.0, "both")
    assert np.allclose(found.growth[:, :, 1:], np.log(2), atol=1e-4)
    assert np.allclose(found.residual, np.sqrt(32) * 2.0 ** np.array([1, 3, 6, 9]))
    assert (found.settled == [1, 1, 1, 7]).all() and np.isnan(found.q_halt).all()  # 2^7 is the first above 100
    assert len(np.unique(found.answer)) == 2 and (found.answer[..., 3] != found.answer[..., 2]).all()
    assert not found.solved.any()


@pytest.mark.parametrize(("where", "std"), [("z_H", 2.0), ("z_L", 0.0), ("both", 2.0)])
def test_noise_falls_where_it_is_asked_to_with_its_size(where, std):
    """After one segment z_H = 2 (1 + sigma n), and the residual is its norm."""
    puzzles = TASK.generate(400, seed=2)
    found = stochastic_rollouts(Doubling(), puzzles, TASK, 1, (1,), 0.1, where)
    assert np.array_equal(found.residual[:, 0], np.full((400, 1), 2 * np.sqrt(32), np.float32))
    squares = (found.residual[:, 1, 0].astype(float) / 2) ** 2 / 32  # mean of (1 + sigma n)^2, 32 entries
    assert squares.mean() == pytest.approx(1 + 0.01 * (std > 0), abs=0.005)
    assert squares.std() == pytest.approx(std * 0.1 / np.sqrt(32), rel=0.1, abs=1e-6)


def test_rows_that_overflow_are_neither_solved_nor_valid():
    found = stochastic_rollouts(Doubling(), PUZZLES, TASK, 1, (100, 140), 0.0)  # 2^128 is above the largest float32
    assert found.finite[..., 0].all() and not found.finite[..., 1].any() and not found.solved[..., 1].any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"K": 0}, "K is 0"),
        ({"depths": (0, 4)}, "depths are .0, 4."),
        ({"depths": (4, 4)}, "give different numbers"),
        ({"sigma": -1.0}, "sigma is -1.0"),
        ({"sigma": float("nan")}, "sigma is nan"),
        ({"where": "X"}, "'X' is no half of the state: use one of both, z_H, z_L"),
        ({"seed": -1}, "seed is -1"),
        ({"index": []}, "index is empty"),
    ],
)
def test_bad_input_is_named(changes, message):
    arguments = {"K": 1, "depths": (2,), "sigma": 0.1} | changes
    with pytest.raises(ValueError, match=message):
        stochastic_rollouts(Doubling(), PUZZLES, TASK, **arguments)


class Reciting(RecursiveModel):
    """Gives the `answers` [A, S] in turn, one after each segment, whatever the puzzle."""

    segment_calls, grad_calls, forward_dtype = ("H",), 1, torch.float32

    def __init__(self, answers):
        super().__init__()
        self.answers = torch.nn.Parameter(torch.from_numpy(answers).float(), requires_grad=False)

    def initial_state(self, batch_size, generator=None):
        return State(*torch.zeros(2, batch_size, self.answers.shape[1], 1))

    def embed(self, inputs_BS, puzzle_identifiers_B):
        return torch.zeros(*inputs_BS.shape, 1)

    def network(self, half):
        raise NotImplementedError

    def step(self, half, state, x_BLD, generator=None):
        return State(state.z_H + 1, state.z_L)

    def readout(self, state):
        said = self.answers[state.z_H[:, 0, 0].round().long() - 1].long()
        return Readout(torch.nn.functional.one_hot(said, 6).float(), None, None)


def several_answers(maze):
    """The label, another shortest path, a path with a detour, a way without an end, and every open cell marked."""
    task = get_task(maze.task)
    moved, labels = task.transform(maze.inputs, maze.labels, 2, relabel=True)  # half a turn, its own inverse
    assert np.array_equal(dihedral.apply(2, moved), maze.inputs)
    label, other = maze.labels[0], dihedral.apply(2, labels)[0]
    cut, everything = label.copy(), np.where(maze.inputs[0] == OPEN, PATH, maze.inputs[0])
    cut[np.flatnonzero(label == PATH)[3]] = OPEN
    detour = np.where(other == PATH, PATH, label)
    return np.stack([label, other, detour, cut, everything])


def counted_of_a_maze(maze):
    task, answers = get_task(maze.task), several_answers(maze)
    found = stochastic_rollouts(Reciting(answers), maze, task, 1, range(1, 6), 0.0, growth=False)
    assert distinct_outcomes(maze, task) == ("solved", "valid", "shortest") and np.isnan(found.growth).all()
    deep, kicked = escape(Reciting(answers), maze, task, 5), restarts(Reciting(answers), maze, task, 2, [0], 1)
    for name in OUTCOMES:
        assert np.array_equal(getattr(found, name)[:, 1], getattr(deep, name))
        assert np.array_equal(getattr(kicked, name)[0], getattr(deep, name)[:, 1:2])
    assert len(np.unique(found.answer)) == len(np.unique(answers, axis=0)) == 5
    return {name: getattr(found, name)[0, 1].tolist() for name in OUTCOMES}


EXPECTED = {
    "solved": [True, False, False, False, False],
    "valid": [True, True, True, False, True],
    "shortest": [True, True, False, False, False],
}


def test_a_maze_has_many_right_answers():
    rows = ["#######", "#S    #", "# ### #", "#     #", "# ### #", "#    G#", "#######"]
    task = get_task("maze-7x7")
    inputs = task.encode("".join(rows))[None]
    assert counted_of_a_maze(PuzzleSet.of(task.name, inputs, label_mazes(inputs)[0])) == EXPECTED
    assert distinct_outcomes(PUZZLES, TASK) == ("solved",)


def test_real_mazes_have_many_right_answers(request):
    path = request.config.rootpath.parent / "shared/data/maze-real/test.csv"
    if not path.is_file():
        pytest.skip(f"no real mazes at {path}")
    assert counted_of_a_maze(read_puzzles(path, np.arange(1))) == EXPECTED

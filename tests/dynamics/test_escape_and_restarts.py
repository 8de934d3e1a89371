"""Long rollouts and kicked restarts, against plain rollouts and a saddle whose escape times are known."""

import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch

from rrm.dynamics.escape import escape, escape_time, relapsed
from rrm.dynamics.restarts import freed, restarts, start_noise
from rrm.dynamics.rollout import rollout
from rrm.dynamics.shards import join
from rrm.models import VARIANTS, Readout, RecursiveModel, State, build, variant
from rrm.tasks import get_task

TASK = get_task("sudoku-4x4")
PUZZLES = TASK.generate(12, seed=0)
SHAPE = {"vocab_size": 6, "seq_len": 16, "hidden_size": 32, "num_heads": 2, "H_cycles": 2, "L_cycles": 2}


def small_model(name: str, **changes):
    torch.manual_seed(0)
    return build(variant(name, **SHAPE | {"L_layers": 1} | changes)).eval()


def answered_by(model, segments: int):
    """The puzzles with label i the answer of the model itself after segment i mod `segments` + 1, and the rollout."""
    with model.precision(torch.float32):
        roll = rollout(model, PUZZLES.arrays, segments)
    rows = np.arange(len(PUZZLES))
    return replace(PUZZLES, labels=roll.predictions[rows % segments, rows].to(torch.uint8).numpy()), roll


class Saddle(RecursiveModel):
    """z <- 2 z + d from z = 0: after t segments |z| = d (2^t - 1), and the right answer is read where that is above 1.

    Puzzle i has d = `offsets[i]`; z is the first channel of z_H, and z_L carries (d, answer) from the embedding.
    """

    segment_calls, grad_calls, forward_dtype = ("L", "H"), 2, torch.float32

    def __init__(self, answers, offsets):
        super().__init__()
        self.offsets = torch.nn.Parameter(torch.tensor(offsets, dtype=torch.float32))
        self.answers = torch.as_tensor(answers).float()

    def initial_state(self, batch_size, generator=None):
        return State(*torch.zeros(2, batch_size, 16, 2))

    def embed(self, inputs_BS, puzzle_identifiers_B):
        rows = puzzle_identifiers_B.long()
        return torch.stack((self.offsets[rows, None].expand(-1, 16), self.answers[rows]), 2)

    def network(self, half):
        raise NotImplementedError

    def step(self, half, state, x_BLD, generator=None):
        if half == "L":
            return State(state.z_H, x_BLD)
        return State(2 * state.z_H + state.z_L * torch.tensor([1.0, 0.0]), state.z_L)

    def readout(self, state):
        far = state.z_H[..., 0].abs().mean(1, keepdim=True) >= 1
        tokens = torch.where(far, state.z_L[..., 1], 1).long()
        return Readout(torch.nn.functional.one_hot(tokens, 6).float(), None, None)


def saddle(offsets):
    puzzles = PUZZLES.subset(slice(len(offsets)))
    puzzles = replace(puzzles, puzzle_identifiers=np.arange(len(offsets), dtype=np.int32))
    return Saddle(puzzles.labels, offsets), puzzles


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_escape_is_the_rollout_step_by_step(name):
    model = small_model(name, forward_dtype="bfloat16")  # measured in float32 all the same
    puzzles, roll = answered_by(model, 5)
    result = escape(model, puzzles, TASK, 5)
    right = (roll.predictions == torch.from_numpy(puzzles.labels)).all(-1).T.numpy()
    assert right.any() and not right.all() and np.array_equal(result.solved, right)
    assert np.array_equal(result.drift_H, roll.drift_H.T.numpy()) and result.drift_H.dtype == np.float32
    assert result.finite.all() and not result.valid.any() and model.forward_dtype == torch.bfloat16


def test_outcomes_do_not_depend_on_batch_or_shard():
    model = small_model("trm_att").double()
    puzzles, _ = answered_by(model, 4)
    heard = []
    whole = escape(model, puzzles, TASK, 4, progress=heard.append)
    cut = escape(model, puzzles, TASK, 4, batch_size=5, progress=heard.append)
    assert heard == [12, 5, 5, 2] and np.array_equal(cut.solved, whole.solved)
    assert np.allclose(cut.drift_H, whole.drift_H, rtol=1e-5)
    shards = [escape(model, puzzles, TASK, 4, index=rows, batch_size=5) for rows in (range(5, 12), range(5))]
    joined = join(shards)
    assert all(np.array_equal(getattr(joined, name), getattr(cut, name)) for name in joined.row_axes)
    with pytest.raises(ValueError, match="puzzle 5 is in two of the results"):
        join([shards[0], cut])
    with pytest.raises(ValueError, match="different segments .4 and 3. cannot be joined"):
        join([shards[0], escape(model, puzzles, TASK, 3, index=range(5))])


def test_a_saddle_is_left_when_its_closed_form_says():
    times = np.array([1, 2, 3, 7, 11, 30])
    model, puzzles = saddle([*1 / (2.0**times - 1.5), 0])
    result = escape(model, puzzles, TASK, 20, batch_size=4)
    time, escaped = escape_time(result.solved)
    assert time.tolist() == [1, 2, 3, 7, 11, 20, 20] and escaped.tolist() == [True] * 5 + [False] * 2
    assert np.array_equal(result.valid, result.solved) and not relapsed(result.solved).any()
    assert np.allclose(result.drift_H[1], 4 * model.offsets[1].item() * 2.0 ** np.arange(20))  # norm over 16 tokens


def test_a_state_that_overflows_is_unsolved_from_then_on():
    model, puzzles = saddle([1, 0, 1e-30])
    result = escape(model, puzzles, TASK, 140)  # 2^128 is above the largest float32
    assert result.finite.tolist() == [False, True, True] and result.solved[0, :127].all()
    assert not result.solved[0, 127:].any() and not result.valid[0, 127:].any() and result.solved[2, -1]
    ends = restarts(model, puzzles, TASK, 140, kicks=[0], copies=1)
    assert ends.finite[0, :, 0].tolist() == [False, True, True]
    assert ends.solved[0, :, 0].tolist() == [False, False, True]


def test_nan_weights_are_flagged_row_by_row():
    model = small_model("trm_mlp")
    with torch.no_grad():
        model.embed_tokens.embedding_weight[5] = torch.nan
    hit = (PUZZLES.inputs == 5).any(1)
    puzzles, _ = answered_by(model, 3)  # the labels are what nan decodes to
    result = escape(model, puzzles, TASK, 3)
    assert 0 < hit.sum() < 12 and np.array_equal(result.finite, ~hit)
    assert not result.solved[hit].any() and np.isnan(result.drift_H[hit]).all() and result.solved[~hit].any()
    ends = restarts(model, puzzles, TASK, 3, [0, 0.1], copies=2)
    assert np.array_equal(ends.finite, np.broadcast_to(~hit[:, None], (2, 12, 2))) and not ends.solved[:, hit].any()


def test_depth_costs_no_memory():
    model, held, most = small_model("trm_mlp"), [], []
    read = model.readout

    def watched(state):
        held.append(weakref.ref(state.z_H))
        most.append(sum(reference() is not None for reference in held))
        return read(state)

    model.readout = watched
    escape(model, PUZZLES, TASK, 12)
    restarts(model, PUZZLES, TASK, 12, [0.1], 1)
    assert len(most) == 24 and max(most) <= 2


def test_escape_times_hold_and_relapse():
    solved = np.array([[0, 1, 0, 1, 1, 1], [0, 0, 0, 0, 0, 1], [1, 1, 0, 0, 0, 0], [0] * 6, [1] * 6], bool)
    time, escaped = escape_time(solved)
    assert time.tolist() == [2, 6, 1, 6, 1] and escaped.tolist() == [True, True, True, False, True]
    assert relapsed(solved).tolist() == [True, False, True, False, False]
    time, escaped = escape_time(solved, hold=2)
    assert time.tolist() == [4, 5, 1, 5, 1] and escaped.tolist() == [True, False, True, False, True]
    assert relapsed(solved, hold=2).tolist() == [False, False, True, False, False]
    with pytest.raises(ValueError, match="hold is 7: it must be 1 to the 6"):
        escape_time(solved, hold=7)


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_kick_zero_is_the_plain_rollout_bit_for_bit(name):
    model = small_model(name)
    puzzles, roll = answered_by(model, 3)
    read, seen = model.readout, []
    model.readout = lambda state: seen.append(state) or read(state)
    result = restarts(model, puzzles, TASK, 3, [0.1, 0], copies=2)
    assert len(seen) == 9  # three rollouts: the copies of kick 0 are one
    assert all(torch.equal(a, b[-1]) for a, b in zip(seen[8], (roll.z_H, roll.z_L), strict=True))
    assert not torch.equal(seen[2].z_H, seen[8].z_H) and not torch.equal(seen[2].z_H, seen[5].z_H)
    assert np.array_equal(result.solved[1], np.repeat(escape(model, puzzles, TASK, 3).solved[:, -1:], 2, axis=1))
    assert not result.realised[1].any() and not result.relative[1].any() and result.solved[1].any()


def test_a_model_with_randomness_of_its_own_differs_by_the_kick_alone():
    model = small_model("trm_mlp", call_noise=0.01, random_start=True)
    puzzles, _ = answered_by(model, 3)
    plain = escape(model, puzzles, TASK, 3).solved[:, -1]
    assert plain.any() and np.array_equal(restarts(model, puzzles, TASK, 3, [0], 1).solved[0, :, 0], plain)


def test_realised_size_of_the_kicks():
    model, kicks = small_model("hrm"), [1e-9, 1e-3, 0.3]
    result = restarts(model, PUZZLES, TASK, 1, kicks, copies=3)
    entries = 2 * 16 * 32
    ratio = result.realised[1:] / np.array(kicks[1:])[:, None, None]
    assert abs(ratio - 1).max() < 5 / np.sqrt(2 * entries) and ratio.std() > 0.2 / np.sqrt(2 * entries)
    assert (result.realised[0] < 1e-9).all()  # most of it is below the spacing of float32
    start = model.initial_state(1)
    size = torch.cat([half.flatten() for half in start]).norm().item()
    assert np.allclose(result.relative, result.realised * np.sqrt(entries) / size, rtol=1e-5)


def test_kicks_belong_to_the_puzzle_and_not_to_its_batch():
    together, alone = start_noise(np.arange(8), (16, 32), 7, 1, 2), start_noise(np.array([5]), (16, 32), 7, 1, 2)
    assert all(torch.equal(a[5:6], b) for a, b in zip(together, alone, strict=True))
    others = [start_noise(np.array([5]), (16, 32), *place) for place in ((8, 1, 2), (7, 0, 2), (7, 1, 0))]
    draws = torch.stack([*alone, together.z_H[:1], *(half for other in others for half in other)]).flatten(1)
    assert (torch.corrcoef(draws) - torch.eye(len(draws))).abs().max() < 0.2  # 512 numbers each: sd 0.044

    model = small_model("srm_mlp")
    puzzles, _ = answered_by(model, 2)
    settings = {"segments": 2, "kicks": [0, 0.01], "copies": 2, "batch_size": 4, "seed": 3}
    whole = restarts(model, puzzles, TASK, **settings)
    joined = join([restarts(model, puzzles, TASK, index=rows, **settings) for rows in (range(8, 12), range(8))])
    assert all(np.array_equal(getattr(joined, name), getattr(whole, name)) for name in joined.row_axes)
    other = restarts(model, puzzles, TASK, index=[3], **settings | {"kicks": [0, 0.02]})
    with pytest.raises(ValueError, match="different kicks"):
        join([whole, other])


def test_kicks_free_a_saddle_when_they_are_large_enough():
    model, puzzles = saddle([0, 0, 1])
    result = restarts(model, puzzles, TASK, 8, [0, 1e-3, 0.1], copies=4)  # |z| = 256 sigma |n|, or more
    plain = escape(model, puzzles, TASK, 8).solved[:, -1]
    summary = freed(result.solved, plain)
    assert (summary.failed, summary.succeeded) == (2, 1) and summary.freed_puzzles.tolist() == [0, 0, 1]
    assert summary.freed_pairs.tolist() == [0, 0, 1] and summary.lost_pairs.tolist() == [0, 0, 0]


def test_summary_counts_puzzles_and_pairs():
    solved = np.array([[[1, 0], [0, 0], [1, 1], [1, 0]]], bool)
    summary = freed(solved, np.array([False, False, True, True]))
    assert (summary.freed_puzzles, summary.freed_pairs) == ([0.5], [0.25])
    assert (summary.lost_puzzles, summary.lost_pairs) == ([0.5], [0.25])
    assert np.isnan(freed(solved, np.ones(4, bool)).freed_pairs).all()
    with pytest.raises(ValueError, match="does not fit"):
        freed(solved, np.ones(3, bool))


def test_bad_settings_are_refused():
    model = small_model("trm_mlp")
    for message, index in (("positions are 0 to 11", [12]), ("twice", [1, 1]), ("index is empty", [])):
        with pytest.raises(ValueError, match=message):
            escape(model, PUZZLES, TASK, 1, index=index)
    with pytest.raises(ValueError, match="batch_size is 0"):
        escape(model, PUZZLES, TASK, 1, batch_size=0)
    with pytest.raises(ValueError, match="segments is 0"):
        escape(model, PUZZLES, TASK, 0)
    for message, kicks, copies in (("-0.1", [-0.1], 1), ("nan", [np.nan], 1), ("kicks", [], 1), ("copies", [0], 0)):
        with pytest.raises(ValueError, match=message):
            restarts(model, PUZZLES, TASK, 1, kicks, copies)

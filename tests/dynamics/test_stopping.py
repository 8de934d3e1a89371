"""Rules by which rollouts stop by themselves: their contract, closed forms, and what a real model says."""

import numpy as np
import pytest
import torch

from rrm.dynamics.stochastic import stochastic_rollouts
from rrm.dynamics.stopping import HOLD, STOPS, Seen, Stopwatch
from rrm.models import Readout, RecursiveModel, State, build, variant
from rrm.tasks import get_task

TASK = get_task("sudoku-4x4")
PUZZLES = TASK.generate(8, seed=3)
SHAPE = {"vocab_size": 6, "seq_len": 16, "hidden_size": 16, "num_heads": 2, "H_cycles": 1, "L_cycles": 1, "L_layers": 1}


class Scripted(RecursiveModel):
    """Says after segment t what script[t] holds: right (the label of the first puzzle) or wrong, q_halt, q_continue."""

    segment_calls, grad_calls, forward_dtype = ("L", "H"), 1, torch.float32

    def __init__(self, script, q_learning=False):
        super().__init__()
        self.script, self.q_learning = torch.tensor(script).float(), q_learning
        self.weight = torch.nn.Parameter(torch.ones(1))

    def initial_state(self, batch_size, generator=None):
        return State(*torch.zeros(2, batch_size, 16, 1))

    def embed(self, inputs_BS, puzzle_identifiers_B):
        return torch.zeros(*inputs_BS.shape, 1)

    def network(self, half):
        raise NotImplementedError

    def step(self, half, state, x_BLD, generator=None):
        return State(state.z_H + 1, state.z_L) if half == "H" else state

    def readout(self, state):
        answer, q_halt, q_continue = self.script[state.z_H[:, 0, 0].round().long() - 1].T
        tokens = torch.from_numpy(PUZZLES.labels[:1]).long().repeat(len(answer), 1)
        tokens[:, 0] += answer.long()  # 0: right, else one of several wrong answers; token 5 becomes none
        return Readout(torch.nn.functional.one_hot(tokens % 6, 6).float(), q_halt, q_continue)


def stopped(script, q_learning=False, depth=None):
    found = stochastic_rollouts(Scripted(script, q_learning), PUZZLES, TASK, 1, (depth or len(script),), 0.0, index=[0])
    assert found.stops.split() == ["halt", "settle"] and found.calls_per_segment == 2
    return found.stop_segment[0, 0], found.stop_rank[0, 0], found.stop_solved[0, 0]


@pytest.mark.parametrize("name", STOPS)
def test_a_rule_says_of_every_rollout_whether_to_stop_and_whom_to_believe(name):
    seen = Seen(torch.tensor([True, False, True]), torch.tensor([2.0, -1.0, 0.5]), torch.tensor([0, HOLD, 9]),
                torch.tensor([0.3, 0.2, 0.1]))  # fmt: skip
    stops, rank = STOPS[name](seen)
    assert stops.dtype == torch.bool and stops.shape == rank.shape == (3,) and rank.isfinite().all()
    assert 0 < stops.sum() < 3


def test_the_answer_is_read_where_the_rule_first_holds():
    # Right at the halt in segment 3, wrong again when it has stopped changing.
    script = [(1, -1, 0), (2, -2, 0), (0, 0.5, 0), (1, 3, 0), (1, -1, 0), (1, 0, 0), (0, 9, 0)]
    segment, rank, solved = stopped(script)
    assert segment.tolist() == [3, 6] and solved.tolist() == [True, False]
    assert rank.tolist() == [0.5, -4.0]  # q there, and the movement of sixteen cells by one
    assert stopped(script, depth=2)[0].tolist() == [0, 0] and (stopped(script, depth=2)[1] == -np.inf).all()
    # A model that has learned q_continue halts where q_halt is above it.
    assert stopped([(1, -1, -2), (1, 5, 6), (0, -3, -4), (0, 1, 0)], q_learning=True)[0].tolist() == [1, 0]
    assert stopped([(1, -3, -2), (1, 5, 6), (0, -3, -4), (0, 1, 0), (0, 0, 0)], q_learning=True)[0].tolist() == [3, 5]


def test_without_a_q_head_nobody_halts_and_overflown_rows_do_not_stop():
    torch.manual_seed(0)
    model = build(variant("srm_mlp", **SHAPE)).eval()
    found = stochastic_rollouts(model, PUZZLES, TASK, 2, (6,), 0.5)
    halt, settle = found.stop_segment[..., 0], found.stop_segment[..., 1]
    assert not halt.any() and np.isnan(found.q_halt).all() and (found.stop_rank[..., 0] == -np.inf).all()
    assert ((settle == 0) | (settle > HOLD)).all() and (found.stop_solved[..., 1] <= (settle > 0)).all()
    # What has stayed since the start of a hold before the end has settled by both definitions.
    at_hold = settle == 6
    assert (found.settled[..., 0][at_hold] == 6 - HOLD).all()

    watch = Stopwatch(Scripted([(0, 1, 0)]), 2, torch.device("cpu"))
    readout = Scripted([(0, 1, 0)]).readout(State(torch.ones(2, 16, 1), torch.zeros(2, 16, 1)))
    watch.look(1, readout, readout.logits.argmax(-1), torch.zeros(2), torch.tensor([True, False]))
    assert watch.found(PUZZLES.subset([0, 0]), TASK)["stop_segment"].tolist() == [[1, 0], [0, 0]]

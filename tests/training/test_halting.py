"""Accuracy at halting beside accuracy at full depth, and the count of puzzles that finish in training."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from rrm.models import build, variant
from rrm.models.base import Readout, RecursiveModel, State
from rrm.tasks import get_task
from rrm.tasks.splits import generate_splits
from rrm.training import checkpoint
from rrm.training.assemble import assemble
from rrm.training.evaluate import evaluate, predict
from rrm.training.recipes import cpu_sudoku

TASK = get_task("sudoku-4x4")


class Forgetful(RecursiveModel):
    """Copies its input at the segment that the puzzle identifier names, where its Q head fires first, then loses it.

    z_H counts segments; z_L holds the identifier in front of the tokens.
    """

    forward_dtype = torch.float32

    def __init__(self):
        super().__init__()
        self.on_this_device = nn.Parameter(torch.zeros(()))

    def initial_state(self, batch_size, generator=None):
        return State(torch.zeros(batch_size, 17, 1), torch.zeros(batch_size, 17, 1))

    def embed(self, inputs_BS, puzzle_identifiers_B):
        return torch.cat((puzzle_identifiers_B[:, None], inputs_BS), dim=1)[..., None].float()

    def network(self, half):
        raise NotImplementedError

    def segment(self, state, x_BLD, generator=None, after_call=None, grad_calls=None):
        return State(state.z_H + 1, x_BLD)

    def readout(self, state):
        segment, (identifier, tokens) = state.z_H[:, 0, 0], state.z_L[..., 0].long().split([1, 16], dim=1)
        found, fires = segment == identifier[:, 0], (segment >= identifier[:, 0]) & (identifier[:, 0] > 0)
        logits = nn.functional.one_hot(tokens, TASK.vocab_size).float() * found[:, None, None]
        return Readout(logits, torch.where(fires, 3.0, 1.0), torch.full_like(segment, 2.0))


def test_the_answer_is_read_where_the_head_first_fires_and_at_the_latest_at_the_end():
    puzzles = TASK.generate(5, seed=0, givens=(6, 9))
    puzzles = replace(puzzles, inputs=puzzles.labels, puzzle_identifiers=np.array([3, 1, 0, 4, 2], np.int32))
    model = Forgetful()
    model.q_learning = True
    found = predict(model, puzzles, TASK, segments=4, batch_size=2)
    assert found["halting_segment"].tolist() == [3, 1, 4, 4, 2]
    right = [(found[name] == puzzles.labels).all(1).tolist() for name in ("predictions", "predictions_at_halting")]
    assert right == [[False, False, False, True, False], [True, True, False, True, True]]
    scores = evaluate(model, puzzles, TASK, 4)
    assert (scores["exact"], scores["exact_at_halting"], scores["halting_segment"]) == pytest.approx((0.2, 0.8, 2.8))
    # Without Q-learning nothing is asked of the other score: the head is above 0 from the first segment on.
    model.q_learning = False
    scores = evaluate(model, puzzles, TASK, 4)
    assert (scores["exact"], scores["exact_at_halting"], scores["halting_segment"]) == pytest.approx((0.2, 0.2, 1))


def test_without_a_q_head_nothing_is_said_of_halting():
    puzzles = TASK.generate(4, seed=0, givens=(6, 9))
    model = build(variant("srm_mlp", vocab_size=TASK.vocab_size, seq_len=16, hidden_size=16))
    assert sorted(predict(model, puzzles, TASK, 2)) == ["predictions"]
    assert not {"q_right", "exact_at_halting", "halting_segment"} & evaluate(model, puzzles, TASK, 2).keys()


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    torch.set_num_threads(1)
    return generate_splits(TASK.name, (48, 16, 16), 0, (6, 9), tmp_path_factory.mktemp("puzzles"))


def trainer(splits, steps=9, model="trm_mlp", **changes):
    settings = {"model": model, "batch_size": 8, "budget": 1.0, "evaluations": 3} | changes
    recipe = cpu_sudoku(TASK, **settings)
    with torch.device("meta"):
        recipe = replace(recipe, budget=(steps + 0.5) * recipe.units_per_step(build(recipe.model)))
    return assemble(recipe, TASK, splits.train, splits.validation)


def counted(metrics):
    return metrics["train/finished"], metrics.get("train/segments_per_puzzle")


def test_puzzles_that_finish_are_counted_from_the_start_of_the_training(splits, tmp_path):
    # The Q head of a new model says "go on": all rows leave together, at the fourth segment.
    slow = {"halt_max_steps": 4, "halt_exploration_prob": 0.0, "lr": 1e-9}
    run = trainer(splits, **slow)
    history = run.run()
    assert counted(next(history)) == (0, None) and counted(next(history)) == (8, 4)
    run.save(tmp_path, "hash")
    assert counted(next(history)) == (16, 4)
    resumed = trainer(splits, **slow)
    resumed.load(tmp_path)
    assert [counted(metrics) for metrics in resumed.run()] == [(16, 4)]
    meta = checkpoint.read_meta(tmp_path)
    assert meta.pop("finished") == {"puzzles": 8, "segments": 32}
    checkpoint.write_meta(tmp_path, meta)
    resumed = trainer(splits, **slow)
    resumed.load(tmp_path)
    (last,) = resumed.run()
    assert "train/finished" not in last
    resumed.save(tmp_path, "hash")
    assert checkpoint.read_meta(tmp_path)["finished"] is None


def test_without_halting_every_puzzle_of_a_step_finishes(splits):
    last = [*trainer(splits, model="srm_mlp", micro_batches=2, growth={}).run()][-1]
    assert counted(last) == (9 * 8, 2)

"""Heads: recorded without a trace, scored with known answers, compared, and switched off."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from rrm.dynamics import attention
from rrm.dynamics.ablation import ablate, ablated_answers
from rrm.dynamics.attention import Scorer, compare_heads, divergence, join_heads, record_heads
from rrm.dynamics.rollout import rollout
from rrm.errors import InputError
from rrm.models import attending, build, variant
from rrm.models.attending import ALL, attentions, merge_layer, record_attention
from rrm.tasks import get_task
from rrm.tasks.patterns import puzzle_patterns, sequence_patterns

TASK = get_task("sudoku-4x4")
PUZZLES = TASK.generate(6, seed=0)
SHAPE = {"vocab_size": 6, "seq_len": 16, "hidden_size": 16, "num_heads": 2, "H_cycles": 1, "L_cycles": 2, "L_layers": 2}
SEGMENTS, CALLS = 2, 3
GROKKING = {"family": "transformer", "vocab_size": 7, "classes": 5, "seq_len": 6, "hidden_size": 16, "num_heads": 2,
            "num_layers": 2}  # fmt: skip


def model(name: str = "trm_att", seed: int = 0, **changes):
    torch.manual_seed(seed)
    return build(variant(name, **SHAPE | changes)).eval()


@pytest.fixture(scope="module")
def reasoner():
    return model(puzzle_emb_len=2)


@pytest.mark.parametrize("name", ["trm_att", "trm_gdn", "hrm", "srm_att"])
def test_recording_changes_no_bit_and_leaves_nothing_behind(name):
    watched = model(name)
    plain = rollout(watched, PUZZLES.arrays, SEGMENTS)
    seen = []
    with record_attention(watched, lambda one: seen.append((one.layer, one.call, one.weights(slice(1), ALL).shape))):
        again = rollout(watched, PUZZLES.arrays, SEGMENTS)
    assert torch.equal(plain.z_H, again.z_H) and torch.equal(plain.logits, again.logits)
    calls = [call for _, call, _ in seen]
    assert calls == sorted(calls) and set(calls) == set(range(SEGMENTS * len(watched.segment_calls)))
    assert {layer for layer, _, _ in seen} == set(attentions(watched))
    with pytest.raises(RuntimeError), record_attention(watched, lambda one: None):
        raise RuntimeError
    assert not any(module._forward_pre_hooks for module in watched.modules())
    assert all(getattr(module, "watch", None) is None for module in attentions(watched).values())


def test_recomputed_weights_times_values_are_what_the_heads_read(reasoner):
    weights, values, read, hooks = [], [], [], []
    for module in attentions(reasoner).values():
        hooks += [
            merge_layer(module).register_forward_pre_hook(lambda module, inputs: read.append(inputs[0])),
            module.register_forward_pre_hook(
                lambda module, inputs: values.append(module._queries_keys_values(*inputs)[2])
            ),
            module.register_forward_pre_hook(lambda module, inputs: weights.append(module.attention_weights(*inputs))),
        ]
    told = []
    with record_attention(reasoner, lambda one: told.append(one.weights(ALL, ALL))), torch.no_grad():
        rollout(reasoner, PUZZLES.arrays, 1)
    for hook in hooks:
        hook.remove()
    for A, again, v, out in zip(told, weights, values, read, strict=True):
        assert torch.equal(A, again)
        assert ((A @ v).transpose(1, 2).flatten(2) - out).abs().max() < 5e-7 * out.abs().max()


def test_maps_are_read_a_few_rows_at_a_time(reasoner, monkeypatch):
    whole = record_heads(reasoner, PUZZLES, TASK, 1, draws=3)
    monkeypatch.setattr(attending, "BLOCK_BYTES", 2 * 4 * 2 * 18**2)
    sizes = []
    with record_attention(reasoner, lambda one: sizes.extend(len(one.weights(*part)) for part in one.blocks())):
        rollout(reasoner, PUZZLES.arrays, 1)
    assert set(sizes) == {2}
    blocks = record_heads(reasoner, PUZZLES, TASK, 1, draws=3)
    for name in ("lift", "entropy", "cosine", "null", "columns", "maps"):
        assert np.allclose(getattr(whole, name), getattr(blocks, name), atol=1e-4), name
    # One head at a time, as of a board with hundreds of cells.
    monkeypatch.setattr(attending, "BLOCK_BYTES", 1)
    monkeypatch.setattr(attention, "KEPT_BYTES", 1)
    monkeypatch.setattr(attention, "MOST_POSITIONS", 1)
    heads = record_heads(reasoner, PUZZLES, TASK, 1, draws=3)
    for name in ("lift", "entropy", "cosine", "null", "columns"):
        assert np.allclose(getattr(whole, name), getattr(heads, name), atol=1e-4), name
    assert not heads.maps.size


class _Fixed(nn.Module):
    """A module whose weights are given: by head, the key that each query looks at, or None for all keys alike."""

    def __init__(self, *looks):
        super().__init__()
        self.looks, self.heads = looks, len(looks)
        self.weight = nn.Parameter(torch.zeros(1))

    def attention_weights(self, x, rotary=None):
        length = x.shape[1]
        maps = [torch.full((length, length), 1 / length) if look is None else torch.eye(length)[look(length)]
                for look in self.looks]  # fmt: skip
        return torch.stack(maps).expand(len(x), -1, -1, -1)

    def forward(self, x, rotary=None):
        return x


def scored(module, patterns, x, **settings):
    scorer = Scorer(module, patterns, len(x), **settings)
    with record_attention(module, scorer), torch.no_grad():
        module(x)
    return scorer.found()


def test_a_head_that_looks_at_one_place_scores_log_of_the_length_there_and_uniform_attention_nothing():
    length = 200
    tokens = np.arange(length)[None].repeat(2, 0)
    looks = (lambda n: torch.arange(n).sub(1).clamp_min(0), None, lambda n: torch.zeros(n, dtype=torch.long))
    found = scored(_Fixed(*looks), sequence_patterns(tokens), torch.zeros(2, length, 12), draws=50)
    names = found["patterns"].split(",")
    with np.errstate(divide="ignore"):
        lift = np.log(found["lift"][:, 0, 0].mean(0))
        null = np.log(found["null"][0] / 2)
    assert lift[0, names.index("previous")] == pytest.approx(math.log(length), abs=1e-5)
    assert lift[0, names.index("next")] == -math.inf
    assert np.allclose(lift[1, : names.index("same token")], 0, atol=1e-5)
    assert null[0, names.index("previous")].max() < math.log(length) - 3
    assert np.isnan(lift[0, names.index("same token")])  # no token comes twice
    assert found["entropy"][0, 0, 0] == pytest.approx([0, math.log(length), 0], abs=1e-4)
    assert found["columns"][0, 0, 2].tolist() == [2.0] + [0.0] * (length - 1)


def test_induction_is_found_on_a_repeated_sequence():
    period = 10
    tokens = np.tile(np.random.default_rng(0).permutation(period), 2)[None]
    look = _Fixed(lambda n: (torch.arange(n) - period + 1).clamp_min(0))
    found = scored(look, sequence_patterns(tokens), torch.zeros(1, 2 * period, 4), draws=5)
    lift = dict(zip(found["patterns"].split(","), found["lift"][0, 0, 0, 0], strict=True))
    assert lift["induction"] == pytest.approx(2 * period) and lift["same token"] == 0


def test_patterns_of_boards():
    masks = puzzle_patterns(PUZZLES, TASK, prefix=3)
    assert {name: mask.sum(2).max() for name, mask in masks.items()} == {
        "self": 1, "row": 3, "column": 3, "box": 3, "peers": 7, "same digit": 3, "clue": masks["clue"].sum(2).max(),
        "prefix": 3,
    }  # fmt: skip
    assert not (masks["same digit"][:, :, 3:] & masks["peers"][:, :, 3:]).any()  # by the rules
    assert np.array_equal(masks["clue"][:, 0, 3:], PUZZLES.inputs != 1)
    maze = get_task("maze-5x5")
    mazes = maze.generate(3, seed=0)
    found = puzzle_patterns(mazes, maze)
    assert sorted(found["neighbours"][0].sum(1).tolist()) == [2] * 4 + [3] * 12 + [4] * 9
    assert not found["neighbours"][0, 4, 5] and found["ends"].sum(2).tolist() == [[2]] * 3
    assert np.array_equal(found["path"][:, 0], mazes.labels == 5)
    with pytest.raises(InputError, match="no patterns are known"):
        puzzle_patterns(PUZZLES, type("Other", (), {"name": "other"})())


def test_the_null_is_the_lift_with_the_keys_of_a_pattern_elsewhere(reasoner):
    """Against patterns that are moved one by one."""
    whole = record_heads(reasoner, PUZZLES, TASK, SEGMENTS, draws=3, seed=5)
    rng = np.random.default_rng(5)
    wide = np.tile(np.arange(18), (3, 1))
    cells = wide.copy()
    rng.permuted(cells[:, 2:], axis=1, out=cells[:, 2:])
    wide = rng.permuted(wide, axis=1)
    masks = puzzle_patterns(PUZZLES, TASK, prefix=2)
    for draw in range(3):
        moved = {name: mask[:, :, (wide if name == "prefix" else cells)[draw]] for name, mask in masks.items()}
        scorer = Scorer(reasoner, moved, len(PUZZLES), 2, draws=1)
        with record_attention(reasoner, scorer):
            rollout(reasoner, PUZZLES.arrays, SEGMENTS)
        assert np.allclose(scorer.found()["lift"].mean(1).sum(0), whole.null[..., draw], atol=1e-3)


def test_shards_join_to_the_whole_and_layers_that_rest_have_no_score():
    watched = model("hrm", H_layers=1)
    whole = record_heads(watched, PUZZLES, TASK, SEGMENTS, draws=3)
    parts = [
        record_heads(watched, PUZZLES, TASK, SEGMENTS, draws=3, index=np.arange(*ends)) for ends in ((0, 2), (2, 6))
    ]
    joined = join_heads(parts)
    assert np.array_equal(joined.index, whole.index) and np.array_equal(joined.right, whole.right)
    for name in ("lift", "null", "counted", "columns", "maps"):
        assert np.allclose(getattr(joined, name), getattr(whole, name), atol=1e-4, equal_nan=True), name
    resting = np.isnan(whole.lift).all((0, 3, 4))
    assert whole.layers.startswith("H_level") and whole.calls == "LLH"
    assert resting[:, 0].tolist() == [True, True, False] * SEGMENTS and not resting[2::3, 0].any()


def test_divergences_are_0_of_equal_models_and_log_2_of_maps_without_a_common_key():
    one, other = model(), model(seed=1)
    js = compare_heads(one, PUZZLES, TASK, SEGMENTS, [model(), other]).js
    assert js.shape == (6, 2, SEGMENTS * CALLS, 2, 2)
    assert np.abs(js[:, 0]).max() < 1e-6 and (js[:, 1] > 1e-4).all()
    P = torch.eye(4)[None, None]
    assert divergence(P, P.roll(1, -1)).item() == pytest.approx(math.log(2))
    uniform = torch.full((1, 1, 4, 4), 0.25)
    assert divergence(uniform, uniform).item() == 0
    with pytest.raises(ValueError, match="other layers, heads or calls"):
        compare_heads(one, PUZZLES, TASK, 1, [model(L_cycles=1)])


@pytest.mark.parametrize("kind", ["zero", "mean"])
def test_a_head_that_is_off_is_off_in_its_calls_alone(reasoner, kind):
    layer = reasoner.L_level.layers[0].self_attn
    name = next(iter(attentions(reasoner)))
    plain = rollout(reasoner, PUZZLES.arrays, SEGMENTS)
    off = np.zeros((SEGMENTS * CALLS, 2), bool)
    off[CALLS:, 1] = True  # from the second segment on
    read = []
    hook = layer.o_proj.register_forward_hook(lambda module, inputs, out: read.append(inputs[0]))
    with ablate(reasoner, {name: off}, kind):
        ablated = rollout(reasoner, PUZZLES.arrays, SEGMENTS)
    hook.remove()
    assert torch.equal(plain.z_H[0], ablated.z_H[0]) and not torch.equal(plain.z_H[1], ablated.z_H[1])
    head = torch.stack(read)[:, :, :, 8:]
    assert (head[CALLS:] == 0).all() if kind == "zero" else torch.allclose(head[CALLS:], head[CALLS:, :1])
    assert not torch.allclose(head[:CALLS], head[:CALLS, :1])
    assert torch.equal(rollout(reasoner, PUZZLES.arrays, SEGMENTS).logits, plain.logits)


def test_answers_under_no_ablation_are_those_of_the_rollout(reasoner):
    off = np.zeros((2, SEGMENTS * CALLS, 2, 2), bool)
    off[1] = True
    found = ablated_answers(reasoner, PUZZLES, TASK, SEGMENTS, off, ["zero", "mean"])
    recorded = record_heads(reasoner, PUZZLES, TASK, SEGMENTS, draws=1)
    assert np.array_equal(found.right[:, 0], recorded.right) and found.right.shape == (6, 2)
    for bad, kind in ((np.zeros((1, 3), bool), "zero"), (np.zeros((1, 2), bool), "noise")):
        with pytest.raises(ValueError), ablate(reasoner, {next(iter(attentions(reasoner))): bad}, kind):
            pass


def test_heads_of_the_delta_rule_are_scored_by_their_shares_and_switched_off():
    watched = model("trm_gdn")
    found = record_heads(watched, PUZZLES, TASK, 1, draws=2)
    assert np.allclose(found.columns.sum(-1), len(PUZZLES), atol=1e-3)  # signs are gone, rows add up to 1
    assert (found.entropy >= 0).all() and (found.entropy < math.log(16) + 1e-5).all()
    signed = []
    with record_attention(watched, lambda one: signed.append(one.weights(ALL, ALL))):
        rollout(watched, PUZZLES.arrays, 1)
    assert min(A.min() for A in signed) < 0
    name = next(iter(attentions(watched)))
    plain = rollout(watched, PUZZLES.arrays, 1)
    with ablate(watched, {name: np.ones((3, 2), bool)}):
        without = rollout(watched, PUZZLES.arrays, 1)
    assert not torch.allclose(plain.z_H, without.z_H)


def test_a_grokking_transformer_is_recorded_at_the_positions_that_its_layers_compute():
    torch.manual_seed(0)
    network = build(GROKKING).eval()
    tokens = np.random.default_rng(0).integers(0, 7, (8, 6))
    scorer = Scorer(network, sequence_patterns(tokens), 8)
    with record_attention(network, scorer), torch.no_grad():
        network(torch.as_tensor(tokens))
    found = scorer.found()
    assert found["layers"] == "layers.0.attention,layers.1.attention" and found["lift"].shape == (8, 1, 2, 2, 5)
    # The last layer computes the last position alone, which sees all six.
    seen = []
    with record_attention(network, seen.append), torch.no_grad():
        network(torch.as_tensor(tokens))
    last = seen[1].weights(ALL, ALL)
    assert last.shape == (8, 2, 1, 6)
    assert np.allclose(found["lift"][:, 0, 1, :, 0], 6 * last[:, :, 0, 5], atol=1e-5)


def test_a_network_without_heads_is_refused():
    for action in (lambda: record_heads(model("trm_mlp", pos_encodings="none"), PUZZLES, TASK, 1),
                   lambda: record_attention(model("trm_mlp", pos_encodings="none"), print).__enter__()):  # fmt: skip
        with pytest.raises(InputError, match="TRM has no attention heads"):
            action()

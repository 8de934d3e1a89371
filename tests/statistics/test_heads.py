"""Changes of heads against their null, concentration, ablations and roles, on numbers whose answer is known."""

import math
from dataclasses import replace

import numpy as np
import pytest

from rrm.errors import InputError
from rrm.statistics.heads import (
    INTEGRATOR,
    concentration,
    head_roles,
    lost,
    moved,
    null_band,
    plan_ablations,
    plan_needed,
    roles_by_ablation,
    solved_from_failed,
    thirds,
)
from rrm.statistics.weight_change import by_kind, weight_changes
from rrm.tasks.head_summary import HeadSummary, load_heads, save_heads

T, Y, N = 8, 2, 10


def test_heads_change_where_they_beat_what_chance_moves():
    rng = np.random.default_rng(0)
    null = rng.uniform(0.01, 0.02, (50, T, Y, N))
    change = rng.uniform(0.01, 0.02, (50, T, Y, N))
    change[:, :, 1, 3] += 0.5
    change[:, :, 0, 0] += 0.1
    change[:, 4:, 0] = np.nan  # the layer rests
    found = moved(change, null)
    assert [(one.layer, one.head) for one in found[:2]] == [(1, 3), (0, 0)]
    assert [one.changed for one in found[:2]] == [True, True] and sum(one.changed for one in found) <= 3
    assert found[0].change.estimate == pytest.approx(0.515, abs=1e-3)
    assert all(one.beyond is None and not one.changed for one in moved(change))


def test_concentration_of_equal_and_of_single_changes():
    even, single = concentration(np.ones((2, 5))), concentration([0, 0, 0, 1.0])
    assert (even.top, even.gini) == (pytest.approx(0.1), pytest.approx(0)) and even.heads == 10
    assert (single.top, single.gini) == (1, pytest.approx(0.75))


def test_what_tells_solved_puzzles_from_failed_ones():
    rng = np.random.default_rng(0)
    solved = np.arange(60) < 30
    values = np.stack([rng.normal(size=60) + 3 * solved, rng.normal(size=60), np.full(60, np.nan)], 1)
    apart, alike, none = solved_from_failed(values, solved)
    assert apart.difference.estimate == pytest.approx(3, abs=0.6) and 3 in apart.difference and apart.p < 1e-6
    assert alike.p > 0.05 and 0 in alike.difference and math.isnan(none.p)
    assert all(math.isnan(one.p) for one in solved_from_failed(values, np.ones(60, bool)))


def test_bands_hold_95_of_100_draws():
    null = np.tile(np.arange(1, 101.0), (1, 1)) * 4
    low, high = null_band(null, [4])
    assert (low[0], high[0]) == (pytest.approx(3.475), pytest.approx(97.525))


def test_thirds_cover_all_calls_once():
    for calls in (3, 4, 5, 48):
        covered = [np.arange(calls)[part].tolist() for part in thirds(calls).values()]
        assert sum(covered, []) == list(range(calls)) and all(covered)


def test_ablations_are_tenths_of_the_heads_in_their_calls():
    change = np.zeros((T, Y, N))
    change[:, 1, 2], change[:, 0, 5], change[3, 0, 0] = 2.0, 1.0, 9.0
    change[0, 0] = np.nan
    plan = plan_ablations(change, seed=0, draws=4)
    top = next(one for one in plan if (one.chosen, one.calls, one.unit) == ("top", "all", "head"))
    assert top.off[:, 1, 2].all() and top.off.sum() == 2 * T  # the mean of head (0, 0) is 9 / 7
    assert top.off[:, 0, 0].all()
    for one in plan:
        per_call = one.off.sum((1, 2))
        if one.unit == "head":
            where = thirds(T).get(one.calls, slice(None))
            assert set(per_call[where]) == {1 if one.chosen == "one" else 2} and per_call.sum() == per_call[where].sum()
        else:
            assert one.off.sum() == round((T * Y * N - N) / 10) and not one.off[0, 0].any()
    count = {key: sum((one.chosen, one.calls, one.kind, one.unit) == key for one in plan) for key in
             {(one.chosen, one.calls, one.kind, one.unit) for one in plan}}  # fmt: skip
    assert [count["random", *key, "head"] for key in (("all", "zero"), ("all", "mean"), ("late", "zero"))] == [4, 2, 1]
    drawn = [
        one.off[0].tobytes()
        for one in plan
        if (one.chosen, one.calls, one.kind, one.unit) == ("random", "all", "zero", "head")
    ]
    assert len(set(drawn)) == 4
    assert count["one", "all", "zero", "head"] == Y * N
    single = next(one for one in plan if one.unit == "call" and one.chosen == "top")
    assert single.off[3, 0, 0] and single.off[:, 1, 2].all()
    again = plan_ablations(change, seed=0, draws=4)
    assert all(np.array_equal(one.off, other.off) for one, other in zip(plan, again, strict=True))


def test_shares_of_the_gain_and_roles():
    change = np.arange(T * Y * N, dtype=float).reshape(T, Y, N)
    plan = plan_ablations(change, seed=0, draws=2)
    whole = np.arange(40) < 32  # 80 % of 40 puzzles, 20 % before the training
    right = np.repeat(whole[:, None], len(plan), 1)
    column = next(i for i, one in enumerate(plan) if one.chosen == "top")
    right[8:, column] = False  # back to 20 %
    needed = next(i for i, one in enumerate(plan) if one.chosen == "one" and one.off[0, 1, 4])
    right[:16, needed] = False
    found = lost(plan, right, 0.8, 0.2)
    assert found[0].share == pytest.approx(1) and found[1].chosen == "random" and found[1].share == pytest.approx(0)
    assert math.isnan(lost(plan, right, 0.2, 0.2)[0].share)
    zero, mean = plan_needed(plan, right)
    assert (zero.kind, mean.kind) == ("zero", "mean") and zero.off[:, 1, 4].all() and zero.off.sum() == 2 * T
    patterns = ["self", "row", "peers", "clue"]
    lift, high = np.ones((Y, N, 4)), np.full((Y, N, 4), 1.2)
    lift[1, 4, 2], lift[0, 0, 3], lift[0, 1, 2:] = 2.0, 1.5, 1.3
    roles = head_roles(lift, high, patterns)
    assert roles[1, 4] == ("constraint propagator",) and roles[0, 0] == ("memory reader",)
    assert roles[0, 1] == ("memory reader", "constraint propagator") and roles[1, 9] == (INTEGRATOR,)
    tested = {(one.layer, one.head): one for one in roles_by_ablation(roles, plan, right, whole)}
    assert tested[1, 4].needed and tested[1, 4].lost == pytest.approx(0.4)
    assert not tested[0, 0].needed and tested[0, 0].lost == 0


def test_changes_of_weights_by_kind_of_layer():
    rng = np.random.default_rng(0)
    before = {
        "L_level.layers.0.self_attn.qkv_proj.weight": rng.normal(size=(6, 4)),
        "L_level.layers.0.mlp.down_proj.weight": rng.normal(size=(4, 8)),
        "lm_head.weight": np.zeros((3, 4)), "H_init": np.zeros(4), "q_head.weight": np.ones((2, 4)),
    }  # fmt: skip
    after = {name: weight + np.outer(np.arange(1, len(weight) + 1), np.ones(4)) if weight.shape[-1] == 4
             and weight.ndim == 2 else weight for name, weight in before.items()}  # fmt: skip
    after["q_head.weight"] = before["q_head.weight"]
    found = by_kind(weight_changes(before, after))
    assert list(found) == ["attention", "head"] and found["attention"][0].ranks.effective == pytest.approx(1)
    assert found["attention"][0].full == 4 and found["head"][0].moved == math.inf


def summary() -> HeadSummary:
    """Two models with two layers of two heads, on puzzles of four cells with a prefix of one."""
    rng = np.random.default_rng(0)

    def numbers(*shape: int) -> np.ndarray:
        return rng.uniform(0.5, 2, shape).astype(np.float32)

    return HeadSummary(
        label="trm_att, baseline", task="sudoku-4x4", models="after,initial", calls="LLH",
        layers="L_level.layers.0.self_attn,L_level.layers.1.self_attn", patterns="self,peers,prefix", probe="0" * 64,
        puzzles=9, solved=4, lift=numbers(2, 6, 2, 2, 3), low=np.full((2, 2, 2, 3), 0.9, np.float32),
        high=np.full((2, 2, 2, 3), 1.1, np.float32), outcome=numbers(2, 6, 2, 2, 3), entropy=numbers(2, 6, 2, 2),
        cosine=numbers(2, 6, 2), fixed=numbers(2, 6, 2, 2), js=numbers(1, 6, 2, 2) / 10, maps=numbers(2, 2, 2, 4, 5),
    )  # fmt: skip


def test_a_summary_comes_back_from_its_file_and_another_file_is_refused(tmp_path):
    path, one = tmp_path / "heads.npz", summary()
    save_heads(one, path)
    back = load_heads(path)
    assert back.segments == 2 and back.layer_names == ["0", "1"] and np.array_equal(back.js, one.js)
    hrm = replace(one, layers="H_level.layers.0.self_attn,L_level.layers.0.self_attn")
    assert hrm.layer_names == ["H0", "L0"] and one.log_lift("initial").shape == (2, 2, 3)
    save_heads(replace(one, maps=np.zeros((0, 0, 0, 0, 0), np.float32)), path)
    assert not load_heads(path).maps.size
    for damaged in ({"js": one.js[:, 1:]}, {"patterns": "self"}, {"models": "after"}, {"lift": one.lift[0]}):
        save_heads(replace(one, **damaged), path)
        with pytest.raises(InputError, match="no summary of heads.*run the study of heads again"):
            load_heads(path)

"""One contract for every model type that can be swept, and for the settings of their networks."""

import copy
import itertools

import pytest
import torch

from rrm.errors import InputError
from rrm.models import VARIANTS, build, describe, parameter_count, variant
from rrm.models.layers import NormalisedSwiGLU, RotaryPositions, SwiGLU, grid_places, truncated_normal_
from tests.variants import TYPES, described

SHAPE = {"vocab_size": 6, "seq_len": 16, "hidden_size": 32, "num_heads": 2, "H_cycles": 2, "L_cycles": 2}


@pytest.fixture(params=TYPES)
def model(request):
    torch.manual_seed(0)
    return build(described(request.param, **SHAPE))


@pytest.fixture
def x(model):
    return model.embed(torch.randint(1, 6, (3, 16)), torch.zeros(3))


def test_shapes_and_units(model, x):
    state = model.initial_state(3)
    readout = model.readout(state)
    assert state.z_H.shape == state.z_L.shape == x.shape and x.shape[0] == 3 and x.shape[2] == 32
    assert readout.logits.shape == (3, 16, 6)
    for score in (readout.q_halt, readout.q_continue):
        assert score is None or (score.shape == (3,) and score.dtype == torch.float32)  # None without a Q head
    assert set(model.segment_calls) == {"H", "L"} and 0 < model.grad_calls <= len(model.segment_calls)
    after = model.segment(state, x)
    assert torch.allclose(after.z_H.square().mean(-1), torch.ones(()), atol=1e-3)  # post-norm: unit RMS per position


def test_calls_are_pure_and_replace_one_half(model, x):
    state = model.initial_state(3)
    before = [half.clone() for half in (*state, x)]
    for half in ("L", "H"):
        new = model.step(half, state, x)
        assert all(torch.equal(a, b) for a, b in zip(new, model.step(half, state, x), strict=True))
        kept = "z_H" if half == "L" else "z_L"
        assert getattr(new, kept) is getattr(state, kept)
    assert all(torch.equal(a, b) for a, b in zip(before, (*state, x), strict=True))


def test_rows_do_not_influence_each_other(model, x):
    whole = model.segment(model.initial_state(3), x).z_H
    alone = model.segment(model.initial_state(1), x[1:2]).z_H
    assert torch.allclose(whole[1:2], alone, atol=1e-4)


def test_gradient_flows_through_the_last_calls_only(model, x):
    counted = []
    step = model.step
    model.step = lambda *args: counted.append(torch.is_grad_enabled()) or step(*args)
    model.segment(model.initial_state(3), x)
    assert counted == [False] * (len(model.segment_calls) - model.grad_calls) + [True] * model.grad_calls


def test_description_round_trip_and_seed(model):
    torch.manual_seed(0)
    again = build(describe(model))
    assert describe(again) == describe(model)
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), model.state_dict().values(), strict=True))


def test_float64_runs_in_float64(model):
    model.double()
    x = model.embed(torch.randint(1, 6, (2, 16)), torch.zeros(2))
    assert model.segment(model.initial_state(2), x).z_H.dtype == x.dtype == torch.float64


SUDOKU = {"vocab_size": 11, "seq_len": 81}
MAZE = {"vocab_size": 6, "seq_len": 900}
REGISTERS = {"puzzle_emb_len": 16, "puzzle_emb_ndim": 512}


@pytest.mark.parametrize(
    ("name", "settings", "count"),
    [
        ("trm_mlp", SUDOKU | REGISTERS, 5_028_866),
        ("trm_mlp", SUDOKU, 4_855_298),
        ("trm_att", SUDOKU | REGISTERS, 6_828_034),
        ("trm_mlp", MAZE | REGISTERS, 18_795_522),
        ("trm_att", MAZE | REGISTERS, 6_822_914),
        ("hrm", SUDOKU | {"puzzle_emb_ndim": 512}, 27_275_266),
        ("srm_mlp", SUDOKU | REGISTERS, 2_513_920),
    ],
)
def test_parameter_counts_of_the_papers(name, settings, count):
    with torch.device("meta"):
        assert parameter_count(build(variant(name, hidden_size=512, **settings))) == count


def test_parameter_count_of_the_attention_srm():
    shape = {"hidden_size": 512, "L_layers": 2, "mlp_t": False, "pos_encodings": "rope"}
    with torch.device("meta"):
        assert parameter_count(build({"family": "srm", **MAZE, **REGISTERS, **shape})) == 6_818_816


def test_calls_of_a_segment():
    """Calls with gradient of the papers: 7 of 21, 2 of 6, all of a cycle."""
    for name, calls, with_gradient in (("trm_mlp", 21, 7), ("hrm", 6, 2), ("srm_mlp", 3, 3)):
        model = build(variant(name, vocab_size=6, seq_len=16, hidden_size=32))
        assert (len(model.segment_calls), model.grad_calls) == (calls, with_gradient)


def test_a_segment_of_srm_grows():
    model = build(variant("srm_mlp", **SHAPE))
    model.set_L_cycles(4)
    assert model.segment_calls == ("L", "L", "L", "L", "H") and model.grad_calls == 5
    assert build(describe(model)).segment_calls == model.segment_calls
    with pytest.raises(InputError, match="L_cycles is 0"):
        model.set_L_cycles(0)


def test_tied_tensors_stay_tied():
    model = copy.deepcopy(build(variant("srm_mlp", **SHAPE))).double()
    assert model.lm_head.weight is model.embed_tokens.embedding_weight
    assert {"lm_head.weight", "embed_tokens.embedding_weight"} <= set(model.state_dict())
    assert "lm_head.weight" not in dict(model.named_parameters())


def test_one_shape_serves_all_types():
    everything = SHAPE | {"L_layers": 3, "H_layers": 1, "puzzle_emb_len": 4}
    assert build(variant("hrm", **everything)).config.H_layers == 1
    assert build(variant("hrm", **SHAPE, L_layers=3)).config.H_layers == 3
    srm = build(variant("srm_mlp", **everything))
    assert srm.half_shape == (20, 32) and srm.state_size == 2 * 20 * 32
    with pytest.raises(InputError, match="no setting 'hidden'"):
        build(variant("hrm", **SHAPE, hidden=3))


def test_scores_on_a_grid_depend_on_differences_of_rows_and_columns_alone():
    """Prefix included; and on both of them, with every sign."""
    places = grid_places(prefix=3, cells=20, columns=5)
    assert places.tolist() == [[i, i] for i in range(3)] + [[3 + r, 3 + c] for r in range(4) for c in range(5)]
    rotary = RotaryPositions(places, head_width=16, theta=10.0).double()
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 16, dtype=torch.float64)
    scores = rotary(q.expand(23, 16)) @ rotary(k.expand(23, 16)).T
    found = {}
    for i, j in itertools.product(range(23), repeat=2):
        found.setdefault(tuple((places[i] - places[j]).tolist()), []).append(scores[i, j])
    middles = torch.stack([torch.stack(same).mean() for same in found.values()])
    for same, middle in zip(found.values(), middles, strict=True):
        assert (torch.stack(same) - middle).abs().max() < 2e-6  # the tables are float32
    apart = middles.sort().values.diff()
    assert len(found) > 80 and apart.min() > 1e-5
    # Half of the frequencies turn with the row alone, the others with the column alone.
    turned = rotary(q.expand(23, 16)).view(23, 2, 2, 4)[3:].view(4, 5, 2, 2, 4)
    assert torch.equal(turned[:, :1, :, 0].expand(4, 5, 2, 4), turned[:, :, :, 0])
    assert torch.equal(turned[:1, :, :, 1].expand(4, 5, 2, 4), turned[:, :, :, 1])


@pytest.mark.parametrize("name", ["trm_att", "srm_att", "hrm", "trm_gdn"])
def test_a_model_on_a_grid_reads_it_row_by_row_behind_its_prefix(name):
    settings = {"pos_encodings": "rope_2d", "rope_theta": 10.0, "grid_width": 8}
    model = build(variant(name, **SHAPE | {"puzzle_emb_len": 2, "puzzle_emb_ndim": 64}) | settings)
    expected = RotaryPositions(grid_places(prefix=2, cells=16, columns=8), head_width=16, theta=10.0)
    for half in ("H", "L"):
        rotary = model.network(half).rotary
        assert torch.equal(rotary.cos, expected.cos) and torch.equal(rotary.sin, expected.sin)
    assert not torch.equal(expected.cos, RotaryPositions(grid_places(2, 16, 4), 16, 10.0).cos)
    square = build(variant(name, **SHAPE) | {"pos_encodings": "rope_2d"})
    assert torch.equal(square.network("L").rotary.cos, RotaryPositions(grid_places(0, 16, 4), 16, 10_000.0).cos)


@pytest.mark.parametrize("axis", [-1, 0])
def test_the_normalised_swiglu_is_its_formula_and_does_not_grow(axis):
    torch.manual_seed(0)
    mlp = NormalisedSwiGLU(32, 4, axis)
    x = torch.randn(4, 32) if axis == -1 else torch.randn(32, 2, 2)
    flat = x.flatten(1) if axis == 0 else x.T
    gate, up = (mlp.gate_up_proj.weight @ flat).chunk(2)
    hidden = gate.sigmoid() * (gate * up) * ((gate * up).square().mean(0) + 1e-5).rsqrt()
    expected = (mlp.down_proj.weight @ hidden).view(x.shape) if axis == 0 else (mlp.down_proj.weight @ hidden).T
    assert torch.allclose(mlp(x), expected, atol=1e-5)
    plain = SwiGLU(32, 4, axis)
    plain.load_state_dict(mlp.state_dict())
    assert mlp(100 * x).norm() < 3 * mlp(x).norm() < plain(100 * x).norm() / 100


def test_hidden_matrices_are_those_of_the_networks():
    for name in VARIANTS:
        model = build(variant(name, **SHAPE, L_layers=2, H_layers=1, puzzle_emb_len=1, puzzle_emb_ndim=32))
        held, parameters = model.hidden_matrices(), dict(model.named_parameters())
        assert held.keys() == {key for key in parameters if ".layers." in key and key.endswith(".weight")}
        stacks = {key: 6 if "qkv_proj" in key else 1 for key in held}  # 2 heads: 3 x 2 matrices
        assert held == stacks and all(len(parameters[key]) % count == 0 for key, count in held.items())


def test_truncated_normal_has_the_standard_deviation_asked_for():
    torch.manual_seed(0)
    sample = truncated_normal_(torch.empty(200_000), std=0.5)
    assert sample.std() == pytest.approx(0.5, rel=0.01) and sample.abs().max() < 0.5 * 2 / 0.87


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"family": "gpt"}, "model family 'gpt' is unknown"),
        ({"hidden": 3}, "no setting 'hidden'"),
        ({"pos_encodings": "rotary"}, "pos_encodings 'rotary' is unknown"),
        ({"delta_rule": True}, "delta_rule and mlp_t are both True"),
        ({"mlp_t": False, "num_heads": 5}, "does not split into 5 heads"),
        ({"puzzle_emb_ndim": 64}, "puzzle_emb_ndim 64 does not fit"),
        ({"H_cycles": 0}, "H_cycles is 0"),
        ({"swiglu": "gated"}, "swiglu 'gated' is unknown: use plain, normalised"),
        ({"rope_theta": 0}, "rope_theta is 0"),
        ({"pos_encodings": "rope_2d", "seq_len": 12}, "seq_len 12 is no square grid: set grid_width"),
        ({"pos_encodings": "rope_2d", "grid_width": 5}, "grid_width is 5: .* a grid of 16 cells"),
        ({"pos_encodings": "rope_2d", "grid_width": 0}, "grid_width is 0"),
        ({"pos_encodings": "rope_2d", "mlp_t": False, "hidden_size": 36}, "2 heads of width 18 do not halve"),
        ({"family": "hrm", "mlp_t": True}, "'hrm' has no setting 'mlp_t'"),
    ],
)
def test_bad_descriptions_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        build({"family": "trm", "mlp_t": True, **SHAPE} | settings)
    with pytest.raises(InputError, match="model 'lstm' is unknown: use one of trm_mlp"):
        variant("lstm")


@pytest.mark.parametrize("name", TYPES)
def test_a_bfloat16_model_keeps_its_start_in_bfloat16(name):
    torch.manual_seed(0)
    wide = build(described(name, **SHAPE))
    torch.manual_seed(0)
    model = build(described(name, **SHAPE, forward_dtype="bfloat16"))
    trained_from = model.initial_state(2)
    assert trained_from.z_H.dtype == model.H_init.dtype == torch.bfloat16
    with model.precision(torch.float32):
        measured_from = model.initial_state(2)
    for measured, trained in zip(measured_from, trained_from, strict=True):
        assert measured.dtype == torch.float32 and torch.equal(measured, trained.float())
    # Weights that keep the start in float32 are of the same model.
    model.load_state_dict(wide.state_dict())
    assert model.H_init.dtype == torch.bfloat16 and torch.equal(model.H_init, wide.H_init.bfloat16())


@pytest.mark.parametrize(("tokens", "named"), [([[-1] * 16], "token -1"), ([[0.5] * 16], "token 0.5")])
def test_tokens_that_are_no_row_are_refused(model, tokens, named):
    with pytest.raises(ValueError, match=f"{named} is no row of the table: give whole numbers from 0 to 5"):
        model.embed(torch.tensor(tokens), torch.zeros(1))

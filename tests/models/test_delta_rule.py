"""The gated delta rule: its closed form against the recursion cell by cell, and its map against the module's output."""

import math

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from rrm.models.delta_rule import GatedDeltaRule, Reading, attention_map, gate_statistics, scan, scan_order
from rrm.models.layers import RotaryPositions, grid_places, rms_norm


def drawn(length: int, dtype: torch.dtype = torch.float32) -> Reading:
    """Unit keys, decays of 1 to e^-.1 a cell, and writes of 0 to 1."""
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 2, 3, length, 16, dtype=dtype) for _ in range(3))
    g, beta = torch.rand(2, 2, 2, 3, length, dtype=dtype)
    return Reading(rms_norm(q) / 4, rms_norm(k) / 4, v, -0.1 * g, beta)


def cell_by_cell(reading: Reading) -> tuple[torch.Tensor, torch.Tensor]:
    state = torch.zeros(*reading.k.shape[:-2], reading.k.shape[-1], reading.v.shape[-1], dtype=reading.k.dtype)
    reads = []
    for t in range(reading.k.shape[-2]):
        q, k, v = (of[..., t, :] for of in reading[:3])
        alpha, beta = reading.g[..., t, None, None].exp(), reading.beta[..., t, None]
        held = torch.einsum("...kv,...k->...v", alpha * state, k)
        state = alpha * state + torch.einsum("...k,...v->...kv", k, beta * (v - held))
        reads.append(torch.einsum("...kv,...k->...v", state, q))
    return torch.stack(reads, -2), state


def with_positions(length: int) -> tuple[GatedDeltaRule, torch.Tensor, RotaryPositions]:
    torch.manual_seed(0)
    rotary = RotaryPositions(grid_places(0, length, 4), head_width=16, theta=10.0)
    return GatedDeltaRule(32, scan_order(2, 0, length, 4)), torch.randn(3, length, 32), rotary


@pytest.mark.parametrize("chunk", [16, 64, 128])
def test_the_closed_form_is_the_recursion(chunk):
    """On 81 cells, of which no chunk is a divisor."""
    reading = drawn(81)
    (reads, state), (expected, last) = scan(reading, chunk), cell_by_cell(reading)
    assert (reads - expected).abs().max() < 6e-7 and (state - last).abs().max() < 6e-7
    exact = drawn(81, torch.float64)
    assert (scan(exact, chunk)[0] - cell_by_cell(exact)[0]).abs().max() < 1e-14


@pytest.mark.parametrize("length", [36, 81])
def test_the_map_is_its_closed_form(length):
    """A = tril(Q K^T * D) (I + tril(diag(beta) K K^T * D, -1))^-1 diag(beta) of the whole board at once."""
    reading = drawn(length, torch.float64)
    q, k, v, g, beta = reading
    c = g.cumsum(-1)
    D = (c.unsqueeze(-1) - c.unsqueeze(-2)).exp().tril()
    system = torch.eye(length) + (beta.unsqueeze(-1) * (k @ k.mT) * D).tril(-1)
    expected = (q @ k.mT * D) @ system.inverse() @ beta.diag_embed()
    A = attention_map(Reading(*(t.float() for t in reading)))
    assert (A - expected).abs().max() < 6e-7 and (expected @ v - cell_by_cell(reading)[0]).abs().max() < 1e-13
    assert not A.triu(1).any() and (A < 0).any()


def test_without_decay_a_full_write_replaces_the_value_of_its_key():
    """Orthogonal keys, beta 1 and alpha 1: a key reads the last value that was written for it."""
    keys = torch.eye(4)[torch.tensor([0, 1, 0, 2])].expand(1, 1, 1, 4, 4)
    values = torch.arange(4.0).view(1, 1, 1, 4, 1)
    still = Reading(keys, keys, values, torch.zeros(1, 1, 1, 4), torch.ones(1, 1, 1, 4))
    _, state = scan(still)
    assert torch.equal(state[0, 0, 0], torch.tensor([[2.0], [1.0], [3.0], [0.0]]))
    assert torch.equal(attention_map(still)[0, 0, 0, 2], torch.tensor([0.0, 0.0, 1.0, 0.0]))


def test_every_second_head_reads_a_grid_column_by_column():
    assert scan_order(2, 1, 6, 3).tolist() == [[0, 1, 2, 3, 4, 5, 6], [0, 1, 4, 2, 5, 3, 6]]
    assert scan_order(2, 1, 3).tolist() == [[0, 1, 2, 3]] * 2
    module, x, rotary = with_positions(8)
    values = module.qkv_proj(x).unflatten(-1, (6, -1)).transpose(1, 2)[:, 4:]
    forwards = module.reading(x, rotary).v[:, 0]
    assert torch.equal(forwards[:, 0], values[:, 0])
    assert torch.equal(forwards[:, 1], values[:, 1].unflatten(1, (2, 4)).transpose(1, 2).flatten(1, 2))


def test_weights_times_values_are_the_output():
    """And each position reads those before and behind it."""
    module, x, rotary = with_positions(16)
    weights = module.attention_weights(x, rotary)
    assert weights.shape == (3, 2, 16, 16) and bool((weights != 0).all())
    values = module.qkv_proj(x).unflatten(-1, (6, -1)).transpose(1, 2)[:, 4:]
    found = module.o_proj((weights @ values).transpose(1, 2).flatten(2))
    assert (found - module(x, rotary)).abs().max() < 2e-6


def test_a_board_read_from_its_end_is_the_board_with_the_ways_exchanged():
    module, x, _ = with_positions(16)
    expected = module(x, None).flip(1)
    with torch.no_grad():
        for parameter in (module.a_proj.weight, module.b_proj.weight):
            parameter.copy_(parameter.unflatten(0, (2, -1)).flip(0).flatten(0, 1))
        for parameter in (module.A_log, module.dt_bias):
            parameter.copy_(parameter.flip(0))
    assert torch.allclose(module(x.flip(1), None), expected, atol=1e-6)


def test_first_and_second_derivatives():
    torch.manual_seed(0)
    module = GatedDeltaRule(8, scan_order(2, 1, 4, 2)).double()
    x = torch.randn(1, 5, 8, dtype=torch.float64, requires_grad=True)
    assert gradcheck(module, (x, None), check_forward_ad=True) and gradgradcheck(module, (x, None))


def test_statistics_of_gates_that_do_not_read_their_input():
    """g = -e^A_log softplus(dt_bias), beta = 1/2; and one cell leaves the state beta k v^T."""
    module, x, _ = with_positions(16)
    with torch.no_grad():
        module.a_proj.weight.zero_(), module.b_proj.weight.zero_()
        module.A_log.fill_(math.log(3.0)), module.dt_bias.fill_(math.log(math.expm1(0.1)))
        found = gate_statistics(module.reading(x, None))
        values = module.qkv_proj(x[:, :1]).unflatten(-1, (6, -1))[:, 0, 4:]
        one = GatedDeltaRule(32, scan_order(2, 0, 1))
        one.load_state_dict(module.state_dict())
        alone = gate_statistics(one.reading(x[:, :1], None))
    expected = {"alpha": math.exp(-0.3), "half_life": math.log(2) / 0.3, "beta": 0.5, "alpha_spread": 0.0, "writing": 0}
    for name, value in expected.items():
        assert torch.allclose(getattr(found, name), torch.full((3, 2, 2), float(value)), atol=1e-6)
    assert torch.allclose(alone.state_norm, values.norm(dim=-1).unsqueeze(1).expand(3, 2, 2) / 2, rtol=1e-4)


def test_bfloat16_solves_in_float32():
    module, x, rotary = with_positions(80)
    assert module.reading(x.bfloat16(), rotary).k.dtype == torch.float32
    found, exact = module(x.bfloat16(), rotary), module(x, rotary)
    assert found.dtype == torch.bfloat16 and (found - exact).norm() < 0.01 * exact.norm()

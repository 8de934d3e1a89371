"""Muon: the orthogonal matrix that it moves along, and which parameters it moves."""

import pytest
import torch

from rrm.errors import InputError
from rrm.models import build, variant
from rrm.training.muon import UPDATE_SCALES, Muon, MuonSettings, orthogonalized
from rrm.training.registry import OPTIMIZERS

SHAPE = {"vocab_size": 6, "seq_len": 16, "hidden_size": 32, "num_heads": 2, "H_cycles": 2, "L_cycles": 2}


@pytest.mark.parametrize("shape", [(48, 48), (16, 96), (96, 16), (3, 24, 24)])
def test_newton_schulz_approaches_the_nearest_orthogonal_matrix(shape):
    torch.manual_seed(0)
    U, _, Vh = torch.linalg.svd(torch.randn(shape, dtype=torch.float64), full_matrices=False)
    S = torch.logspace(0, -1.2, min(shape[-2:]), dtype=torch.float64)
    G = U * S @ Vh
    found = U.mT @ orthogonalized(1e3 * G, steps=5) @ Vh.mT
    values = found.diagonal(dim1=-2, dim2=-1)
    assert torch.allclose(found, torch.diag_embed(values), atol=1e-10)  # the singular vectors are those of G
    assert 0.65 < values.min() and values.max() < 1.25
    first, last = ((orthogonalized(G, steps) - U @ Vh).norm() / (U @ Vh).norm() for steps in (1, 5))
    assert last < 0.3 < 0.4 < first
    assert torch.allclose(orthogonalized(G.float(), 5).double(), orthogonalized(G, 5), atol=1e-3)


def test_two_steps_by_hand():
    torch.manual_seed(0)
    p = torch.nn.Parameter(torch.randn(6, 4, dtype=torch.float64))
    settings = {"momentum": 0.9, "nesterov": True, "ns_steps": 3, "update_scale": "original"}
    optimizer = Muon([{"params": [p], "stacked": 1, "lr": 0.1, "weight_decay": 0.5, **settings}], {})
    expected, m = p.detach().clone(), torch.zeros(6, 4, dtype=torch.float64)
    for _ in range(2):
        p.grad = torch.randn(6, 4, dtype=torch.float64)
        optimizer.step()
        m = 0.9 * m + 0.1 * p.grad
        expected = expected * (1 - 0.1 * 0.5) - 0.1 * 1.5**0.5 * orthogonalized(0.1 * p.grad + 0.9 * m, 3)
        assert torch.allclose(p, expected, atol=1e-12)


def test_the_other_parameters_are_those_of_adamw():
    torch.manual_seed(0)
    ours, theirs = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    theirs.load_state_dict(ours.state_dict())
    mine = MuonSettings(betas=(0.8, 0.9), eps=1e-6).build(ours, 0.1, 0.5)
    reference = torch.optim.AdamW(theirs.parameters(), lr=0.1, betas=(0.8, 0.9), eps=1e-6, weight_decay=0.5)
    for _ in range(3):
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        mine.step()
        reference.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("by_head", [False, True])
def test_heads_on_their_own(by_head):
    torch.manual_seed(0)
    model = build(variant("trm_att", **SHAPE))
    optimizer = MuonSettings(by_head=by_head, hidden_lr=0.1, momentum=0.0).build(model, 1e-3, 0.0)
    assert [(g["lr"], len(g["params"])) for g in optimizer.param_groups if not g["stacked"]] == [(1e-3, 4)]
    weight = model.L_level.layers[0].self_attn.qkv_proj.weight
    before = weight.detach().clone()
    weight.grad = torch.randn_like(weight)
    optimizer.step()
    # 2 heads of width 16: Q, K and V are six matrices [16, 32].
    parts = weight.grad.split(16 if by_head else 96)
    scale = UPDATE_SCALES["match_rms_adamw"](len(parts[0]), 32)
    expected = torch.cat([orthogonalized(part, 5) for part in parts])
    assert torch.allclose(weight, before - 0.1 * scale * expected, atol=1e-5)


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("name", ["trm_gdn", "gated_mlp"])
def test_weight_decay_spares_rates_and_gates(name, kind):
    """As the public code of delta rules and of state space models does (`_no_weight_decay` of A_log and dt_bias)."""
    tokens = {"vocab_size": 9, "classes": 7, "seq_len": 4, "hidden_size": 8, "mlp_size": 8, "num_layers": 2}
    model = build(variant(name, **SHAPE) if name == "trm_gdn" else {"family": name, **tokens})
    spared = model.undecayed()
    assert spared
    before = {key: p.detach().clone() for key, p in model.named_parameters()}
    optimizer = OPTIMIZERS[kind]().build(model, 0.1, 0.5)
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    moved = {key for key, p in model.named_parameters() if not torch.equal(p, before[key])}
    assert not moved & spared and moved == {key for key, p in before.items() if p.any()} - spared


def test_bad_settings_are_refused():
    for settings, message in (
        ({"momentum": 1.0}, "momentum is 1.0"),
        ({"ns_steps": 0}, "ns_steps is 0"),
        ({"update_scale": "none"}, "update_scale 'none' is unknown: use one of original, match_rms_adamw"),
        ({"hidden_lr": 0.0}, "hidden_lr is 0.0"),
    ):
        with pytest.raises(InputError, match=message):
            MuonSettings(**settings)

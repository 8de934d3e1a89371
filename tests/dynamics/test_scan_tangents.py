"""Tangents through the gated delta rule, over the borders of its chunks and along both orders of a grid."""

import pytest
import torch

from rrm.dynamics.tangents import push, push_by_jvp
from rrm.models import build, variant
from rrm.models.delta_rule import GatedDeltaRule


@pytest.mark.parametrize("chunk", [3, 32])
def test_tangents_by_hand_are_those_of_automatic_differentiation(chunk, monkeypatch):
    monkeypatch.setattr(GatedDeltaRule, "chunk", chunk)
    torch.manual_seed(0)
    shape = {
        "vocab_size": 6,
        "seq_len": 8,
        "hidden_size": 16,
        "num_heads": 2,
        "puzzle_emb_len": 1,
        "puzzle_emb_ndim": 16,
    }
    model = build(variant("trm_gdn", **shape) | {"pos_encodings": "rope_2d", "grid_width": 4}).double()
    u, du = torch.randn(2, 9, 16, dtype=torch.float64), torch.randn(3, 2, 9, 16, dtype=torch.float64)
    with torch.no_grad():
        by_hand, by_jvp = push(model.network("L"), u, du), push_by_jvp(model.network("L"), u, du)
    for found, expected in zip(by_hand, by_jvp, strict=True):
        assert (found - expected).abs().max() < 1e-12

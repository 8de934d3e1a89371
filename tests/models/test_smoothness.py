import math

import pytest
import torch

from rrm.models.smoothness import low_frequencies
from rrm.training.assemble import assemble
from rrm.training.grokking import grokking

P = 31


def wave(k, l):
    a, b = torch.meshgrid(torch.arange(P), torch.arange(P), indexing="ij")
    return torch.cos(2 * math.pi * (k * a + l * b) / P).unsqueeze(-1) + 5


# Fault 4 of an earlier system: its smoothness was documented with the opposite sign, and its mean was left in.
def test_a_smooth_table_has_low_frequencies_and_a_rough_one_has_none():
    assert low_frequencies(wave(1, 0)).item() == pytest.approx(1)
    assert low_frequencies(wave(15, 14)).item() == pytest.approx(0, abs=1e-6)
    both = torch.cat([wave(1, -2), 3 * wave(0, 12)], dim=-1)
    assert low_frequencies(both).item() == pytest.approx(0.1) and low_frequencies(both, 0.4).item() == pytest.approx(1)
    noise = torch.randn(P, P, 40, generator=torch.Generator().manual_seed(0))
    assert low_frequencies(noise).item() == pytest.approx(math.pi / 16, abs=0.02)


def test_the_regulariser_makes_a_network_smooth():
    torch.set_num_threads(1)
    shape = {"network": {"hidden_size": 8, "mlp_size": 32}, "steps": 60, "evaluations": 1, "lr": 0.01}
    found = []
    for smoothness in (0.0, 10.0):
        run = assemble(grokking(p=11, train_share=0.6, smoothness=smoothness, smooth_every=2, **shape))
        [*run.run()]
        found.append(run.objective.roughness().item())
    assert found[1] < 0.5 * found[0]

"""The probes of waves, on networks that are made of them."""

import math

import numpy as np
import pytest
import torch

from rrm.models import build, described
from rrm.probes import PROBES, Subject, View
from rrm.tasks.modular import ModularArithmetic
from rrm.training.token_rows import TokenRows


def watched(operations=("add",), p=11):
    table = ModularArithmetic(p, operations, 0.5)
    shape = {"vocab_size": table.vocab_size, "classes": p, "hidden_size": 4, "reads": "operands"}
    torch.manual_seed(0)
    model = build(described("token_mlp", **shape))
    tokens, targets = torch.from_numpy(table.tokens), torch.from_numpy(table.targets)
    rows = TokenRows(model, tokens, targets, torch.nn.functional.cross_entropy, table)
    return model, View(Subject(model, torch.optim.SGD(model.parameters(), 0.1), rows), 1)


def test_one_wave_and_none():
    model, view = watched()
    waves = np.cos(2 * np.pi * np.outer(np.arange(11), [3, 3, 3, 3]) / 11)
    with torch.no_grad():
        model.embedding[:11] = torch.from_numpy(waves)
    found = PROBES["fourier"]().measure(view)
    # Five frequencies, of which one has everything.
    assert found["gini"].item() == pytest.approx(1 - 1 / 5) and found["keys"].item() == 1


def test_structure_of_a_network_that_answers_by_one_wave(monkeypatch):
    model, view = watched(("subtract",), 11)
    a, b, c = (torch.arange(11.0),) * 3

    def answer(tokens):
        angle = 2 * math.pi * 3 * (a[tokens[:, 0], None] - b[tokens[:, 2], None] - c) / 11
        return 20 * angle.cos()

    monkeypatch.setattr(model, "forward", answer)
    found = PROBES["structure"]().measure(view)
    assert found["explained"].item() == pytest.approx(1) and found["inverse"].item() == pytest.approx(0, abs=1e-6)
    assert found["restricted_loss"].item() < 0.1 and found["excluded_loss"].item() == pytest.approx(math.log(11))


def test_each_operation_has_its_numbers_and_a_composite_modulus_no_product():
    _, view = watched(("add", "multiply"), 7)
    assert set(PROBES["fourier"]().measure(view)) == {"gini/add", "keys/add", "gini/multiply", "keys/multiply"}
    _, view = watched(("add", "multiply"), 9)
    assert set(PROBES["fourier"]().measure(view)) == {"gini/add", "keys/add"}
    assert PROBES["fourier"].lacking(torch.nn.Linear(2, 2), None) == "embedded numbers"

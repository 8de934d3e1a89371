"""Optimizers and averaging against values worked out by hand."""

import math

import pytest
import torch

from rrm.models.layers import PuzzleTable
from rrm.training.optim import EMA, AdamATan2, SignSGD


def test_adam_atan2_over_three_steps():
    p = torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimizer = AdamATan2([p], lr=0.1, betas=(0.9, 0.95), weight_decay=0.5)
    gradients = [(0.5, -1.0), (0.25, 3.0), (-0.75, 0.0)]
    expected, m, v = [1.0, -2.0], [0.0, 0.0], [0.0, 0.0]
    for t, gradient in enumerate(gradients, start=1):
        p.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        for i, g in enumerate(gradient):
            m[i], v[i] = 0.9 * m[i] + 0.1 * g, 0.95 * v[i] + 0.05 * g * g
            direction = math.atan2(m[i], math.sqrt(v[i]) / math.sqrt(1 - 0.95**t))
            expected[i] = expected[i] * (1 - 0.1 * 0.5) - 0.1 / (1 - 0.9**t) * direction
        assert p.tolist() == pytest.approx(expected, rel=1e-12)


def test_first_adam_atan2_step_is_almost_the_learning_rate():
    p = torch.nn.Parameter(torch.zeros(3))
    p.grad = torch.tensor([1e-6, -1.0, 1e6])
    AdamATan2([p], lr=1e-3).step()
    assert p.tolist() == pytest.approx([-0.9967e-3, 0.9967e-3, -0.9967e-3], rel=1e-4)


def test_sign_sgd_touches_only_the_rows_it_saw():
    table = PuzzleTable(4, 2).train()
    table.weights.copy_(torch.tensor([[1.0, 1], [2, 2], [3, 3], [4, 4]]))
    optimizer = SignSGD(table, lr=0.1, weight_decay=0.5)
    # Identifier 1 comes twice with gradients that partly cancel; identifier 3 has no gradient in its second column.
    rows = table(torch.tensor([1, 3, 1]))
    (rows * torch.tensor([[3.0, -1], [-2, 0], [-1, 1]])).sum().backward()
    optimizer.step()
    assert table.weights.tolist() == [[1, 1], pytest.approx([1.8, 1.9]), [3, 3], pytest.approx([3.9, 3.8])]
    optimizer.step()  # the gradient was used up
    assert table.weights[0].tolist() == [1, 1] and table.weights[1].tolist() == pytest.approx([1.8, 1.9])


def test_ema_over_three_steps():
    model = torch.nn.Linear(1, 1, bias=False)
    model.register_buffer("table", torch.zeros(1))
    with torch.no_grad():
        model.weight.fill_(1.0)
        ema = EMA(model, decay=0.9)
        expected = 1.0
        for value in (2.0, 0.0, 5.0):
            model.weight.fill_(value)
            model.table.fill_(value)
            ema.update(model)
            expected = 0.9 * expected + 0.1 * value
    weights = ema.weights(model)
    assert weights["weight"].item() == pytest.approx(expected, rel=1e-6) and weights["table"].item() == 5.0

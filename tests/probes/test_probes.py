"""Every probe where the answer is known: quadratics, linear networks, whole Hessians, moments made by hand."""

import math

import pytest
import torch

from rrm.probes import PROBES, View
from tests.probes.subjects import Function, Net, NetRows, stepped, subject

H = torch.tensor([4.0, 1.0, 0.25], dtype=torch.float64)


def bowl(w, row):
    return 0.5 * (H * w.square()).sum()


def numbers(found):
    return {name: value.item() for name, value in found.items()}


def test_weight_and_update_norms():
    watched = subject(Function([3.0, 4.0, 0.0], bowl), lr=0.5)
    watched.optimizer.param_groups[0]["weight_decay"] = 0.0
    view = stepped(watched)  # w - .5 H w
    assert numbers(PROBES["update_norm"]().measure(view))["total"] == pytest.approx(math.hypot(6.0, 2.0))
    found = numbers(PROBES["weight_norm"]().measure(view))
    assert found == pytest.approx({"total": math.hypot(3.0, 2.0), "decayed": 0.0, "layer/w": math.hypot(3.0, 2.0)})
    watched.optimizer.param_groups[0]["weight_decay"] = 0.1
    assert numbers(PROBES["weight_norm"]().measure(View(watched, 1)))["decayed"] == pytest.approx(found["total"])


def test_layers_of_a_network():
    found = PROBES["weight_norm"]().measure(View(subject(Net(hidden=4)), 1))
    assert {"layer/table", "layer/layers.0", "layer/head"} < found.keys()


def test_jacobian_of_a_linear_map_is_its_squared_norm():
    model = Net()
    watched, probe = subject(model), PROBES["jacobian"]()
    means = [numbers(probe.measure(View(watched, step))) for step in range(100)]
    squared = sum(found["squared_frobenius"] for found in means) / len(means)
    assert squared == pytest.approx(model.head.weight.square().sum().item(), rel=0.05)
    variance = watched.train().logits.var(-1, correction=0).mean().item()
    assert means[0]["relative"] == pytest.approx(means[0]["squared_frobenius"] / variance)


def test_path_of_gradient_descent_on_a_bowl():
    """The gradient action telescopes to the fall of the loss, the kinetic action is half of it, for small steps."""
    start, lr, steps = [1.0, -2.0, 3.0], 1e-3, 300
    watched = subject(Function(start, bowl), lr=lr)
    start = torch.tensor(start, dtype=torch.float64)
    path = PROBES["path"]()
    path.begin(View(watched, 0))
    for step in range(1, steps + 1):
        path.after_step(stepped(watched, step))
    found = numbers(path.measure(View(watched, steps)))
    end = start * (1 - lr * H) ** steps
    fall = (bowl(start, 0) - bowl(end, 0)).item()
    assert found["tau"] == pytest.approx(lr * steps)
    assert found["displacement"] == pytest.approx((end - start).norm().item())
    assert found["gradient_action"] == pytest.approx(fall, rel=4e-3)
    assert found["kinetic_action"] == pytest.approx(found["gradient_action"] / 2)
    assert found["length"] > found["displacement"]
    assert found["kinetic_action"] > found["length"] ** 2 / (2 * found["tau"])


def test_function_action_is_one_from_the_uniform_answer_to_a_certain_one():
    model = Net()
    with torch.no_grad():
        model.table.weight.zero_(), model.head.weight.zero_(), model.head.bias.zero_()
    rows = NetRows(model)
    watched = subject(model, rows, held_out=NetRows(model, 7))
    path = PROBES["path"]()
    path.begin(View(watched, 0))
    watched.remember()
    for step in range(1, 201):
        with torch.no_grad():
            model.head.bias[2] = 30 * step / 200
        path.after_step(View(watched, step))
        watched.remember()
    found = numbers(path.measure(View(watched, 200)))
    assert found["function_action"] == pytest.approx(1.0, abs=1e-3)
    assert found["function_action_train"] == pytest.approx(1.0, abs=1e-3)

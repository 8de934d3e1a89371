"""The map of an optimizer's step: it is the optimizer's, its tangents are its derivatives, and twins agree or jump."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rrm.dynamics.jacobian import jacobian_spectrum
from rrm.dynamics.lyapunov import map_spectrum
from rrm.dynamics.training_map import (
    AdamATan2Rule,
    AdamWRule,
    GradientDescentRule,
    TrainingMap,
    flat_weights,
    fresh_state,
    twin_beside_tangent,
    with_weights,
)
from rrm.errors import InputError
from rrm.training.optim import AdamATan2

RULES = {
    "gradient descent": (
        GradientDescentRule(lr=0.1, weight_decay=0.2),
        lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.2),  # the coupled decay is the same without momentum
    ),
    "adamw": (
        AdamWRule(lr=0.03, weight_decay=0.2, betas=(0.9, 0.98)),
        lambda p: torch.optim.AdamW(p, lr=0.03, weight_decay=0.2, betas=(0.9, 0.98)),
    ),
    "adam_atan2": (
        AdamATan2Rule(lr=0.03, weight_decay=0.2),
        lambda p: AdamATan2(p, lr=0.03, weight_decay=0.2),
    ),
}


def small_training(rule, activation=nn.GELU):
    """A network of 30 weights on 8 rows."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), activation(), nn.Linear(4, 2), nn.Linear(2, 2, bias=False)).double()
    inputs, targets = torch.randn(8, 3, dtype=torch.float64), torch.randint(2, (8,))

    def loss(w):
        return F.cross_entropy(with_weights(model, w, inputs), targets)

    return model, inputs, targets, TrainingMap(loss, rule, fresh_state(flat_weights(model), rule))


@pytest.mark.parametrize("name", RULES)
def test_the_map_is_the_step_of_the_optimizer(name):
    rule, build = RULES[name]
    model, inputs, targets, system = small_training(rule)
    z = system.run(0, 5, system.start())
    optimizer = build(model.parameters())
    for _ in range(5):
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
    assert torch.allclose(system.parts(z)[0], flat_weights(model), atol=1e-13, rtol=0)


@pytest.mark.parametrize("name", RULES)
def test_tangents_are_derivatives_of_the_step(name):
    *_, system = small_training(RULES[name][0])
    # Not from the start, where v is 0 and its root has no derivative.
    late = TrainingMap(system.loss, system.rule, system.run(0, 3, system.start()), first=3)
    n = late.start().shape[1]
    basis = torch.linalg.qr(torch.randn(n, 3, dtype=torch.float64))[0]
    found = map_spectrum(late, None, 3, 6, Q0=basis)
    oracle = jacobian_spectrum(late, 6, Q0=basis)
    assert torch.allclose(found.log_R, oracle.log_R, atol=1e-9)
    alone = map_spectrum(late, None, 1, 6, Q0=basis[:, :1])
    assert torch.allclose(alone.log_R[..., 0], found.log_R[..., 0], atol=1e-12)


def test_norms_agree_on_the_growth_of_a_long_window():
    *_, system = small_training(RULES["adamw"][0])
    z = system.run(0, 20, system.start())
    late = TrainingMap(system.loss, system.rule, z, first=20)
    n = z.shape[1] // 3
    found = map_spectrum(late, None, 1, 300, Q0=torch.eye(3 * n, dtype=torch.float64)[:, :1])
    sizes = late.norms(300, found.z, found.Q.mT)
    assert set(sizes) == {"state", "weights", "update"} and abs(float(sizes["state"]) - 1) < 1e-12
    assert all(abs(float(size.log())) / 300 < 0.01 for size in sizes.values())


def test_twin_and_tangent_agree_on_a_smooth_network():
    *_, system = small_training(RULES["adamw"][0])
    late = TrainingMap(system.loss, system.rule, system.run(0, 20, system.start()), first=20)
    # A random direction would push second moments below 0: one in the weights, let run until the moments follow.
    start = torch.eye(late.start().shape[1], dtype=torch.float64)[:, :1]
    aligned = map_spectrum(late, None, 1, 30, Q0=start)
    later = TrainingMap(system.loss, system.rule, aligned.z, first=50)
    found = twin_beside_tangent(later, aligned.Q[..., 0], 40)
    assert torch.allclose(found.twin, found.tangent, atol=1e-5) and not found.jumps.any()


def test_a_unit_that_wakes_in_the_twin_alone_is_a_jump():
    # relu(w_0) is dead at w_0 just below 0: its gradient was 0 all along, and Adam's first step has size lr.
    rule = AdamWRule(lr=0.01)
    w = torch.tensor([[-1e-9, 1.0]], dtype=torch.float64)
    system = TrainingMap(lambda w: torch.relu(w[0]) + w[1].square(), rule, fresh_state(w, rule))
    direction = torch.tensor([[1.0, 0, 0, 0, 0, 0]], dtype=torch.float64)
    found = twin_beside_tangent(system, direction, 3)
    assert found.jumps[0].item() and float(found.twin[0]) > 13 and abs(float(found.tangent[0])) < 1e-12


def test_bad_input_is_told():
    for settings in ({"lr": 0}, {"lr": float("nan")}, {"lr": 1, "weight_decay": -1}, {"lr": 1, "betas": (0.9, 1.0)}):
        with pytest.raises(InputError, match=": use "):
            AdamWRule(**settings)
    with pytest.raises(ValueError, match="z0 has 4 entries"):
        TrainingMap(torch.sum, AdamWRule(lr=1), torch.zeros(1, 4))

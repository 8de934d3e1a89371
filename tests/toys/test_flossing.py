"""The toy of gradient flossing: its tasks, its Jacobian, and what flossing does to a small network."""

import runpy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from rrm.dynamics import window_exponents
from rrm.errors import InputError
from rrm.toys.delayed_bits import TASKS, TanhNetwork
from rrm.toys.flossing import PRESETS, ToySettings, toy_trainer, train_toy

TINY = ToySettings(units=12, delay=2, length=20, batch=4, budget=60, schedule="pre", steps=30, k=6, window=16,
                   transient=4, lr=1e-2)  # fmt: skip


def test_tasks():
    bits = torch.tensor([1.0, 0, 0, 1, 1, 0, 1, 0]).unsqueeze(1)
    target, first = TASKS["copy"](bits, 3)
    assert target[first:, 0].tolist() == [1, 0, 0, 1, 1] and first == 3
    target, first = TASKS["xor"](bits, 3)
    assert target[first:, 0].tolist() == [1 ^ 1, 0 ^ 1] and first == 6


def test_the_jacobian_is_that_of_the_executed_map():
    """d r(t+1) / d r(t) = diag(1 - r(t+1)^2) J of the state after the non-linearity, against central differences.

    The public minimal example takes J diag(1 / cosh(r)^2) with r a tanh already: another matrix, other exponents.
    """
    network = TanhNetwork(8, gain=1.5, seed=0)
    bits = torch.randint(0, 2, (40, 1), generator=torch.Generator().manual_seed(1)).double()
    orbit, J = network.orbit(bits), network.J.detach()
    with torch.no_grad():
        r, eye, logs = orbit.start(), torch.eye(8, dtype=torch.float64), []
        for t in range(3):
            r = orbit.step(t, r)
        after, pushed = orbit.push(3, r, eye.unsqueeze(0))
        jacobian = pushed[0].T
        difference = torch.stack(
            [(orbit.step(3, r + 1e-6 * e) - orbit.step(3, r - 1e-6 * e))[0] / 2e-6 for e in eye], dim=1
        )
        assert torch.allclose(jacobian, difference, atol=1e-9)
        assert torch.allclose(jacobian, (1 - after[0] ** 2).unsqueeze(1) * J, atol=1e-14)
        public = J / r[0].cosh().square()
        assert (public - difference).norm() > 0.3 * difference.norm()
        # The same orbit with the public formula: an exponent off by more than any estimate could be.
        r, v = orbit.start(), eye[:1].T
        for t in range(40):
            r = orbit.step(t, r)
            v = J / r[0].cosh().square() @ v
            logs.append(v.norm().log())
            v = v / v.norm()
        true = window_exponents(orbit, 1, 40, transient=10)[0, 0]
    assert abs(torch.stack(logs[10:]).mean() - true) > 0.1


def test_logits_follow_the_orbit():
    network = TanhNetwork(6, gain=1.0, seed=0)
    bits = torch.tensor([[1.0, 0], [1, 1], [0, 1]]).double()
    with torch.no_grad():
        r, orbit = network.start.tanh().expand(2, -1), network.orbit(bits)
        for t in range(2):
            r = orbit.step(t, r)
        x = r @ network.J.T + network.b + bits[2].unsqueeze(1) * network.w
        assert torch.allclose(network(bits)[2], x @ network.readout + network.offset, atol=1e-12)


def test_flossing_brings_exponents_to_zero_and_arms_share_start_and_price():
    torch.set_num_threads(1)
    plain, flossed = train_toy(replace(TINY, schedule="none"), 0), train_toy(TINY, 0)
    assert plain.conditioning["initial"] == flossed.conditioning["initial"] and plain.accuracy[0] <= 1
    before, after = (flossed.conditioning[moment] for moment in ("initial", "flossed"))
    assert abs(sum(after.exponents[:6])) < 0.8 * abs(sum(before.exponents[:6]))
    assert (
        after.log10_condition > after.log10_condition_k > 0
        and after.gradient_norm > 0
        and "flossed" not in plain.conditioning
    )
    # 30 steps x 7 passes x 16 calls of one row against 4 rows of 20 calls.
    assert TINY.episode_cost == 42 and len(flossed.accuracy) == 60 - 42 and len(plain.accuracy) == 60
    assert TINY.spent()[0] == 42 and TINY.spent()[-1] == 59
    both = replace(PRESETS["paper"], schedule="pre_inter")
    assert both.episode_epochs == [0, 100, 200] and both.epochs == 3001 - 1307


def test_the_toy_resumes_bit_for_bit_and_pays_for_flossing(tmp_path):
    torch.set_num_threads(1)
    arm = replace(TINY, schedule="pre_inter", budget=300, every=20, episodes=2)
    whole, broken, resumed = (toy_trainer(arm, 1) for _ in range(3))
    (metrics,) = whole.run()
    while broken.step < 30:
        broken._train_step()
    broken.save(tmp_path, "bits")
    resumed.load(tmp_path)
    [*resumed.run()]
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name
    price = 3 * arm.batch * arm.length
    assert whole.total_steps == arm.epochs == 300 - 3 * 42
    assert metrics["call_units"] == resumed.call_units == 300 * price


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "and"}, "task 'and' is unknown: use one of copy, xor"),
        ({"k": 13}, "k is 13: a network of 12 units has 1 to 12 exponents"),
        ({"length": 4}, "length is 4: a delay of 2 needs more than 4"),
        ({"budget": 40}, "budget 40 leaves -2 training steps"),
    ],
)
def test_bad_settings_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        replace(TINY, **change)


def test_the_script_says_what_its_seeds_allow():
    script = runpy.run_path(str(Path(__file__).parents[2] / "analysis" / "flossing_toy.py"))

    def said(**final):
        runs = {arm: [SimpleNamespace(final=one, conditioning={}) for one in values] for arm, values in final.items()}
        return "\n".join(script["table"](runs))

    # Gains .1, .2, .3: mean .2, standard error .0577, Student's t 4.303 on 2 degrees of freedom.
    both = said(none=[0.5, 0.5, 0.5], pre=[0.6, 0.7, 0.8], inter=[0.6, 0.6, 0.6])
    assert "pre        0.700 [0.452, 0.948]; 0.60 0.70 0.80" in both
    assert "pre against none: no difference is shown (3 seeds would find about 0.33 4 times in 5); mean +0.200" in both
    assert "inter against none: the seeds have no spread to judge by; mean +0.100, by seed" in both
    two = said(none=[0.5, 0.5, 0.5], pre=[0.60, 0.61, 0.62], inter=[0.4, 0.3, 0.5])
    assert "pre against none: better after Holm's correction for 2 arms (p = 0.0055); mean +0.110" in two
    one = said(none=[0.5], pre=[0.6])
    assert "pre against none: the seeds have no spread to judge by; mean +0.100, by seed +0.10" in one

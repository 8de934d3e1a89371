"""Every probe where the answer is known: quadratics, linear networks, whole Hessians, moments made by hand."""

import math

import pytest
import torch
from scipy.sparse.linalg import eigsh

from rrm.models import build
from rrm.models.layers import Attention
from rrm.models.transformer import CausalAttention
from rrm.probes import PROBES, View, llc
from rrm.probes.adam import adam_atan2, adamw
from rrm.probes.heads import head_numbers
from rrm.probes.hessian import flat_product
from rrm.probes.llc import learning_coefficient, r_hat
from rrm.probes.path import NAMES
from rrm.tasks.modular import ModularArithmetic
from rrm.training.losses import cross_entropy
from rrm.training.registry import OPTIMIZERS
from rrm.training.token_rows import TokenRows
from tests.probes.subjects import DeltaNet, Function, Net, NetRows, stepped, subject

H = torch.tensor([4.0, 1.0, 0.25], dtype=torch.float64)


def bowl(w, row):
    return 0.5 * (H * w.square()).sum()


def token_rows(model, shift=0):
    tokens = torch.tensor([[a, 7, (a + shift + b) % 7, 8] for a in range(7) for b in range(3)])
    targets = (tokens[:, 0] + tokens[:, 2]) % 7
    return TokenRows(model, tokens, targets, cross_entropy, ModularArithmetic(7, ("add",), 0.5))


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


# Fault 3 of an earlier system: a squared norm under the name of the norm.
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
    # A checkpoint of an older rrm has each sum by its name.
    kept, again = path.tensors(), PROBES["path"]()
    older = dict(zip(NAMES, kept["sums"], strict=True)) | {"start/0": kept["start/0"]}
    again.load(View(watched, steps), older)
    assert numbers(again.measure(View(watched, steps))) == found


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


def test_curvature_of_a_bowl():
    """Signs make the trace of a diagonal Hessian exact, and one Krylov space holds all of three eigenvectors."""
    watched = subject(Function([1.0, 1.0, 1.0], bowl))
    found = numbers(PROBES["hessian"]().measure(View(watched, 1)))
    assert found == pytest.approx({"trace": 5.25, "trace/w": 5.25, "largest": 4.0, "residual": 0.0}, abs=1e-10)


def hessian_of(watched):
    """The whole Hessian of the mean loss, by PyTorch."""
    names, sizes = watched.names, [p.numel() for p in watched.parameters.values()]
    flat = torch.cat([p.detach().flatten() for p in watched.parameters.values()])

    def loss(w):
        parts = w.split(sizes)
        shapes = [p.shape for p in watched.parameters.values()]
        return watched.train.at(
            {n: part.view(s) for n, part, s in zip(names, parts, shapes, strict=True)}
        ).losses.mean()

    return torch.autograd.functional.hessian(loss, flat)


def test_curvature_of_a_network_is_that_of_its_whole_hessian():
    watched = subject(Net(hidden=4))
    H = hessian_of(watched)
    probe = PROBES["hessian"]()
    found = [numbers(probe.measure(View(watched, step))) for step in range(60)]
    # The variance of Hutchinson's estimator by signs is twice the sum of the squares beside the diagonal.
    spread = (2 * (H.square().sum() - H.diagonal().square().sum()) / len(found)).sqrt().item()
    assert spread < 0.1 * H.trace()
    assert sum(one["trace"] for one in found) / len(found) == pytest.approx(H.trace().item(), abs=3 * spread)
    head = sum(one["trace/head"] for one in found) / len(found)
    assert head == pytest.approx(H.diagonal()[-25:].sum().item(), abs=3 * spread)
    # Warm starts arrive at the largest eigenvalue, not at the one that is largest in size.
    assert found[-1]["largest"] == pytest.approx(torch.linalg.eigvalsh(H)[-1].item(), rel=1e-6)
    assert found[-1]["residual"] < 1e-3 and found[0]["residual"] > found[-1]["residual"]


def test_the_largest_eigenvalue_is_not_the_one_of_largest_size():
    curvatures = torch.tensor([-9.0, 2.0, 1.0, -1.0, 0.5], dtype=torch.float64)
    watched = subject(Function([1.0] * 5, lambda w, row: 0.5 * (curvatures * w.square()).sum()))
    probe = PROBES["hessian"]()
    assert [numbers(probe.measure(View(watched, step)))["largest"] for step in range(3)][-1] == pytest.approx(2.0)


def test_curvature_agrees_with_curvlinops():
    curvlinops = pytest.importorskip(
        "curvlinops", reason="the oracle curvlinops is not installed: pip install -e .[test]"
    )
    model = Net(hidden=4)
    watched = subject(model)
    rows = watched.train
    targets = rows.tokens.sum(1) % 5

    class Logits(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, tokens):
            return model.head(model.represent(model.embed(tokens)))

    parameters = [p for p in model.parameters()]
    H = curvlinops.HessianLinearOperator(
        Logits(), torch.nn.CrossEntropyLoss(), parameters, [(rows.tokens, targets)], check_deterministic=False
    )
    view, probe = View(watched, 1), PROBES["hessian"]()
    v = torch.randn(sum(p.numel() for p in parameters), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(flat_product(view, v), H @ v, rtol=1e-9, atol=1e-12)
    found = [numbers(probe.measure(View(watched, step))) for step in range(30)]
    assert found[-1]["largest"] == pytest.approx(eigsh(H.to_scipy(), k=1, which="LA")[0][0], rel=1e-6)


def row_gradients(watched):
    """The gradient of each row by itself, [B, N]."""
    parameters = list(watched.parameters.values())
    losses = watched.train().losses
    return torch.stack(
        [torch.cat([g.flatten() for g in torch.autograd.grad(one, parameters, retain_graph=True)]) for one in losses]
    )


@pytest.mark.parametrize("rows", [2, 24, 25])
def test_fisher_and_noise_are_those_of_the_gradients_of_single_rows(rows):
    watched = subject(Net(hidden=4), NetRows(Net(hidden=4)))
    watched.train = NetRows(watched.model, rows)
    g = row_gradients(watched)
    variance, fisher = g.var(0).sum().item(), g.square().sum(1).mean().item()
    squared = g.mean(0).square().sum().item() - variance / rows
    draws = 1 if rows == 2 else 60  # two rows have one pair of signs: exact
    found = [
        numbers(PROBES["gradient"]().measure(View(watched, s)) | PROBES["fisher"]().measure(View(watched, s)))
        for s in range(draws)
    ]
    accuracy = 1e-9 if rows == 2 else 0.1
    assert sum(one["variance"] for one in found) / draws == pytest.approx(variance, rel=accuracy)
    assert sum(one["trace"] for one in found) / draws == pytest.approx(fisher, rel=accuracy)
    one = found[0]
    if squared > 0 and rows > 2:
        assert one["noise_scale"] == pytest.approx(
            one["variance"] / (g.mean(0).square().sum().item() - one["variance"] / rows)
        )


def test_the_gradient_norm_is_that_of_the_step_before_clipping():
    watched = subject(Function([3.0, 4.0, 0.0], bowl))
    view = stepped(watched)
    assert numbers(PROBES["gradient"]().measure(view))["norm"] == pytest.approx(math.hypot(12.0, 4.0))


def moments(formula, m, v, t, lr, wd, w, **group):
    """A view of one parameter whose optimizer has these moments after t steps."""
    model = Function(w, bowl)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    optimizer.param_groups[0] |= {"betas": (0.9, 0.98), "weight_decay": wd, "eps": 1e-8, **group}
    first, second = (torch.tensor(values, dtype=torch.float64) for values in (m, v))
    optimizer.state[model.w] = {"step": torch.tensor(float(t)), "exp_avg": first, "exp_avg_sq": second}
    return View(subject(model, optimizer=optimizer, formula=formula), t)


# Fault 2 of an earlier system: sqrt(wd) for wd, no bias correction, eps under the root.
# Fault 3 of an earlier system: an effective rate that rose where steps shrank.
def test_adam_numbers_of_a_state_made_by_hand():
    """Bias corrections of both moments, eps outside of the root, decay to the first power of wd."""
    m, v, t, lr, wd, w = [0.1, -0.3, 0.0], [0.04, 0.01, 0.0], 3, 0.01, 0.5, [3.0, -4.0, 5.0]
    m_hat = [x / (1 - 0.9**3) for x in m]
    roots = [math.sqrt(x / (1 - 0.98**3)) for x in v]
    updates = [a / (s + 1e-8) for a, s in zip(m_hat, roots, strict=True)]
    rates = [lr / (s + 1e-8) for s in roots[:2]]  # the third weight never had a gradient
    assert numbers(PROBES["adam"]().measure(moments(adamw, m, v, t, lr, wd, w))) == pytest.approx(
        {
            "effective_lr_mean": sum(rates) / 2,
            "effective_lr_geometric_mean": math.sqrt(rates[0] * rates[1]),
            "effective_lr_max": max(rates),
            "ratio_mean": sum(map(abs, updates)) / 3,
            "ratio_max": max(map(abs, updates)),
            "update_to_decay": math.hypot(*updates) / (wd * math.hypot(*w)),
        }
    )
    # A decay that is part of the gradient is no decay beside the update.
    found = PROBES["adam"]().measure(moments(adamw, m, v, t, lr, wd, w, decoupled_weight_decay=False))
    assert "update_to_decay" not in found


def test_adam_atan2_numbers_of_a_state_made_by_hand():
    m, v, t, lr, wd, w = [0.1, -0.3, 0.0], [0.04, 0.01, 0.0], 3, 0.01, 0.5, [3.0, -4.0, 5.0]
    outside = 1 - 0.9**3
    roots = [math.sqrt(x / (1 - 0.98**3)) for x in v]
    updates = [math.atan2(a, s) / outside for a, s in zip(m, roots, strict=True)]
    rates = [lr / outside * s / (a * a + s * s) for a, s in zip(m[:2], roots[:2], strict=True)]
    found = numbers(PROBES["adam"]().measure(moments(adam_atan2, m, v, t, lr, wd, w)))
    assert found["effective_lr_mean"] == pytest.approx(sum(rates) / 2)
    assert found["ratio_max"] == pytest.approx(max(map(abs, updates))) and found["ratio_max"] <= math.pi / 2 / outside
    assert found["update_to_decay"] == pytest.approx(math.hypot(*updates) / (wd * math.hypot(*w)))


@pytest.mark.parametrize(("optimizer", "formula"), [("adamw", adamw), ("adam_atan2", adam_atan2)])
def test_the_direction_is_what_the_optimizer_does(optimizer, formula):
    """The update without decay of the real optimizer is -lr times the direction."""
    model = Net(hidden=4)
    made = OPTIMIZERS[optimizer]().build(model, 0.01, 0.0)
    watched = subject(model, optimizer=made, formula=formula)
    for step in range(1, 4):
        view = stepped(watched, step)
        for update, found in zip(view.update, view.moments, strict=True):
            assert torch.allclose(update, -0.01 * found.direction, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("wd", [0.0, 1.0])
def test_the_edge_of_frozen_adam_is_where_its_map_leaves_the_unit_circle(wd):
    """Frozen Adam on a mode h, a map of (w, m): its spectral radius is 1 at the threshold of the sharpness."""
    lr, beta = 0.01, 0.9
    view = moments(adamw, [0.0] * 3, [0.04, 0.01, 0.25], 10**6, lr, wd, [1.0, 1.0, 1.0], eps=0.0)
    found = numbers(PROBES["preconditioned_sharpness"]().measure(view))
    P = torch.tensor([0.2, 0.1, 0.5])
    assert found["largest"] == pytest.approx((H / P).max().item())
    assert found["ratio"] == pytest.approx(found["largest"] / found["threshold"])

    def radius(h):
        through = (1 - beta) * h
        step = torch.tensor([[1 - lr * wd - lr * through, -lr * beta], [through, beta]], dtype=torch.float64)
        return torch.linalg.eigvals(step).abs().max().item()

    assert radius(found["threshold"]) == pytest.approx(1.0)
    assert radius(0.99 * found["threshold"]) < 1 < radius(1.01 * found["threshold"])


def test_sharpness_under_atan2_is_the_slope_of_its_update():
    """P^-1 is the derivative of atan2 in m, which a difference of real updates shows."""
    m, v, lr = [0.1, -0.3, 0.2], [0.04, 0.01, 0.09], 0.01
    view = moments(adam_atan2, m, v, 10**6, lr, 0.0, [1.0, 1.0, 1.0])
    apart = [[math.atan2(a + shift, math.sqrt(b)) for shift in (-1e-6, 1e-6)] for a, b in zip(m, v, strict=True)]
    slope = [(after - before) / 2e-6 for before, after in apart]
    found = numbers(PROBES["preconditioned_sharpness"]().measure(view))
    assert found["largest"] == pytest.approx(max(s * h for s, h in zip(slope, H.tolist(), strict=True)))
    assert found["threshold"] == pytest.approx(38 / lr)


@pytest.mark.parametrize("lr", [0.01, 0.3, 0.49, 0.7, 8.0])
def test_the_critical_step_of_gradient_descent_on_a_bowl(lr):
    """The loss of one mode of curvature 4 rises from c lr = 2 / 4 on, so c = 0.5 / lr is above 1 where it is stable."""
    watched = subject(Function([1.0, 0.0, 0.0], bowl), lr=lr)
    probe = PROBES["critical"]()
    for _ in range(2):
        found = numbers(probe.measure(View(*_stepped_once(watched))))
        assert found["factor"] == pytest.approx(0.5 / lr, rel=2**0.126 - 1)
        assert found["sharpness"] == pytest.approx(4.0, rel=2**0.126 - 1)


def _stepped_once(watched):
    view = stepped(watched)
    return watched, view.step


def test_alignment_with_the_weights():
    watched = subject(Function([1.0, 1.0, 1.0], lambda w, row: -w.sum()), lr=0.5)
    assert numbers(PROBES["alignment"]().measure(stepped(watched))) == pytest.approx({"descent": 1.0, "update": 1.0})
    watched = subject(Function([2.0, 0.0, 0.0], bowl), lr=0.1)
    assert numbers(PROBES["alignment"]().measure(stepped(watched))) == pytest.approx({"descent": -1.0, "update": -1.0})


def test_logits_and_representation():
    watched = subject(Net(hidden=4), held_out=None)
    found = watched.train()
    expected = found.logits.var(1, correction=0).mean().sqrt().item()
    assert numbers(PROBES["logits"]().measure(View(watched, 1)))["scale"] == pytest.approx(expected)
    norm = found.representation.norm(dim=1).mean().item()
    assert numbers(PROBES["representation"]().measure(View(watched, 1)))["norm"] == pytest.approx(norm)


def test_rows_whose_gradient_is_lost_in_float32_are_counted():
    """Of five classes with biases that no float32 can tell from certainty; in float64 nothing is lost."""
    for dtype, lost in ((torch.float32, 5 / 25), (torch.float64, 0.0)):
        model = Net()
        with torch.no_grad():
            model.head.weight.zero_(), model.head.bias.zero_()
            model.head.bias[2] = 120.0 if dtype == torch.float32 else 30.0
        found = numbers(PROBES["lost_gradient"]().measure(View(subject(model.to(dtype)), 1)))
        assert found == pytest.approx({"rows": lost, "losses": lost})


def test_input_hessian_of_a_quadratic_network_and_of_a_linear_one():
    class Quadratic(Net):
        def represent(self, x):
            return x.flatten(1).square()

    model = Quadratic()
    with torch.no_grad():  # the first class always wins, and its logit is 3 |x|^2 + 100
        model.head.weight.zero_(), model.head.bias.zero_()
        model.head.weight[0], model.head.bias[0] = 3.0, 100.0
    assert numbers(PROBES["input_hessian"]().measure(View(subject(model), 1)))["trace"] == pytest.approx(2 * 3.0 * 6)
    assert numbers(PROBES["input_hessian"]().measure(View(subject(Net()), 1)))["trace"] == 0.0


def test_numbers_of_attention_heads():
    same = torch.full((2, 3, 4, 5), 0.2)
    assert numbers(head_numbers(same)) == pytest.approx({"cosine": 1.0, "entropy": math.log(5), "entropy_spread": 0.0})
    two = torch.zeros(1, 2, 1, 4)
    two[0, 0, 0, 0], two[0, 1, 0, 2:] = 1.0, 0.5
    assert numbers(head_numbers(two)) == pytest.approx(
        {"cosine": 0.0, "entropy": math.log(2) / 2, "entropy_spread": math.log(2) / 2}
    )


@pytest.mark.parametrize("variant", ["transformer", "trm_att"])
def test_attention_weights_are_those_that_the_network_uses(variant):
    """Weights times values, through the output matrix, is what the module returns."""
    torch.manual_seed(0)
    if variant == "transformer":
        module = CausalAttention(8, 2)
        x = torch.randn(3, 4, 8)
        weights = module.attention_weights(x, 2)
        values = module.value(x).unflatten(-1, (2, -1)).transpose(1, 2)
        assert torch.allclose(module.out((weights @ values).transpose(1, 2).flatten(2)), module(x, 2), atol=1e-6)
    else:
        module = Attention(8, 2)
        x = torch.randn(3, 4, 8)
        weights = module.attention_weights(x, None)
        values = module.qkv_proj(x).unflatten(-1, (6, -1)).transpose(1, 2)[:, 4:]
        assert torch.allclose(module.o_proj((weights @ values).transpose(1, 2).flatten(2)), module(x, None), atol=1e-6)
    assert torch.allclose(weights.sum(-1), torch.ones(()))


def test_learning_coefficient_of_a_bowl_is_half_its_dimension():
    """n beta E L = 1/2 sum n beta h / (n beta h + gamma) for a Gaussian, and d / 2 without localisation."""
    rows, gamma = 1000, 1.0
    strength = rows / math.log(rows)
    found = learning_coefficient(
        lambda w: 0.5 * (H * w[0].square()).sum(), [torch.zeros(3, dtype=torch.float64)], rows,
        torch.Generator().manual_seed(0), draws=1000, burn_in=100, step=2e-3, localisation=gamma,
    )  # fmt: skip
    exact = 0.5 * (strength * H / (strength * H + gamma)).sum().item()
    assert abs(exact - 1.5) < 0.05
    assert found.by_chain.mean().item() == pytest.approx(exact, rel=0.15)
    assert found.r_hat.item() < 1.1 and found.losses.shape == (4, 1000)


def test_r_hat_sees_chains_that_do_not_agree():
    draws = torch.randn(4, 500, generator=torch.Generator().manual_seed(0))
    assert r_hat(draws).item() == pytest.approx(1.0, abs=0.01)
    assert r_hat(draws + torch.arange(4)[:, None]).item() > 1.5


# Fault 15 of an earlier system: probes drew from the generator of the training.
@pytest.mark.parametrize("name", PROBES)
def test_contract(name, monkeypatch):
    """Finite scalars, the same from the tensors of a checkpoint, and nothing in the network or generator moves."""
    model = build({"family": "transformer", "vocab_size": 9, "classes": 7, "hidden_size": 8, "mlp_size": 16})
    rows = token_rows(model), token_rows(model, shift=1)
    if PROBES[name].lacking(model, adamw):
        model = DeltaNet()
        rows = NetRows(model), NetRows(model, 7)
    optimizer = OPTIMIZERS["adamw"]().build(model, 0.01, 0.1)
    monkeypatch.setattr(llc, "DRAWS", 4), monkeypatch.setattr(llc, "BURN_IN", 2)
    watched = subject(model, rows[0], optimizer=optimizer, formula=adamw, held_out=rows[1])
    probe = PROBES[name]()
    probe.begin(View(watched, 0))
    for step in (1, 2):
        view = stepped(watched, step)
        probe.after_step(view)
        before = [p.detach().clone() for p in model.parameters()], torch.get_rng_state()
        found = probe.measure(view)
        assert found and all(value.shape == () and not value.requires_grad for value in found.values())
        assert all(value.isfinite() for key, value in found.items() if key != "noise_scale")
        assert all(torch.equal(p, was) for p, was in zip(model.parameters(), before[0], strict=True))
        assert torch.equal(torch.get_rng_state(), before[1])
    again = PROBES[name]()
    if stored := {key: value.clone() for key, value in probe.tensors().items()}:
        again.load(View(watched, 2), stored)
    else:
        again.begin(View(watched, 2))
    view = stepped(watched, 3)
    both = []
    for one in (probe, again):
        one.after_step(view)
        both.append(numbers(one.measure(view)))
    assert both[0] == pytest.approx(both[1], rel=1e-12, nan_ok=True)

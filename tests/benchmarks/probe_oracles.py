"""Every number of a probe beside its exact value, from whole Hessians, Jacobians and gradients of single rows.

The network is a small transformer of modular addition in float64, after 40 steps of AdamW at full batch. Estimates from
random draws are means over DRAWS measurements at the same weights, with the spread of one. Parts that need a network
made by hand (waves, lost gradients, a bowl for the learning coefficient) say so.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rrm.models import build, described
from rrm.probes import PROBES, Subject, View
from rrm.probes.adam import adamw
from rrm.probes.llc import learning_coefficient
from rrm.tasks.modular import ModularArithmetic
from rrm.training.losses import cross_entropy
from rrm.training.token_rows import TokenRows

DRAWS, STEPS = 400, 40
LR, WD, BETAS, EPS = 3e-3, 1.0, (0.9, 0.98), 1e-8


class Line(NamedTuple):
    """One row of the table; spread: relative, of one draw; None of a number without draws."""

    number: str
    oracle: str
    exact: float
    measured: float
    spread: float | None = None


def rows_of(model: torch.nn.Module, table: ModularArithmetic, part: np.ndarray) -> TokenRows:
    tokens, targets = torch.from_numpy(table.tokens[part]), torch.from_numpy(table.targets[part])
    return TokenRows(model, tokens, targets, cross_entropy, table)


def lines() -> Iterator[Line]:
    """All rows, in the order of the registry."""
    table = ModularArithmetic(11, ("add",), 0.4)
    shape = {"vocab_size": table.vocab_size, "classes": 11, "hidden_size": 8, "mlp_size": 16, "activation": "gelu"}
    torch.manual_seed(0)
    model = build(described("transformer", **shape)).double()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=WD, betas=BETAS, eps=EPS)
    train, held_out = rows_of(model, table, table.train), rows_of(model, table, ~table.train)
    subject = Subject(model, optimizer, train, held_out, adamw)

    # The training, and beside it the same in numpy from gradients alone.
    path = PROBES["path"]()
    path.begin(View(subject, 0))
    subject.remember()
    ways, gradients, answers = [weights(subject)], [], [answered(held_out)]
    critical = PROBES["critical"]()
    for step in range(1, STEPS + 1):
        optimizer.zero_grad()
        train().losses.mean().backward()
        found = [p.grad.clone() for p in model.parameters()]
        gradients.append(np.concatenate([g.numpy().ravel() for g in found]))
        optimizer.step()
        view = View(subject, step, found, torch.stack(torch._foreach_norm(found)))
        path.after_step(view)
        ways.append(weights(subject)), answers.append(answered(held_out))
        if step < STEPS:
            subject.remember()
    w, moves, g = ways[-1], np.diff(ways, axis=0), np.array(gradients)
    norm = np.linalg.norm

    def measured(probe: str, **more: object) -> dict[str, float]:
        return {name: value.item() for name, value in PROBES[probe]().measure(view).items()}

    def drawn(probe: str, number: str) -> tuple[float, float]:
        values = []
        for draw in range(DRAWS):
            fresh = View(subject, STEPS + 1 + draw, view.gradients, view.gradient_norms)
            values.append(PROBES[probe]().measure(fresh)[number].item())
        return float(np.mean(values)), float(np.std(values) / abs(np.mean(values)))

    yield Line("weight_norm/total", "numpy", norm(w), measured("weight_norm")["total"])
    yield Line("update_norm/total", "numpy", norm(moves[-1]), measured("update_norm")["total"])
    found = measured("alignment")
    yield Line("alignment/update", "numpy", moves[-1] @ w / norm(moves[-1]) / norm(w), found["update"])
    yield Line("alignment/descent", "numpy", -g[-1] @ w / norm(g[-1]) / norm(w), found["descent"])

    found = {name: value.item() for name, value in path.measure(view).items()}
    sizes = norm(moves, axis=1)
    yield Line("path/tau", "lr x steps", LR * STEPS, found["tau"])
    yield Line("path/length", "numpy", sizes.sum(), found["length"])
    yield Line("path/displacement", "numpy", norm(w - ways[0]), found["displacement"])
    yield Line("path/kinetic_action", "numpy", (sizes**2).sum() / (2 * LR), found["kinetic_action"])
    yield Line("path/gradient_action", "numpy", LR * (g**2).sum(), found["gradient_action"])
    roots = np.sqrt(np.array(answers))[:, : path._rows.rows // 2]
    arcs = 2 * np.arccos(np.clip((roots[1:] * roots[:-1]).sum(-1), 0, 1))
    exact = arcs.mean(1).sum() / (2 * math.acos(11**-0.5))
    yield Line("path/function_action", "arcs, by arccos", exact, found["function_action"])

    m = v = np.zeros_like(w)
    for one in g:
        m, v = BETAS[0] * m + (1 - BETAS[0]) * one, BETAS[1] * v + (1 - BETAS[1]) * one**2
    m, s = m / (1 - BETAS[0] ** STEPS), np.sqrt(v / (1 - BETAS[1] ** STEPS))
    seen = v > 0
    rates, update, P = LR / (s[seen] + EPS), m / (s + EPS), np.where(seen, s + EPS, np.inf)
    found = measured("adam")
    yield Line("adam/effective_lr_mean", "numpy, from all gradients", rates.mean(), found["effective_lr_mean"])
    exact = np.exp(np.log(rates).mean())
    yield Line("adam/effective_lr_geometric_mean", "same", exact, found["effective_lr_geometric_mean"])
    yield Line("adam/effective_lr_max", "same", rates.max(), found["effective_lr_max"])
    yield Line("adam/ratio_mean", "same", np.abs(update).mean(), found["ratio_mean"])
    yield Line("adam/update_to_decay", "same", norm(update) / (WD * norm(ways[-1])), found["update_to_decay"])

    logits = held_out().logits.detach().numpy()
    yield Line("logits/scale", "numpy", math.sqrt(logits.var(1).mean()), measured("logits")["scale"])
    exact = norm(held_out().representation.detach().numpy(), axis=1).mean()
    yield Line("representation/norm", "numpy", exact, measured("representation")["norm"])
    yield certain_rows(model, table)

    # Over the embedded tokens of each row.
    x = model.embed(held_out.tokens).detach()
    jacobians = torch.func.vmap(torch.func.jacrev(lambda one: model.answer(one[None])[0]))(x)
    exact = jacobians.square().sum().item() / len(x)
    yield Line("jacobian/squared_frobenius", "whole Jacobians", exact, *drawn("jacobian", "squared_frobenius"))
    chosen = held_out().logits.argmax(-1)
    hessians = torch.func.vmap(torch.func.hessian(lambda one, k: model.answer(one[None])[0].gather(0, k[None])[0]))(
        x, chosen
    )
    size = x[0].numel()
    exact = hessians.reshape(len(x), size, size).diagonal(dim1=1, dim2=2).sum(1).mean().item()
    yield Line("input_hessian/trace", "whole Hessians", exact, *drawn("input_hessian", "trace"))

    # Over the weights.
    start = torch.from_numpy(w)

    def losses(flat: Tensor) -> Tensor:
        return train.at(dict(zip(subject.names, subject.parts(flat), strict=True))).losses

    single = torch.func.jacrev(losses)(start).detach().numpy()
    H = torch.func.hessian(lambda flat: losses(flat).mean())(start).detach().numpy()
    variance = single.var(0, ddof=1).sum()
    yield Line("gradient/norm", "numpy", norm(g[-1]), measured("gradient")["norm"])
    yield Line("gradient/variance", "gradients of single rows", variance, *drawn("gradient", "variance"))
    yield Line("fisher/trace", "same", (single**2).sum(1).mean(), *drawn("fisher", "trace"))
    yield Line("hessian/trace", "whole Hessian", H.trace(), *drawn("hessian", "trace"))
    values = np.linalg.eigvalsh(H)
    yield from settled("hessian", "largest", "whole Hessian", values[-1], view)
    scaled = np.linalg.eigvalsh(H / np.sqrt(P)[:, None] / np.sqrt(P)[None])
    yield from settled("preconditioned_sharpness", "largest", "same, preconditioned", scaled[-1], view)
    yield Line("preconditioned_sharpness/threshold", "2 x 2 map of frozen Adam, bisected", edge(),
               measured("preconditioned_sharpness")["threshold"])  # fmt: skip
    before, start_loss = torch.from_numpy(ways[-2]), losses(torch.from_numpy(ways[-2])).mean().item()
    factors = 2 ** np.arange(-6, 12, 1 / 256)
    rises = [f for f in factors if losses(before + f * torch.from_numpy(moves[-1])).mean().item() > start_loss]
    yield Line("critical/factor", "scan of 256 steps an octave", rises[0], critical.measure(view)["factor"].item())

    yield from attention(model, view)
    yield from waves()
    yield bowl()


def weights(subject: Subject) -> np.ndarray:
    return np.concatenate([p.detach().numpy().ravel() for p in subject.parameters.values()])


@torch.no_grad()
def answered(rows: TokenRows) -> np.ndarray:
    return rows().logits.softmax(-1).numpy()


def settled(probe: str, number: str, oracle: str, exact: float, view: View) -> Iterator[Line]:
    """A warm-started number at its first measurement and at its fifth, at the same weights."""
    made = PROBES[probe]()
    found = [made.measure(view)[number].item() for _ in range(5)]
    yield Line(f"{probe}/{number}, first", oracle, exact, found[0])
    yield Line(f"{probe}/{number}, fifth", oracle, exact, found[-1])


def edge() -> float:
    """The curvature at which the map of (w, m) by frozen Adam leaves the unit circle, P = 1."""
    low, high, outside = 0.0, 1e6, 1 - BETAS[0] ** STEPS
    for _ in range(100):
        h = (low + high) / 2
        through, rate = (1 - BETAS[0]) * h, LR / outside
        step = np.array([[1 - LR * WD - rate * through, -rate * BETAS[0]], [through, BETAS[0]]])
        low, high = (h, high) if np.abs(np.linalg.eigvals(step)).max() < 1 else (low, h)
    return low


def certain_rows(model: torch.nn.Module, table: ModularArithmetic) -> Line:
    """A network whose answer is always 2, so certain that float32 rounds the gradient of right rows away."""
    other = build(described("token_mlp", vocab_size=table.vocab_size, classes=11, hidden_size=8, mlp_size=16))
    with torch.no_grad():
        other.layers[0].bias.fill_(1.0), other.layers[0].weight.zero_(), other.unembedding.weight.zero_()
        other.unembedding.weight[2] = 10.0
    rows = rows_of(other, table, table.train)
    found = PROBES["lost_gradient"]().measure(View(Subject(other, torch.optim.SGD(other.parameters(), 0.1), rows), 1))
    exact = float((table.targets[table.train] == 2).mean())
    return Line("lost_gradient/rows", "share of the certain class", exact, found["rows"].item())


def attention(model: torch.nn.Module, view: View) -> Iterator[Line]:
    """Heads without queries look at all four tokens alike."""
    query = model.layers[0].attention.query.weight
    kept = query.detach().clone()
    with torch.no_grad():
        query.zero_()
    found = PROBES["heads"]().measure(view)
    with torch.no_grad():
        query.copy_(kept)
    yield Line("heads/entropy", "ln 4, without queries", math.log(4), found["entropy"].item())
    yield Line("heads/cosine", "1, without queries", 1.0, found["cosine"].item())


def waves() -> Iterator[Line]:
    """A network with one wave in its embedding, whose answer is that wave of a + b."""
    table = ModularArithmetic(11, ("add",), 0.4)
    shape = {"vocab_size": table.vocab_size, "classes": 11, "hidden_size": 4}
    model = build(described("token_mlp", **shape))
    wave = 2 * math.pi * 3 / 11
    with torch.no_grad():
        model.embedding[:11] = torch.cos(wave * torch.arange(11.0))[:, None]

    def forward(tokens: Tensor) -> Tensor:
        a, b = tokens[:, 0, None], tokens[:, 2, None]
        return 20 * torch.cos(wave * (a + b - torch.arange(11)))

    model.forward = forward
    view = View(Subject(model, torch.optim.SGD(model.parameters(), 0.1), rows_of(model, table, table.train)), 1)
    found = {name: value.item() for name, value in PROBES["fourier"]().measure(view).items()}
    yield Line("fourier/gini", "one of five frequencies", 1 - 1 / 5, found["gini"])
    yield Line("fourier/keys", "same", 1.0, found["keys"])
    found = {name: value.item() for name, value in PROBES["structure"]().measure(view).items()}
    yield Line("structure/explained", "one wave of a + b", 1.0, found["explained"])
    yield Line("structure/inverse", "same", 0.0, found["inverse"])
    yield Line("structure/excluded_loss", "ln 11, without the wave", math.log(11), found["excluded_loss"])


def bowl() -> Line:
    """1/2 sum n beta h / (n beta h + gamma) for a Gaussian."""
    curvature, rows, gamma = torch.tensor([4.0, 1.0, 0.25], dtype=torch.float64), 1000, 1.0
    loss: Callable[[list[Tensor]], Tensor] = lambda w: 0.5 * (curvature * w[0].square()).sum()  # noqa: E731
    found = learning_coefficient(loss, [torch.zeros(3, dtype=torch.float64)], rows, torch.Generator().manual_seed(0),
                                 draws=3000, burn_in=300, step=5e-4, localisation=gamma)  # fmt: skip
    strength = rows / math.log(rows) * curvature
    exact = 0.5 * (strength / (strength + gamma)).sum().item()
    spread = (found.by_chain.std() / found.by_chain.mean()).item()
    return Line("llc/coefficient", "bowl of three modes", exact, found.by_chain.mean().item(), spread)

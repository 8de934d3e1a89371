"""The probe of layers, against whole Jacobians and Hessians, on every network of tokens."""

import pytest
import torch
from torch.func import hessian, jacrev, vmap

from rrm.models import FAMILIES, TokenModel, build, described
from rrm.probes import PROBES, View
from rrm.tasks.modular import ModularArithmetic
from rrm.training.losses import cross_entropy
from rrm.training.token_rows import TokenRows
from tests.probes.subjects import subject

NAMES = [name for name, (_, model_class) in FAMILIES.items() if issubclass(model_class, TokenModel)]
SHAPE = {"vocab_size": 7, "classes": 5, "hidden_size": 4, "mlp_size": 8, "num_layers": 2, "num_heads": 2}


def watched(name, **settings):
    torch.manual_seed(0)
    model = build(described(name, **SHAPE | settings)).double()
    table = ModularArithmetic(5, ("add",), 0.5)
    rows = torch.tensor([1, 8, 17])
    tokens, targets = torch.from_numpy(table.tokens)[rows], torch.from_numpy(table.targets)[rows]
    return model, subject(model, TokenRows(model, tokens, targets, cross_entropy, table))


def after_first_layer(model):
    """Logits [5] of what leaves the first layer for one row."""
    if hasattr(model, "respond_at"):
        return lambda h: model.unembed(model.final_norm(model.layers[1](h[None], 1)[:, 0]))[0]
    return lambda h: model.unembedding(torch.nn.functional.gelu(model.layers[1](h[None])))[0]


@pytest.mark.parametrize("name", ["token_mlp", "transformer"])
def test_numbers_are_those_of_whole_jacobians_and_hessians(name):
    model, rows = watched(name, activation="gelu", norm="pre")
    h, rest = rows.train().layers["layers.0"].detach(), after_first_layer(model)
    winner = vmap(rest)(h).argmax(-1)
    J = vmap(jacrev(rest))(h).flatten(2)
    of_winner = [hessian(lambda x, c=c: rest(x)[c])(one) for one, c in zip(h, winner, strict=True)]
    H = torch.stack([found.reshape(h[0].numel(), -1) for found in of_winner])
    probe, draws = PROBES["layers"](), 300
    found = [probe.measure(View(rows, step)) for step in range(draws)]
    squares = torch.stack([one["jacobian/layers.0"] for one in found])
    traces = torch.stack([one["input_hessian/layers.0"] for one in found])
    diagonal = H.diagonal(dim1=1, dim2=2)
    squared = J.square().sum((1, 2)).mean()
    for numbers, exact, scale in ((squares, squared, squared), (traces, diagonal.sum(1).mean(), H.norm())):
        error = numbers.std() / draws**0.5
        assert error < 0.1 * scale and (numbers.mean() - exact).abs() < 3 * error
    assert found[0]["representation/layers.0"].item() == pytest.approx(h.norm(dim=-1).mean().item())
    norms = {key.removeprefix("weight_norm/"): of.item() for key, of in found[0].items() if key.startswith("weight")}
    assert norms == pytest.approx({key: p.norm().item() for key, p in model.named_parameters()})


# Fault 14 of an earlier system: its numbers by layer were empty for every transformer.
@pytest.mark.parametrize("name", NAMES)
def test_every_layer_of_every_network_has_numbers(name):
    model, rows = watched(name)
    found = PROBES["layers"]().measure(View(rows, 1))
    layers = ["embedding", *(layer for layer in model.layers_of() if layer.startswith("layers."))]
    assert len(layers) == 1 + len(model.layers)
    for kind in ("representation", "jacobian", "input_hessian"):
        of_kind = {key.partition("/")[2]: of for key, of in found.items() if key.startswith(f"{kind}/")}
        assert list(of_kind) == layers and all(of.isfinite() for of in of_kind.values())
        assert kind == "input_hessian" or all(of > 0 for of in of_kind.values())

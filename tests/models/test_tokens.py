"""One contract for every network of tokens; causality, routing and gates where there are some."""

import copy

import pytest
import torch
from torch.func import functional_call, grad, hessian, vmap

from rrm.errors import InputError
from rrm.models import FAMILIES, TokenModel, build, describe, described
from rrm.models.gated import gated
from rrm.models.transformer import DecoderModel

P = 5
SHAPE = {"vocab_size": P + 2, "classes": P, "hidden_size": 8, "mlp_size": 16, "num_layers": 2, "num_heads": 2}
NAMES = [name for name, (_, model_class) in FAMILIES.items() if issubclass(model_class, TokenModel)]
DECODERS = [name for name in NAMES if issubclass(FAMILIES[name][1], DecoderModel)]
ROUTED, GATED = ["routed_mlp", "routed_transformer"], ["gated_mlp", "gated_transformer"]


def made(name, **settings):
    torch.manual_seed(0)
    model = build(described(name, **SHAPE | settings)).double()
    with torch.no_grad():  # routers and biases start at 0, where they would hide a fault
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def tokens(rows=6):
    generator = torch.Generator().manual_seed(1)
    a, b = torch.randint(P, (2, rows), generator=generator)
    return torch.stack([a, torch.full_like(a, P), b, torch.full_like(a, P + 1)], dim=1)


@pytest.mark.parametrize("name", NAMES)
def test_contract(name):
    model, batch = made(name), tokens()
    x = model.embed(batch)
    answer = model.respond(x)
    assert x.ndim == 3 and x.shape[::2] == (6, 8) and answer.logits.shape == (6, P)
    assert torch.equal(model(batch), answer.logits) and torch.equal(model.answer(x), answer.logits)
    assert answer.representation.shape[0] == 6 and torch.equal(model.representation(x), answer.representation)
    # Rows do not see each other, and a description makes the network again.
    assert torch.allclose(model(batch[2:3]), answer.logits[2:3])
    again = build(describe(model)).double()
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(batch), answer.logits) and copy.deepcopy(model)(batch).equal(answer.logits)
    layers = model.layers_of()
    assert sum(map(len, layers.values())) == len([*model.parameters()])
    assert next(iter(layers)) == "embedding" and {"layers.0", "layers.1", "unembedding"} <= layers.keys()
    assert model.undecayed() <= {key for key, _ in model.named_parameters()}
    assert model.hidden_matrices().keys() <= dict(model.named_parameters()).keys()
    with pytest.raises(IndexError):
        model(batch + 3)
    # Of every parameter but tokens that no row has, the answer depends.
    model(batch).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_torch_func_takes_it(name):
    """Gradients of each row at once, and second derivatives: what probes need."""
    model, batch = made(name, activation="gelu"), tokens(3)
    weights = {key: value.detach() for key, value in model.named_parameters()}

    def one(weights, row):
        return functional_call(model, weights, (row[None],))[0].logsumexp(0)

    by_row = vmap(grad(one), (None, 0))(weights, batch)
    for number, row in enumerate(batch):
        for key, value in grad(one)(weights, row).items():
            assert torch.allclose(by_row[key][number], value, atol=1e-10), key
    curvature = hessian(lambda x: model.answer(x[None])[0].logsumexp(0))(model.embed(batch)[0].detach())
    flat = curvature.reshape(curvature.shape[0] * curvature.shape[1], -1)
    assert torch.allclose(flat, flat.mT, atol=1e-8) and flat.any()


# Fault 1 of an earlier system: a mask that was added to the scores, so that routed networks saw later tokens.
@pytest.mark.parametrize("norm", ["none", "pre"])
@pytest.mark.parametrize("name", DECODERS)
def test_no_position_sees_a_later_one(name, norm):
    """The answer read at a position changes with the tokens up to there, and with no token after it."""
    model = made(name, norm=norm)
    generator = torch.Generator().manual_seed(2)
    one, other = torch.randint(P + 2, (2, 7, 4), generator=generator)
    for asking in (1, 2, 3, 4):
        place = 4 - asking
        before = model.respond_at(model.embed(one), asking).logits
        for changed in range(4):
            mixed = one.clone()
            mixed[:, changed] = (one[:, changed] + 1 + other[:, changed] % P) % (P + 2)
            after = model.respond_at(model.embed(mixed), asking).logits
            assert torch.equal(before, after) if changed > place else not torch.allclose(before, after), (
                place,
                changed,
            )
    # To compute the last position alone, or all of them, is the same.
    short = made(name, norm=norm, seq_len=3)
    short.load_state_dict({k: v[:3] if k == "positions" else v for k, v in model.state_dict().items()})
    assert torch.allclose(short(one[:, :3]), model.respond_at(model.embed(one), 2).logits, atol=1e-12)


def test_a_decoder_without_its_own_unembedding_uses_the_embeddings():
    model = made("transformer", tied=True)
    x = model.embed(tokens())
    assert torch.allclose(model.answer(x), model.representation(x) @ model.embedding[:P].mT)
    assert "unembedding" not in model.layers_of()


@pytest.mark.parametrize("name", ROUTED)
def test_routing_adds_up_and_equal_shares_are_the_layer_without_a_router(name):
    model, batch = made(name), tokens()
    routing = model.respond(model.embed(batch)).routing
    assert routing and all(torch.allclose(w.sum(-1), torch.ones((), dtype=w.dtype)) for w in routing.values())
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if ".router." in key:
                parameter.zero_()
    plain = made({"routed_mlp": "single_head", "routed_transformer": "transformer"}[name])
    plain.load_state_dict({key: value for key, value in model.state_dict().items() if ".router." not in key})
    assert torch.allclose(plain(batch), model(batch), atol=1e-12)


@pytest.mark.parametrize("name", GATED)
def test_a_closed_gate_takes_its_layer_out_and_cannot_be_made_up_for(name):
    model, batch = made(name), tokens()
    gates = model.respond(model.embed(batch)).gates
    assert len(gates) == len(model.layers) == len(model.layer_costs) and ((0 < gates) & (gates < 1)).all()
    before = model(batch)
    with torch.no_grad():
        for layer in model.layers[-1:]:
            for parameter in (layer.down.weight, layer.down.bias):
                parameter.mul_(100)
    assert torch.allclose(model(batch), before, atol=1e-3)
    with torch.no_grad():
        model.gates.logits.fill_(-200)
    closed = model(batch)
    for layer in model.layers:
        for parameter in layer.parameters():
            torch.nn.init.normal_(parameter)
    assert torch.allclose(model(batch), closed)
    h, out = torch.randn(2, 3, 8).double()
    assert torch.allclose(gated(h, torch.tensor(0.5), 7 * out), gated(h, torch.tensor(0.5), out), atol=1e-4)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("token_mlp", {"activation": "tanh"}, "activation 'tanh' is unknown: use one of relu, gelu"),
        ("token_mlp", {"reads": "all"}, "reads 'all' is unknown"),
        ("token_mlp", {"num_layers": 0}, "num_layers is 0"),
        ("transformer", {"num_heads": 3}, "hidden_size 8 does not split into 3 heads"),
        ("transformer", {"norm": "post"}, "norm 'post' is unknown"),
        ("routed_mlp", {"num_ffn_heads": 3}, "mlp_size 16 does not split into 3 heads"),
    ],
)
def test_bad_settings_are_refused(name, settings, message):
    with pytest.raises(InputError, match=message):
        made(name, **settings)

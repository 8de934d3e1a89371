from rrm.models import build, described
from rrm.statistics.layer_names import layer_groups


def test_every_parameter_has_its_place():
    shape = {"vocab_size": 7, "classes": 5, "hidden_size": 4, "mlp_size": 8, "num_heads": 2, "norm": "pre"}
    names = [name for name, _ in build(described("routed_transformer", **shape)).named_parameters()]
    found = layer_groups(names)
    assert sorted(name for group in found.values() for name in group.values()) == sorted(names)
    assert list(found) == [
        "embedding", "positions", "layer 0, norms", "layer 0, attention", "layer 0, router", "layer 0, feed-forward",
        "final norm", "unembedding",
    ]  # fmt: skip
    attention = {short: f"layers.0.attention.{name}.weight" for short, name in
                 {"Q": "query", "K": "key", "V": "value", "O": "out"}.items()}  # fmt: skip
    assert found["layer 0, attention"] == attention
    assert found["layer 0, router"]["feed-forward choice bias"] == "layers.0.mlp.router.choose.bias"
    assert layer_groups(["embedding", "layers.0.weight", "layers.0.bias"]) == {
        "embedding": {"weight": "embedding"}, "layer 0": {"weight": "layers.0.weight", "bias": "layers.0.bias"}
    }  # fmt: skip

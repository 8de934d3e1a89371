"""Names of the parameters of a network of tokens as a reader knows them: by block, and Q, K, V, O within attention."""

from collections.abc import Iterable

# The part of a block that a module is, by the names of modules on the way to a parameter; the first that fits counts.
_PARTS = {
    "router": "router",
    "query": "attention",
    "key": "attention",
    "value": "attention",
    "out": "attention",
    "up": "feed-forward",
    "down": "feed-forward",
    "norms": "norms",
}
_SHORT = {"query": "Q", "key": "K", "value": "V", "out": "O", "choose": "choice"}


def layer_groups(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Parameter names by what a reader calls them: {"layer 0, attention": {"Q": "layers.0.attention.query.weight"}}.

    Args:
        names: of parameters, as `named_parameters` of a `rrm.models.TokenModel` and the series of the probe `layers`
            have them, in the order of the network.
    """
    found: dict[str, dict[str, str]] = {}
    for name in names:
        parts = name.split(".")
        inside = parts[0] == "layers" and len(parts) > 2
        part = next((title for key, title in _PARTS.items() if key in parts), "") if inside else ""
        layer = f"layer {parts[1]}" if inside else parts[0].replace("_", " ")
        found.setdefault(f"{layer}, {part}" if part else layer, {})[_label(parts[2:] if inside else parts[1:])] = name
    return found


def _label(parts: list[str]) -> str:
    """What a parameter is called within its group: by its module, with the kind of a parameter that is no weight."""
    *modules, kind = parts or ["weight"]
    of_router = "router" in modules
    module = next((_SHORT.get(name, name) for name in reversed(modules) if name not in ("attention", "mlp")), "")
    if of_router and "mlp" in modules:
        module = f"feed-forward {module}"
    return " ".join(word for word in (module, "" if kind == "weight" and module else kind) if word)

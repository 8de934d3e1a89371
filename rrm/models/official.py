"""Public state dicts and configurations of the field, as the public repositories write them.

A public configuration mixes the shape of the network with settings of its training loop; the second kind is named
here so that it can be passed over, and anything else is refused. Weights load strictly.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from rrm.errors import InputError
from rrm.models.base import RecursiveModel
from rrm.models.trm import TRM, TRMConfig

# Read by the public training loops, without influence on the function computed. H_layers is unused by TRM.
_TRAINING_KEYS = {
    "batch_size", "halt_max_steps", "halt_exploration_prob", "no_ACT_continue", "H_layers", "name", "loss",
    "puzzle_emb_lr", "puzzle_emb_weight_decay",
}  # fmt: skip
_SHAPE_KEYS = {
    "vocab_size", "seq_len", "hidden_size", "num_heads", "H_cycles", "L_cycles", "L_layers", "expansion",
    "pos_encodings", "puzzle_emb_ndim", "num_puzzle_identifiers", "forward_dtype",
}  # fmt: skip
_PREFIXES = ("_orig_mod.", "model.", "inner.")


def _shape_settings(config: Mapping, extra: set[str]) -> dict:
    known = _SHAPE_KEYS | extra
    fixed = {"causal": False, "rope_theta": 10000.0, "rms_norm_eps": 1e-5}
    for key, value in fixed.items():
        if config.get(key, value) != value:
            raise InputError(f"configuration key {key!r} is {config[key]!r}: only {value!r} is supported")
    unknown = sorted(set(config) - known - _TRAINING_KEYS - set(fixed))
    if unknown:
        raise InputError(f"configuration key {unknown[0]!r} is unknown: known are {', '.join(sorted(known))}")
    return {key: config[key] for key in known if key in config}


def _trm(config: Mapping) -> RecursiveModel:
    settings = _shape_settings(config, {"mlp_t", "puzzle_emb_len"})
    if settings.get("puzzle_emb_len", 0) == 0 and settings.get("puzzle_emb_ndim", 0):
        # The public code then reserves as many positions as the vector needs.
        settings["puzzle_emb_len"] = -(-settings["puzzle_emb_ndim"] // settings["hidden_size"])
    return TRM(TRMConfig(**settings))


def build_official(config: Mapping) -> RecursiveModel:
    """A model with fresh weights from a public configuration dictionary (TRM's `arch` section)."""
    if "mlp_t" in config:
        return _trm(config)
    raise InputError("the configuration is of no known public model: TRM's has the key 'mlp_t'")


def strip_prefixes(key: str) -> str:
    """`_orig_mod.model.inner.H_init` -> `H_init`: the wrappers of torch.compile and of the public loss heads."""
    stripped = True
    while stripped:
        stripped = False
        for prefix in _PREFIXES:
            if key.startswith(prefix):
                key, stripped = key.removeprefix(prefix), True
    return key


def load_official(state_dict: Mapping[str, Tensor], config: Mapping) -> RecursiveModel:
    """A model in evaluation mode with the weights of a public checkpoint.

    `state_dict` maps the public names, with or without the prefixes `_orig_mod.`, `model.` and `inner.`, to tensors
    or arrays; `config` is the public configuration. A missing or unknown key and a wrong shape raise InputError.
    """
    model = build_official(config)
    given = {strip_prefixes(key): torch.as_tensor(value) for key, value in state_dict.items()}
    load_strictly(model, given)
    return model.eval()


def load_strictly(model: RecursiveModel, weights: Mapping[str, Tensor]) -> None:
    """`load_state_dict` that names the first offending key, and both shapes where they differ."""
    expected = model.state_dict()
    if missing := sorted(set(expected) - set(weights)):
        raise InputError(f"weights lack the key {missing[0]!r} ({len(missing)} missing): nothing was loaded")
    if unknown := sorted(set(weights) - set(expected)):
        raise InputError(f"weights hold the unknown key {unknown[0]!r} ({len(unknown)} unknown): nothing was loaded")
    for key, value in expected.items():
        if tuple(weights[key].shape) != tuple(value.shape):
            raise InputError(
                f"weights {key!r} have shape {tuple(weights[key].shape)}, the configuration says {tuple(value.shape)}"
            )
    model.load_state_dict(dict(weights))

"""Public state dicts and configurations of the field, as the public repositories write them.

A public configuration mixes the shape of the network with settings of its training loop; the second kind is named
here so that it can be passed over, and anything else is refused. Weights load strictly.
"""

import pickle
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rrm.errors import InputError
from rrm.models.base import RecursiveModel
from rrm.models.hrm import HRM, HRMConfig
from rrm.models.reasoner import ReasonerConfig
from rrm.models.srm import SRM, SRMConfig
from rrm.models.trm import TRM, TRMConfig

# Read by the public training loops, without influence on the function computed.
_TRAINING_KEYS = {
    "batch_size", "halt_max_steps", "halt_exploration_prob", "no_ACT_continue", "name", "loss", "puzzle_emb_lr",
    "puzzle_emb_weight_decay",
}  # fmt: skip
_SRM_TRAINING_KEYS = {
    "prob_detach_prev_H", "freeze_emb_prc", "freeze_lm_head_prc", "alpha_blend", "enable_alpha_blend",
    "alpha_blend_mode", "transition_lr_zero", "transition_lr_ramp_steps", "transition_lr_warmup_steps",
    "local_warmup_steps", "optimizer_reset_scale", "add_H_every_percent", "curriculum_milestones",
    "curriculum_heads_to_add", "curriculum_L_milestones", "curriculum_L_to_add",
}  # fmt: skip
_FIXED = {"causal": False, "rope_theta": 10000.0, "rms_norm_eps": 1e-5}
_PREFIXES = ("_orig_mod.", "model.", "inner.")


class _Public(NamedTuple):
    """A public implementation: what we build for it, the prefix of its state dict, keys it does not use."""

    model: type[RecursiveModel]
    config: type[ReasonerConfig]
    prefix: str
    unused: set[str]


_HRM = _Public(HRM, HRMConfig, "inner.", set())
_TRM = _Public(TRM, TRMConfig, "inner.", {"H_layers"})
_SRM = _Public(SRM, SRMConfig, "", {"H_layers"} | _SRM_TRAINING_KEYS)


def _recognise(config: Mapping) -> _Public:
    # The configurations nest: SRM's has all keys of TRM's, and TRM's has HRM's H_layers.
    if config.keys() & _SRM_TRAINING_KEYS:
        return _SRM
    if "mlp_t" in config:
        return _TRM
    if "H_layers" in config:
        return _HRM
    raise InputError(
        "the configuration is of no known public model: TRM's has the key 'mlp_t', HRM's has 'H_layers', "
        "SRM's has 'prob_detach_prev_H'"
    )


def build_official(config: Mapping) -> RecursiveModel:
    """A model with fresh weights from a public configuration dictionary (`arch` and data shape) of TRM, HRM or SRM."""
    public = _recognise(config)
    shape = {f.name: f for f in fields(public.config)}
    for key, value in _FIXED.items():
        if config.get(key, value) != value:
            raise InputError(f"configuration key {key!r} is {config[key]!r}: only {value!r} is supported")
    if unknown := sorted(set(config) - set(shape) - public.unused - _TRAINING_KEYS - set(_FIXED)):
        raise InputError(f"configuration key {unknown[0]!r} is unknown: known are {', '.join(sorted(shape))}")
    if missing := [name for name, f in shape.items() if f.default is MISSING and name not in config]:
        raise InputError(f"the configuration lacks the key {missing[0]!r}")
    settings = {key: config[key] for key in shape if key in config}
    if "puzzle_emb_len" in shape and not settings.get("puzzle_emb_len"):
        # The public code then reserves as many positions as the vector needs.
        settings["puzzle_emb_len"] = -(-settings.get("puzzle_emb_ndim", 0) // settings["hidden_size"])
    return public.model(public.config(**settings))


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


def read_checkpoint(path: Path | str) -> dict[str, Tensor]:
    """The state dict of a public checkpoint file, for `load_official`. Nothing in the file can run code.

    TRM and HRM write a bare state dict, SRM and EqR a dictionary that holds one beside the training state; a file with
    anything but tensors and plain values in it is refused (EqR's carry is such: re-save its "model" entry).
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: name a checkpoint file") from None
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, KeyError, OSError) as error:
        reason = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
        raise InputError(f"{path} is not a checkpoint of weights alone ({reason}): nothing was loaded") from None
    for key in ("model_state", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise InputError(f"{path} holds no state dict: name a checkpoint file of TRM, HRM or SRM")
    return content


def export_official(model: RecursiveModel) -> dict[str, Tensor]:
    """A copy of the weights under the names of the model's public implementation, as `load_official` reads them."""
    prefix = next(public.prefix for public in (_TRM, _HRM, _SRM) if type(model) is public.model)
    return {prefix + key: value.detach().clone() for key, value in model.state_dict().items()}


def load_strictly(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """`load_state_dict` that names the first offending key, and both shapes where they differ.

    Names of one shared tensor must bring equal values: a model cannot hold both.
    """
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
    first_name = {}
    for key, parameter in model.named_parameters(remove_duplicate=False):
        twin = first_name.setdefault(parameter, key)
        if twin != key and not torch.equal(weights[key], weights[twin]):
            raise InputError(f"weights {key!r} differ from {twin!r}, but the model has one tensor for both")
    model.load_state_dict(dict(weights))

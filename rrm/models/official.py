"""Public state dicts and configurations of the field, as the public repositories write them.

A public configuration mixes the shape of the network with settings of its training loop; the second kind is named
here so that it can be passed over, and anything else is refused. Weights load strictly.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from rrm.errors import InputError
from rrm.files import is_zip, open_tensors
from rrm.models.base import RecursiveModel
from rrm.models.hrm import HRM, HRMConfig
from rrm.models.reasoner import ReasonerConfig
from rrm.models.srm import SRM, SRMConfig
from rrm.models.torch_file import read_torch_file
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
# Bounds of settings, far above those of any model of the field: what the weights do not show (cycles, rotary tables)
# must not fill the memory either.
_RANGES = {
    "vocab_size": (1, 1 << 20), "seq_len": (1, 1 << 16), "hidden_size": (1, 1 << 16), "num_heads": (1, 1 << 10),
    "H_cycles": (1, 1 << 12), "L_cycles": (1, 1 << 12), "H_layers": (1, 256), "L_layers": (1, 256),
    "puzzle_emb_ndim": (0, 1 << 20), "puzzle_emb_len": (0, 1 << 12), "num_puzzle_identifiers": (1, (1 << 31) - 1),
    "expansion": (1, 64), "damping": (0, 1), "call_noise": (0, 1 << 10),
}  # fmt: skip
_PREFIXES = ("_orig_mod.", "model.", "inner.")


# Names that may share the memory of one tensor, on average: a tied output layer does.
MOST_NAMES = 2
_KIND = "checkpoint of weights alone"
_REMEDY = "nothing was loaded: name a checkpoint file that torch.save or safetensors wrote, with nothing but weights"


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


def check_settings(config_class: type[ReasonerConfig], settings: Mapping) -> None:
    """InputError for a setting of the wrong type or outside of `_RANGES`; settings the class lacks are passed over."""
    for field in fields(config_class):
        if field.name not in settings:
            if field.default is MISSING:
                raise InputError(f"the configuration lacks the key {field.name!r}")
            continue
        value, kind = settings[field.name], field.type
        if value is None and field.default is None:
            continue
        allowed = (int, float) if kind is float else (kind if kind in (bool, str) else int,)
        if type(value) not in allowed:
            raise InputError(f"configuration key {field.name!r} is {value!r:.60}: it must be of type {kind}")
        if field.name in _RANGES:
            least, most = _RANGES[field.name]
            if not least <= value <= most:
                raise InputError(f"configuration key {field.name!r} is {value!r:.60}: allowed are {least} to {most}")


def build_official(config: Mapping) -> RecursiveModel:
    """A model with fresh weights from a public configuration dictionary (`arch` and data shape) of TRM, HRM or SRM."""
    public = _recognise(config)
    shape = {f.name: f for f in fields(public.config)}
    for key, value in _FIXED.items():
        if config.get(key, value) != value:
            raise InputError(f"configuration key {key!r} is {config[key]!r:.60}: only {value!r} is supported")
    if unknown := sorted(set(map(str, config)) - set(shape) - public.unused - _TRAINING_KEYS - set(_FIXED)):
        raise InputError(f"configuration key {unknown[0]!r:.60} is unknown: known are {', '.join(sorted(shape))}")
    check_settings(public.config, config)
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
    given = {strip_prefixes(key): torch.as_tensor(value) for key, value in state_dict.items()}
    return build_and_load(lambda: build_official(config), given)


def build_and_load(build: Callable[[], RecursiveModel], weights: Mapping[str, Tensor]) -> RecursiveModel:
    """The model that `build` makes, with these weights and in evaluation mode.

    It is first made without memory, so that a description of a model larger than the weights allocates nothing.
    """
    with torch.device("meta"), _ShortTables():
        _check_shapes(build().state_dict(), weights)
    model = build()
    load_strictly(model, weights)
    return model.eval()


class _ShortTables(TorchFunctionMode):
    """Cuts rotary tables, which no weights fill, to one entry in memory; without memory, they take a 2 s import."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        return torch.zeros(1, device="cpu") if function is torch.arange else function(*args, **(kwargs or {}))


def read_checkpoint(path: Path | str) -> dict[str, Tensor]:
    """The state dict of a public checkpoint file, for `load_official`. Nothing in the file can run code.

    The file is one of torch.save (`rrm.models.torch_file`) or of safetensors; numbers may be of any precision.
    TRM and HRM write a bare state dict, SRM and EqR a dictionary that holds one beside the training state; a file with
    anything but tensors and plain values in it is refused (EqR's carry is such: re-save its "model" entry).
    """
    if is_zip(path):
        content = read_torch_file(path, _KIND, _REMEDY)
    else:
        with open_tensors(path, _KIND, _REMEDY) as file:
            content = {name: file.get_tensor(name) for name in file.keys()}
    for key in ("model_state", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    ):
        raise InputError(f"{path} holds no state dict: name a checkpoint file of TRM, HRM or SRM")
    needed = sum(value.nbytes for value in content.values())
    if needed > MOST_NAMES * Path(path).stat().st_size:
        raise InputError(f"{path} names weights of {needed} bytes in all, far more than it holds: {_REMEDY}")
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
    _check_shapes(expected, weights)
    first_name = {}
    for key, parameter in model.named_parameters(remove_duplicate=False):
        twin = first_name.setdefault(parameter, key)
        if twin != key and not torch.equal(weights[key], weights[twin]):
            raise InputError(f"weights {key!r} differ from {twin!r}, but the model has one tensor for both")
    model.load_state_dict(dict(weights))


def _check_shapes(expected: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    if missing := sorted(set(expected) - set(weights)):
        raise InputError(f"weights lack the key {missing[0]!r} ({len(missing)} missing): nothing was loaded")
    if unknown := sorted(set(weights) - set(expected)):
        raise InputError(
            f"weights hold the unknown key {unknown[0]!r:.80} ({len(unknown)} unknown): nothing was loaded"
        )
    for key, value in expected.items():
        if tuple(weights[key].shape) != tuple(value.shape):
            raise InputError(
                f"weights {key!r} have shape {tuple(weights[key].shape)}, the configuration says {tuple(value.shape)}"
            )
        if not weights[key].is_floating_point():
            raise InputError(f"weights {key!r} are of type {weights[key].dtype}: they must be floating-point numbers")

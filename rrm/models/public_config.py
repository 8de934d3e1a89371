"""Read public configurations of TRM, HRM and SRM (there called RSM): family, shape and depth of the model.

A public configuration mixes the shape of the network with settings of its training loop. This module lists the settings
of the training loop and ignores them, and refuses any other unknown key. A missing key gets the default of the public
class, or InputError names the key where that class has no default.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import NamedTuple, SupportsFloat

from rrm.errors import InputError
from rrm.models.base import RecursiveModel
from rrm.models.config import ReasonerConfig
from rrm.models.hrm import HRM, HRMConfig
from rrm.models.settings import check_settings
from rrm.models.srm import SRM, SRMConfig
from rrm.models.trm import TRM, TRMConfig

# Keys beside the section `arch`: the shape of the data, and how far SRM's depth has grown or was to grow.
DATA_SHAPE = ("vocab_size", "seq_len", "num_puzzle_identifiers")
_GROWTH_PLAN = {
    "add_H_every_percent", "curriculum_milestones", "curriculum_heads_to_add", "curriculum_L_milestones",
    "curriculum_L_to_add",
}  # fmt: skip
_GROWN = {"active_L": "L_cycles", "active_H": "H_cycles"}
# Read by the public training loops, without influence on the function computed.
_TRAINING_KEYS = {
    "batch_size", "halt_max_steps", "halt_exploration_prob", "no_ACT_continue", "name", "loss", "puzzle_emb_lr",
    "puzzle_emb_weight_decay", *_GROWTH_PLAN,
}  # fmt: skip
_SRM_TRAINING_KEYS = {
    "prob_detach_prev_H", "freeze_emb_prc", "freeze_lm_head_prc", "alpha_blend", "enable_alpha_blend",
    "alpha_blend_mode", "transition_lr_zero", "transition_lr_ramp_steps", "transition_lr_warmup_steps",
    "local_warmup_steps", "optimizer_reset_scale",
}  # fmt: skip
_FIXED = {"causal": False, "rope_theta": 10000.0, "rms_norm_eps": 1e-5}
_REQUIRED = (*DATA_SHAPE, "H_cycles", "L_cycles", "L_layers", "hidden_size", "expansion", "num_heads")
_DEFAULTS = {"puzzle_emb_ndim": 0, "forward_dtype": "bfloat16"}
_MIXER_DEFAULTS = {"puzzle_emb_len": 16, "mlp_t": False}


class Family(NamedTuple):
    """A public implementation: the model that rrm builds for it, and the form of its configurations and state dicts.

    Attributes:
        label: name for messages.
        model, config: classes of rrm.
        prefix: of the names in its state dict.
        names: of its module and class in `arch.name`.
        required: keys without a default.
        defaults: values of missing keys.
        unused: keys without a meaning.
        fixed: the only value of a key that rrm supports.
        tied: the output layer is the token table.
    """

    label: str
    model: type[RecursiveModel]
    config: type[ReasonerConfig]
    prefix: str
    names: tuple[str, ...]
    required: tuple[str, ...]
    defaults: dict
    unused: set[str]
    fixed: dict
    tied: bool = False


_HRM = Family(
    "HRM", HRM, HRMConfig, "inner.", ("hrm", "hrm_act_v1", "HierarchicalReasoningModel_ACTV1"),
    (*_REQUIRED, "H_layers", "pos_encodings"), _DEFAULTS, {"puzzle_emb_len"}, _FIXED | {"mlp_t": False},
)  # fmt: skip
_TRM = Family(
    "TRM", TRM, TRMConfig, "inner.", ("trm", "TinyRecursiveReasoningModel_ACTV1"),
    (*_REQUIRED, "pos_encodings"), _DEFAULTS | _MIXER_DEFAULTS, {"H_layers"}, _FIXED,
)  # fmt: skip
_SRM = Family(
    "SRM", SRM, SRMConfig, "", ("rsm", "srm", "RSM"),
    _REQUIRED, _DEFAULTS | _MIXER_DEFAULTS | {"pos_encodings": "none"},
    {"H_layers", *_GROWN, *_SRM_TRAINING_KEYS}, _FIXED, tied=True,
)  # fmt: skip
PUBLIC = (_TRM, _HRM, _SRM)


class Described(NamedTuple):
    """The content of a configuration and a checkpoint.

    Attributes:
        family: the public implementation.
        config: settings of the model.
        segments: of an evaluation, as written and of any type; None where neither file has a number.
    """

    family: Family
    config: ReasonerConfig
    segments: object

    def model(self) -> RecursiveModel:
        return self.family.model(self.config)


def flat(config: Mapping) -> dict:
    """A public configuration without its sections: the keys of `arch`, and the keys beside it for data and depth.

    References to other keys, such as `${.hidden_size}`, are resolved.
    """
    settings = dict(config)
    if isinstance(arch := settings.get("arch"), Mapping):
        beside = ("batch_size", *DATA_SHAPE, *_GROWTH_PLAN, *_GROWN)
        settings = {**arch, **{key: settings[key] for key in beside if key in settings}}
    for key, value in settings.items():
        if isinstance(value, str) and (named := re.fullmatch(r"\$\{(?:\.|arch\.)?(\w+)\}", value)):
            if named[1] not in settings:
                raise InputError(f"configuration key {key!r} is {value!r:.60}, and that key is not there: add it")
            settings[key] = settings[named[1]]
    return settings


def understand(config: Mapping, weights: Iterable[str] = (), said: Mapping | None = None) -> Described:
    """The model that a public configuration describes, for weights of these plain names.

    `said` holds the entries beside the weights in the checkpoint file: "active_L", "active_H", "config". `arch.name`
    decides the family, else the weights do, else the keys of the configuration.

    Raises:
        InputError: for keys that are missing, unknown or contradictory.
    """
    said, config = said or {}, flat(config)
    family = _family(config, weights)
    _refuse_missing(family, config)
    for key, value in family.fixed.items():
        if not _same(config.get(key, value), value):
            raise InputError(
                f"configuration key {key!r} is {config[key]!r:.60}: only {value!r} is supported for {family.label}"
            )
    # A fixed key has the value of rrm, whatever its spelling in YAML.
    shape = {field.name for field in fields(family.config)} - family.fixed.keys()
    known = shape | family.unused | _TRAINING_KEYS | family.fixed.keys()
    if unknown := sorted(set(map(str, config)) - known):
        raise InputError(f"configuration key {unknown[0]!r:.60} is unknown: known are {', '.join(sorted(shape))}")
    _refuse_contradictions(config, said, shape)
    segments = config.get("halt_max_steps")
    settings = family.defaults | {key: config[key] for key in shape if key in config}
    if family is _SRM:
        # halt_max_steps means nothing to the public class: the outer cycles are the depth.
        settings |= (grown := _grown(config, said))
        segments = None if "H_cycles" not in grown and _plans(config, said, "H") else settings["H_cycles"]
        if "L_cycles" not in grown and weights and _plans(config, said, "L"):
            raise InputError(
                "L_cycles grew in training (curriculum_L_milestones), and neither the checkpoint nor the configuration "
                "says how far: add active_L, the z_L calls of one cycle at this checkpoint, to the configuration"
            )
    check_settings(family.config, settings)
    if "puzzle_emb_len" in shape:
        settings["puzzle_emb_len"] = _prefix(family, settings)
    return Described(family, family.config(**settings), segments)


def _family(config: Mapping, weights: Iterable[str]) -> Family:
    named, held = _named(config), _of_weights(weights)
    if named and held and named is not held:
        raise InputError(
            f"the configuration says {config['name']!r:.80}, which is {named.label}, and the weights are those of "
            f"{held.label}: name the configuration of this checkpoint"
        )
    return named or held or _of_keys(config)


def _named(config: Mapping) -> Family | None:
    """The family of `arch.name`, such as "recursive_reasoning.trm@TinyRecursiveReasoningModel_ACTV1".

    The module decides: variants with another function, such as trm_singlez, have classes of the same name.
    """
    if (name := config.get("name")) is None:
        return None
    module = str(name).partition("@")[0].rpartition(".")[2]
    for family in PUBLIC:
        if module.lower() in map(str.lower, family.names):
            return family
    known = ", ".join(name for family in PUBLIC for name in family.names)
    raise InputError(
        f"configuration key 'name' is {name!r:.80}, a model that rrm does not have: it has {known}; leave the key out "
        "where the model computes what one of them does"
    )


def _of_weights(weights: Iterable[str]) -> Family | None:
    stacks = {name.partition(".")[0] for name in weights}
    return _HRM if "H_level" in stacks else _TRM if "L_level" in stacks else _SRM if "core" in stacks else None


def _of_keys(config: Mapping) -> Family:
    # The configurations nest: SRM's has all keys of TRM's, and TRM's has HRM's H_layers.
    if config.keys() & (_SRM_TRAINING_KEYS | _GROWTH_PLAN | _GROWN.keys()):
        return _SRM
    if "mlp_t" in config:
        return _TRM
    if "H_layers" in config:
        return _HRM
    raise InputError(
        "the configuration is of no known public model: TRM's has the key 'mlp_t', HRM's has 'H_layers', "
        "SRM's has 'prob_detach_prev_H'"
    )


def _refuse_missing(family: Family, config: Mapping) -> None:
    missing = [key for key in family.required if key not in config]
    if not missing:
        return
    of_data = [key for key in missing if key in DATA_SHAPE]
    where = f" ({', '.join(of_data)}: from dataset.json of the data it was trained on)" if of_data else ""
    raise InputError(
        f"the configuration lacks the key{'s' if missing[1:] else ''} {', '.join(map(repr, missing))}, without default "
        f"in the public class of {family.label}: add {'them' if missing[1:] else 'it'}{where}"
    )


def _same(value: object, only: object) -> bool:
    """Whether a value is the one supported; YAML reads 1e-5 as a text."""
    if not isinstance(only, float):
        return value == only
    try:
        return isinstance(value, (str, SupportsFloat)) and float(value) == only
    except (TypeError, ValueError):
        return False


def _refuse_contradictions(config: Mapping, said: Mapping, shape: set[str]) -> None:
    """InputError where the configuration contradicts the one that the checkpoint holds: it is of another run."""
    kept = said.get("config")
    kept = flat(kept) if isinstance(kept, Mapping) else {}
    # People correct grown cycles by hand, and the dtype does not change the measured network.
    for key in sorted(shape & config.keys() & kept.keys() - {"L_cycles", "H_cycles", "forward_dtype"}):
        if kept[key] != config[key]:
            raise InputError(
                f"configuration key {key!r} is {config[key]!r:.60}, and {kept[key]!r:.60} in the checkpoint's own: "
                "name the configuration of this checkpoint"
            )


def _grown(config: Mapping, said: Mapping) -> dict[str, int]:
    """The cycles that SRM's depth has grown to, by configuration or checkpoint."""
    grown = {}
    for key, cycles in _GROWN.items():
        values = [value for value in (config.get(key), said.get(key)) if value is not None]
        if values[1:] and values[0] != values[1]:
            raise InputError(
                f"{key} is {values[0]!r:.40} in the configuration and {values[1]!r:.40} in the checkpoint: name the "
                "configuration of this checkpoint, or leave the key out"
            )
        if values:
            if type(values[0]) is not int or values[0] < 1:
                raise InputError(f"{key} is {values[0]!r:.40}: it must be a whole number from 1")
            grown[cycles] = values[0]
    return grown


def _plans(config: Mapping, said: Mapping, half: str) -> bool:
    """Whether the training that a configuration describes makes the cycles of `half` grow."""
    kept = said.get("config")
    plan = (flat(kept) if isinstance(kept, Mapping) else {}) | dict(config)
    if half == "L":
        return bool(plan.get("curriculum_L_milestones") and plan.get("curriculum_L_to_add"))
    return bool(
        plan.get("curriculum_milestones") and plan.get("curriculum_heads_to_add") or plan.get("add_H_every_percent")
    )


def _prefix(family: Family, settings: Mapping) -> int:
    """Positions of the prefix, as the public classes count them."""
    ndim, length = settings["puzzle_emb_ndim"], settings["puzzle_emb_len"]
    if family is _SRM and not ndim:
        return 0
    if length and not ndim:
        raise InputError(
            f"puzzle_emb_len is {length} and puzzle_emb_ndim is 0, with which the public {family.label} cannot run "
            "(states get a prefix, inputs none): set puzzle_emb_len to 0"
        )
    return length or -(-ndim // settings["hidden_size"])

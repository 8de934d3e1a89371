"""Bounds of a model's settings, checked before anything is built from a description that a stranger wrote."""

from collections.abc import Mapping
from dataclasses import MISSING, fields

from rrm.errors import InputError
from rrm.models.config import ReasonerConfig
from rrm.models.plain import PlainConfig
from rrm.models.tokens import TokenConfig

# Bounds far above any model of the field. They keep settings that no weights bound (cycles, rotary tables) from filling
# the memory.
_RANGES = {
    "vocab_size": (1, 1 << 20), "seq_len": (1, 1 << 16), "hidden_size": (1, 1 << 16), "num_heads": (1, 1 << 10),
    "H_cycles": (1, 1 << 12), "L_cycles": (1, 1 << 12), "H_layers": (1, 256), "L_layers": (1, 256),
    "num_layers": (1, 256), "classes": (1, 1 << 20), "mlp_size": (1, 1 << 16), "num_ffn_heads": (1, 1 << 10),
    "puzzle_emb_ndim": (0, 1 << 20), "puzzle_emb_len": (0, 1 << 12), "num_puzzle_identifiers": (1, (1 << 31) - 1),
    "expansion": (1, 64), "rope_theta": (1, 1 << 30), "grid_width": (1, 1 << 16), "damping": (0, 1),
    "call_noise": (0, 1 << 10),
}  # fmt: skip


def check_settings(config_class: type[ReasonerConfig | PlainConfig | TokenConfig], settings: Mapping) -> None:
    """InputError for a setting of the wrong type or outside of `_RANGES`; settings that the class lacks are ignored."""
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

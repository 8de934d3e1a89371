"""The networks. A new model is one file and one line in `FAMILIES` (and one in `VARIANTS` to be swept)."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from rrm.errors import InputError
from rrm.models.base import Readout, RecursiveModel, State, parameter_count, recursive
from rrm.models.config import ReasonerConfig
from rrm.models.gated import GatedMLP, GatedTransformer
from rrm.models.hrm import HRM, HRMConfig
from rrm.models.official import build_official, export_official, load_official, official_segments
from rrm.models.plain import MLP, MLPConfig, PlainConfig, PlainModel
from rrm.models.public_file import read_checkpoint
from rrm.models.routed import RoutedMLP, RoutedMLPConfig, RoutedTransformer, RoutedTransformerConfig, SingleHead
from rrm.models.srm import SRM, SRMConfig
from rrm.models.token_mlp import TokenMLP, TokenMLPConfig
from rrm.models.tokens import Answer, TokenConfig, TokenModel
from rrm.models.transformer import Transformer, TransformerConfig
from rrm.models.trm import TRM, TRMConfig

Model = RecursiveModel | PlainModel | TokenModel
Config = ReasonerConfig | PlainConfig | TokenConfig

FAMILIES: dict[str, tuple[type[Config], type[Model]]] = {
    "trm": (TRMConfig, TRM),
    "hrm": (HRMConfig, HRM),
    "srm": (SRMConfig, SRM),
    "mlp": (MLPConfig, MLP),
    "token_mlp": (TokenMLPConfig, TokenMLP),
    "transformer": (TransformerConfig, Transformer),
    "single_head": (TokenMLPConfig, SingleHead),
    "routed_mlp": (RoutedMLPConfig, RoutedMLP),
    "routed_transformer": (RoutedTransformerConfig, RoutedTransformer),
    "gated_mlp": (TokenMLPConfig, GatedMLP),
    "gated_transformer": (TransformerConfig, GatedTransformer),
}

# Model types as a sweep names them: a family and the settings that make the variant.
VARIANTS: dict[str, tuple[str, dict[str, object]]] = {
    "trm_mlp": ("trm", {"mlp_t": True, "pos_encodings": "none"}),
    "trm_att": ("trm", {"mlp_t": False, "pos_encodings": "rope"}),
    "trm_gdn": ("trm", {"mlp_t": False, "delta_rule": True, "pos_encodings": "rope"}),
    "hrm": ("hrm", {"pos_encodings": "rope"}),
    "srm_mlp": ("srm", {"mlp_t": True, "pos_encodings": "none"}),
    "srm_att": ("srm", {"mlp_t": False, "pos_encodings": "rope"}),
}

__all__ = [
    "FAMILIES", "VARIANTS", "Answer", "Model", "PlainModel", "Readout", "RecursiveModel", "State", "TokenModel",
    "build", "build_official", "describe", "described", "export_official", "load_official", "official_segments",
    "parameter_count", "read_checkpoint", "recursive", "variant",
]  # fmt: skip


def build(description: Mapping[str, Any]) -> Model:
    """A model with fresh weights from its description, {"family": "trm", "vocab_size": 6, ...}.

    Raises:
        InputError: for an unknown family or setting, or settings that no network has.
    """
    settings = dict(description)
    family = settings.pop("family", None)
    if family not in FAMILIES:
        raise InputError(f"model family {family!r} is unknown: use one of {', '.join(FAMILIES)}")
    config_class, model_class = FAMILIES[family]
    unknown = sorted(set(settings) - {f.name for f in fields(config_class)})
    if unknown:
        allowed = ", ".join(f.name for f in fields(config_class))
        raise InputError(f"model family {family!r} has no setting {', '.join(map(repr, unknown))}: it has {allowed}")
    return model_class(config_class(**settings))


def describe(model: Model) -> dict[str, Any]:
    """The description that `build` takes; plain values, fit for JSON."""
    family = next(name for name, (_, model_class) in FAMILIES.items() if type(model) is model_class)
    return {"family": family, **asdict(model.config)}


def variant(name: str, **shape: object) -> dict[str, Any]:
    """The description of a swept model type (`VARIANTS`) at a shape: `variant("trm_mlp", hidden_size=64, ...)`.

    One shape serves all types: settings that only other families have are left out.

    Raises:
        InputError: for an unknown name.
    """
    if name not in VARIANTS:
        raise InputError(f"model {name!r} is unknown: use one of {', '.join(VARIANTS)}")
    family, settings = VARIANTS[name]
    return described(family, **shape) | settings


def described(family: str, **shape: object) -> dict[str, Any]:
    """The description of a family at a shape that serves all of them: settings that only others have are left out.

    Raises:
        InputError: for an unknown family.
    """
    if family not in FAMILIES:
        raise InputError(f"model family {family!r} is unknown: use one of {', '.join(FAMILIES)}")
    known = {other: {f.name for f in fields(config_class)} for other, (config_class, _) in FAMILIES.items()}
    foreign = set().union(*known.values()) - known[family]
    return {"family": family, **{key: value for key, value in shape.items() if key not in foreign}}

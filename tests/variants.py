"""The model types that contracts run over: those of sweeps, and settings of the network that none of them has."""

import math
from typing import Any

from rrm.models import VARIANTS, variant

GRID = {"pos_encodings": "rope_2d", "rope_theta": 10.0}
NORMALISED = {"swiglu": "normalised"}

_SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "trm_att on a grid": ("trm_att", GRID),
    "hrm on a grid, normalised": ("hrm", GRID | NORMALISED),
    "trm_mlp, normalised": ("trm_mlp", NORMALISED),
    "srm_mlp, normalised": ("srm_mlp", NORMALISED),
}

TYPES = (*sorted(VARIANTS), *_SETTINGS)


def described(name: str, **shape: Any) -> dict[str, Any]:
    """The description of one of TYPES; tokens that are no square grid are one of two rows, or of one."""
    base, settings = _SETTINGS.get(name, (name, {}))
    cells = shape["seq_len"]
    square = math.isqrt(cells) ** 2 == cells
    columns = None if square else cells // (1 if cells % 2 else 2)
    return variant(base, **shape) | settings | ({"grid_width": columns} if settings.get("pos_encodings") else {})

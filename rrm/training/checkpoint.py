"""Checkpoints: a folder of safetensors and one JSON file. Nothing in it can run code.

    checkpoint.json       format version, recipe, data hash; for "initial", "best" and "final": step, model description,
                          segments
    initial.safetensors   weights before the first step; a folder of version 1 has none
    final.safetensors     averaged (EMA) weights at this step, what evaluation uses
    best.safetensors      averaged weights at the best validation score so far
    training.safetensors  raw weights, EMA shadow, optimizer moments, carry, state of source and hooks: all that
                          resuming needs besides the step
    HOOK.safetensors      tensors of a hook that others read, such as `rrm.training.snapshots`

Version 1 had a flat recipe (`rrm.training.recipe.upgrade` reads it) and one hook, flossing.
"""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from rrm.errors import InputError
from rrm.files import file_hash, open_tensors, read_object
from rrm.models import FAMILIES, Model, RecursiveModel, build
from rrm.models.official import build_and_load
from rrm.models.settings import check_settings

VERSION = 2
_READABLE = (1, VERSION)
WEIGHTS = ("initial", "best", "final")
MOST_SEGMENTS = 1 << 20
REMEDY = "restore it from a copy"


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write tensors of any layout; safetensors wants them contiguous and unshared."""
    save_file({key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}, path)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file; a truncated, corrupt or foreign file raises InputError with its name."""
    with open_tensors(path, "safetensors file", REMEDY) as file:
        return {name: file.get_tensor(name) for name in file.keys()}


def load_training(folder: Path) -> dict[str, Tensor]:
    """The tensors of training.safetensors, as this version names them."""
    tensors = load_tensors(folder / "training.safetensors")
    return {f"hook.{name}" if name.startswith("flossing/") else name: value for name, value in tensors.items()}


def read_meta(folder: Path) -> dict[str, Any]:
    """checkpoint.json of a checkpoint folder, checked for kind and version, and for what `load_model` reads of it."""
    path = Path(folder) / "checkpoint.json"
    if not path.exists():
        raise InputError(f"{folder} is not a checkpoint: it has no checkpoint.json")
    meta = read_object(path, REMEDY)
    if meta.get("format") != "rrm-checkpoint":
        raise InputError(f"{path} does not describe an rrm checkpoint: its format is not 'rrm-checkpoint'")
    if meta.get("version") not in _READABLE:
        raise InputError(f"{path} has version {meta.get('version')!r:.40}, this rrm reads {VERSION}: update rrm")
    for which in WEIGHTS:
        if which in meta:
            _check_description(path, which, meta[which])
    hooks = {"flossing": meta["flossing"]} if "flossing" in meta else {}
    return {"hooks": hooks, **meta}


def _check_description(path: Path, which: str, described: object) -> None:
    """InputError where an entry does not say which model its weights are of, and how many segments it runs."""
    entry = described if isinstance(described, dict) else {}
    model, segments = entry.get("model"), entry.get("segments")
    if not isinstance(model, dict) or type(model.get("family")) is not str:
        raise InputError(f"{path} does not describe the model of its {which!r} weights: {REMEDY}")
    recursive = model["family"] in FAMILIES and issubclass(FAMILIES[model["family"]][1], RecursiveModel)
    if (recursive or segments is not None) and (type(segments) is not int or not 1 <= segments <= MOST_SEGMENTS):
        raise InputError(f"{path} gives {which!r} weights {segments!r:.40} segments: allowed are 1 to {MOST_SEGMENTS}")
    if model["family"] in FAMILIES:
        try:
            check_settings(FAMILIES[model["family"]][0], model)
        except InputError as error:
            raise InputError(f"{path}: {error}; {REMEDY}") from None


def write_meta(folder: Path, meta: dict[str, Any]) -> None:
    """Write checkpoint.json last, so that a folder that has one is whole."""
    meta = {"format": "rrm-checkpoint", "version": VERSION, **meta}
    (Path(folder) / "checkpoint.json").write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")


def load_model(folder: Path | str, which: str = "best") -> Model:
    """The model of a checkpoint folder in evaluation mode.

    Args:
        which: `initial` weights, or `best` or `final` averaged ones.

    Raises:
        InputError: for weights that the folder does not have, and for damaged files.
    """
    if which not in WEIGHTS:
        raise InputError(f"weights {which!r} are unknown: use one of {', '.join(WEIGHTS)}")
    meta = read_meta(Path(folder))
    if which not in meta:
        raise InputError(f"{folder} describes no {which!r} weights: use the others, or restore it from a copy")
    path = Path(folder) / f"{which}.safetensors"
    weights = load_tensors(path)
    try:
        return build_and_load(lambda: build(meta[which]["model"]), weights)
    except InputError as error:
        raise InputError(f"{path}: {error}; {REMEDY}") from None


def weights_hash(folder: Path | str, which: str) -> str:
    """sha256 of the weights file: what a result names as the checkpoint it came from."""
    return file_hash(Path(folder) / f"{which}.safetensors")

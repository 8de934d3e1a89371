"""Checkpoints: a folder of safetensors and one JSON file. Nothing in it can run code.

    checkpoint.json       format version, recipe, data hash; for "best" and "final": step, model description, segments
    final.safetensors     averaged (EMA) weights at this step, what evaluation uses
    best.safetensors      averaged weights at the best validation score so far
    training.safetensors  raw weights, EMA shadow, optimizer moments, carry: all that resuming needs besides the step
"""

import hashlib
import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from rrm.errors import InputError
from rrm.models import RecursiveModel, build
from rrm.models.official import load_strictly

VERSION = 1
WEIGHTS = ("best", "final")


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write tensors of any layout; safetensors wants them contiguous and unshared."""
    save_file({key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}, path)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file; a truncated, corrupt or foreign file raises InputError with its name."""
    try:
        return load_file(path)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: a checkpoint folder holds it") from None
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a readable safetensors file ({error}): restore it from a copy") from None


def read_meta(folder: Path) -> dict:
    """checkpoint.json of a checkpoint folder, checked for kind and version."""
    path = Path(folder) / "checkpoint.json"
    try:
        meta = json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"{folder} is not a checkpoint: it has no checkpoint.json") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not readable JSON ({error}): restore it from a copy") from None
    if not isinstance(meta, dict) or meta.get("format") != "rrm-checkpoint":
        raise InputError(f"{path} does not describe an rrm checkpoint: its format is not 'rrm-checkpoint'")
    if meta.get("version") != VERSION:
        raise InputError(f"{path} has version {meta.get('version')!r}, this rrm reads {VERSION}: update rrm")
    return meta


def write_meta(folder: Path, meta: dict) -> None:
    """Write checkpoint.json last, so that a folder that has one is whole."""
    meta = {"format": "rrm-checkpoint", "version": VERSION, **meta}
    (Path(folder) / "checkpoint.json").write_text(json.dumps(meta, indent=1) + "\n")


def load_model(folder: Path | str, which: str = "best") -> RecursiveModel:
    """The model of a checkpoint folder in evaluation mode, with its `best` or `final` averaged weights."""
    if which not in WEIGHTS:
        raise InputError(f"weights {which!r} are unknown: use one of {', '.join(WEIGHTS)}")
    meta = read_meta(Path(folder))
    model = build(meta[which]["model"])
    load_strictly(model, load_tensors(Path(folder) / f"{which}.safetensors"))
    return model.eval()


def weights_hash(folder: Path | str, which: str) -> str:
    """sha256 of the weights file: what a result names as the checkpoint it came from."""
    return hashlib.sha256((Path(folder) / f"{which}.safetensors").read_bytes()).hexdigest()

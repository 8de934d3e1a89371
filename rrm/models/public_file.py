"""Public checkpoint files: find the weights in any container and under any wrapper.

TRM and HRM write a bare state dict; SRM, EqR, PyTorch Lightning and plain training loops write dictionaries that hold
one, or several, beside the state of the training. Weights are found by the names that all public models share, not by
the names of the containers.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from rrm.errors import InputError
from rrm.files import is_zip, open_tensors
from rrm.models.torch_file import Uncalled, read_torch_file

# Names that may share the memory of one tensor, on average: a tied output layer does.
MOST_NAMES = 2
_KIND = "checkpoint of weights alone"
_REMEDY = "nothing was loaded: name a checkpoint file that torch.save or safetensors wrote, with nothing but weights"
# Modules and buffers of the public models: every part of a name before them is a wrapper.
_ROOTS = {
    "H_init", "L_init", "embed_tokens", "embed_pos", "puzzle_emb", "H_level", "L_level", "core", "lm_head", "q_head",
}  # fmt: skip
# Wrappers (DDP, torch.compile, FSDP, activation checkpointing, ...) may also stand around a module within the model.
_WRAPPERS = {
    "module", "model", "inner", "_orig_mod", "_forward_module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module",
    "_module", "_original_module",
}  # fmt: skip
# Buffers, which an average of the parameters lacks.
_BUFFERS = ("H_init", "L_init", "puzzle_emb.weights")
_AVERAGED = re.compile(r"ema|averag|shadow|swa", re.IGNORECASE)
# Entries that training loops keep under the names of the weights too, without weights.
_NO_WEIGHTS = re.compile(r"^optim(izers?)?(_|$)|sched|^grads?$|scaler", re.IGNORECASE)
_DEEPEST = 6
_SAID = ("active_L", "active_H", "config")
_SHOWN = 4  # names in a message


class PublicWeights(dict):
    """Tensors by the plain names of the field, `L_level.layers.0.mlp.down_proj.weight`.

    Attributes:
        said: entries of the file beside the weights ("active_L", "active_H", "config").
        name: of the container of the weights, "." for the file itself.
        others: names of the other containers with weights.
    """

    def __init__(self, weights: Mapping[str, Tensor], said: Mapping, name: str, others: list[str]):
        super().__init__(weights)
        self.said, self.name, self.others = dict(said), name, others


class _Container(NamedTuple):
    name: str
    weights: dict[str, Tensor]
    said: Mapping


def read_checkpoint(path: Path | str, which: str | None = None) -> PublicWeights:
    """The weights of a public checkpoint file, for `load_official`. Nothing in the file can run code.

    Args:
        path: A file of torch.save (`rrm.models.torch_file`) or safetensors; numbers may be of any precision.
        which: Name of the container with the weights. None: the only one, or the only one with averaged weights, with
            which the public loops evaluate.

    Raises:
        InputError: for a file without weights of a public model, or where `which` is needed.
    """
    if is_zip(path):
        content = read_torch_file(path, _KIND, _REMEDY)
    else:
        with open_tensors(path, _KIND, _REMEDY) as file:
            content = {name: file.get_tensor(name) for name in file.keys()}
            numbers = {key: text for key, text in (file.metadata() or {}).items() if key in _SAID and text.isdecimal()}
        content |= {key: int(text) for key, text in numbers.items() if len(text) < 10}
    found = list(_containers(content, (), {}))
    if not found:
        raise InputError(f"{path} holds no weights of TRM, HRM or SRM, {_seen(content)}: {_REMEDY}")
    weights = _choose(found, which, str(path))
    needed = sum(value.nbytes for value in weights.values())
    if needed > MOST_NAMES * Path(path).stat().st_size:
        raise InputError(f"{path} names weights of {needed} bytes in all, far more than it holds: {_REMEDY}")
    return weights


def plain_weights(state_dict: Mapping) -> PublicWeights:
    """The tensors or arrays of a state dict by their plain names, as from `read_checkpoint`."""
    if isinstance(state_dict, PublicWeights):
        return state_dict
    tensors = {key: torch.as_tensor(value) for key, value in state_dict.items()}
    return _choose(list(_sets(tensors, ".", {})), None, "the state dict")


def _containers(node: object, path: tuple[str, ...], said: Mapping) -> Iterator[_Container]:
    """Every dictionary below `node` that holds weights, with the entries `_SAID` beside and around it."""
    if not isinstance(node, dict) or len(path) > _DEEPEST:
        return
    said = {**said, **{key: node[key] for key in _SAID if node.get(key) is not None}}
    tensors = {key: value for key, value in node.items() if isinstance(key, str) and isinstance(value, Tensor)}
    if any(_split(key)[2] for key in tensors):
        yield from _sets(tensors, ".".join(path) or ".", said)
    for key, value in node.items():
        if isinstance(key, str) and not _NO_WEIGHTS.search(key):
            yield from _containers(value, (*path, key), said)


def _split(name: str) -> tuple[str, str, bool]:
    """(the parts of a name around the model, the plain name, whether the name is one of the public models')."""
    parts = name.split(".")
    at = max((i for i, part in enumerate(parts) if part in _ROOTS), default=None)
    if at is None:
        return "", ".".join(part for part in parts if part not in _WRAPPERS), False
    around, inside = ([part for part in half if part not in _WRAPPERS] for half in (parts[:at], parts[at:]))
    return ".".join(around), ".".join(inside), True


def _sets(tensors: Mapping[str, Tensor], name: str, said: Mapping) -> Iterator[_Container]:
    """The weights in one state dict: one set, or one for each surrounding part where plain names come twice.

    Counters, such as the `n_averaged` of an averaged model, are left out.
    """
    split = {key: _split(key) for key in tensors}
    kept = [key for key in tensors if split[key][2] or tensors[key].numel() != 1 or tensors[key].is_floating_point()]
    if len({split[key][1] for key in kept}) == len(kept):
        yield _Container(name, {split[key][1]: tensors[key] for key in kept}, said)
        return
    for around in dict.fromkeys(split[key][0] for key in kept if split[key][2]):
        chosen = [key for key in kept if split[key][0] == around and split[key][2]]
        weights = {split[key][1]: tensors[key] for key in chosen}
        if len(weights) < len(chosen):
            raise InputError(f"names of weights come twice when wrappers are taken off, such as {chosen[0]!r:.80}")
        yield _Container(f"{name}.{around}".strip(".") or ".", weights, said)


def _choose(found: list[_Container], which: str | None, path: str) -> PublicWeights:
    names = [container.name for container in found]
    averaged = [container for container in found if _AVERAGED.search(container.name)]
    if which is not None and which not in names:
        raise InputError(f"{path} holds no weights called {which!r:.60}: it has {_listed(names)}")
    if which is not None:
        chosen = found[names.index(which)]
    elif len(found) == 1 or len(averaged) == 1:
        chosen = (averaged or found)[0]
    else:
        raise InputError(f"{path} holds several sets of weights, {_listed(names)}: name one of them by --weights")
    weights = chosen.weights
    if chosen in averaged:
        others = [container.weights for container in found if container not in averaged]
        weights = {key: other[key] for other in others[:1] for key in _BUFFERS if key in other} | weights
    return PublicWeights(weights, chosen.said, chosen.name, [name for name in names if name != chosen.name])


def _listed(names: list[str]) -> str:
    return ", ".join(f"{name!r:.60}" for name in names[: 2 * _SHOWN])


def _seen(content: object) -> str:
    """The content of a file without weights, for a message."""
    if isinstance(content, Uncalled):
        return f"but one object: it {content}; save the state_dict() of the model"
    if not isinstance(content, dict) or not content:
        return f"but {'an empty dictionary' if content == {} else 'a ' + type(content).__name__}"
    shown = []
    for key, value in list(content.items())[:_SHOWN]:
        inside = f" with {_listed(list(map(str, value)))}" if isinstance(value, dict) and value else ""
        shown.append(f"{key!r:.60}" + (f", which {value}" if isinstance(value, Uncalled) else inside))
    return f"its first keys are {'; '.join(shown):.240}"

"""Models from public state dicts and configurations of the field, as the public repositories write them.

Weights load strictly: every name and every shape is that of the model, or nothing is loaded.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from rrm.errors import InputError
from rrm.models.base import RecursiveModel
from rrm.models.public_config import PUBLIC, understand
from rrm.models.public_file import plain_weights

M = TypeVar("M", bound=nn.Module)


def build_official(config: Mapping) -> RecursiveModel:
    """A model with fresh weights from a public configuration (`arch` and data shape) of TRM, HRM or SRM.

    Raises:
        InputError: for missing, unknown or contradictory keys.
    """
    return understand(config).model()


def load_official(state_dict: Mapping[str, Tensor], config: Mapping) -> RecursiveModel:
    """A model in evaluation mode with the weights of a public checkpoint.

    Args:
        state_dict: The result of `read_checkpoint`, or tensors or arrays by their public names, with or without
            wrappers such as `_orig_mod.model.inner.`. Facts that the checkpoint states itself, such as the cycles that
            SRM has grown to, count.
        config: The public configuration.

    Raises:
        InputError: for a missing or unknown key, a wrong shape, numbers that are not finite, or a contradiction.
    """
    weights = plain_weights(state_dict)
    described = understand(config, weights, weights.said)
    tied = {"lm_head.weight": "embed_tokens.embedding_weight"} if described.family.tied else {}
    # safetensors and averages over parameters write a shared tensor under one of its names only.
    given = {name: weights[twin] for name, twin in tied.items() if twin in weights} | weights
    return build_and_load(described.model, given)


def official_segments(state_dict: Mapping[str, Tensor], config: Mapping) -> object:
    """Segments of an evaluation by the public code: halt_max_steps, for SRM the depth that it has grown to.

    The value is as written, of any type; None where neither the configuration nor the checkpoint has one.
    """
    weights = plain_weights(state_dict)
    return understand(config, weights, weights.said).segments


def build_and_load(build: Callable[[], M], weights: Mapping[str, Tensor]) -> M:
    """The model that `build` makes, with these weights and in evaluation mode.

    The model is first made without memory, so that a description larger than the weights allocates nothing.
    """
    with torch.device("meta"), _ShortTables():
        _check_shapes(build().state_dict(), weights)
    for key, value in weights.items():
        if not value.isfinite().all():
            raise InputError(
                f"weights {key!r:.80} have numbers that are not finite: the training had diverged, or 16 bits were too "
                "few; name an earlier checkpoint"
            )
    model = build()
    load_strictly(model, weights)
    return model.eval()


class _ShortTables(TorchFunctionMode):
    """Cuts rotary tables, which no weights fill, to one entry in memory; on "meta" they would take a 2 s import."""

    def __torch_function__(
        self, function: Callable, types: Sequence[type], args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        return torch.zeros(1, device="cpu") if function is torch.arange else function(*args, **(kwargs or {}))


def export_official(model: RecursiveModel) -> dict[str, Tensor]:
    """A copy of the weights under the names of the public implementation, for `load_official` or the public code."""
    prefix = next(family.prefix for family in PUBLIC if type(model) is family.model)
    return {prefix + key: value.detach().clone() for key, value in model.state_dict().items()}


def load_strictly(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """`load_state_dict` that names the first offending key, and both shapes where they differ.

    Names of one shared tensor must have equal values: the model cannot hold both.
    """
    expected = model.state_dict()
    _check_shapes(expected, weights)
    first_name: dict[Tensor, str] = {}
    for key, parameter in model.named_parameters(remove_duplicate=False):
        twin = first_name.setdefault(parameter, key)
        if twin != key and not torch.equal(weights[key], weights[twin]):
            raise InputError(f"weights {key!r} differ from {twin!r}, but the model has one tensor for both")
    model.load_state_dict(dict(weights))


def _check_shapes(expected: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    missing, unknown = sorted(set(expected) - set(weights)), sorted(set(weights) - set(expected))
    lacks = f"lack the key {missing[0]!r} ({len(missing)} missing)" if missing else ""
    holds = f"hold the unknown key {unknown[0]!r:.80} ({len(unknown)} unknown)" if unknown else ""
    if missing or unknown:
        raise InputError(f"weights {' and '.join(filter(None, (lacks, holds)))}: nothing was loaded")
    for key, value in expected.items():
        if tuple(weights[key].shape) != tuple(value.shape):
            raise InputError(
                f"weights {key!r} have shape {tuple(weights[key].shape)}, the configuration says {tuple(value.shape)}"
            )
        if not weights[key].is_floating_point():
            raise InputError(f"weights {key!r} are of type {weights[key].dtype}: they must be floating-point numbers")

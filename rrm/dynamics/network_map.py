"""The calls of a recursive model's rollout as a map on the joint state (z_H, z_L), with its tangent."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from rrm.dynamics.rollout import embed_batch
from rrm.dynamics.tangent_map import TangentMap, flat
from rrm.dynamics.tangents import push
from rrm.models.base import Readout, RecursiveModel, State


class NetworkMap(TangentMap):
    """One network call a step; the puzzle of each row is fixed, so that given x the system is autonomous.

    `batch` holds `inputs` [B, S] and `puzzle_identifiers` [B]. The joint dimension is N = 2 L D. State and tangents run
    in float32, in float64 for a model turned by `.double()`; never in bfloat16, where the exponents would be those of
    the rounding. `wide_tangents` pushes float64 tangents along the float32 trajectory: a check on the arithmetic that
    leaves the orbit alone. `compiled` as in `rrm.dynamics.tangents.push`. `seed` fixes what a model with randomness of
    its own draws (EqR: start state and noise at every call): the exponents are those of that random map.

    With gradients enabled, state and tangents carry them to the weights of the blocks and of the input embedding. Wide
    tangents run on a copy of the weights and cannot: ValueError.
    """

    def __init__(
        self,
        model: RecursiveModel,
        batch: Mapping,
        *,
        seed: int = 0,
        wide_tangents: bool = False,
        compiled: bool = False,
    ):
        self.model, self.compiled = model, compiled
        self.calls_per_segment = len(model.segment_calls)
        self._generator = torch.Generator().manual_seed(seed)
        with model.precision(torch.float32):
            self._x = embed_batch(model, batch)
            self._start = model.initial_state(len(self._x), self._generator)
        self.half_shape = tuple(self._x.shape[1:])
        # The generator as it stood before call t, so that a call draws the same noise whenever it is asked for.
        self._before_call: dict[int, Tensor] = {}
        self._wide = copy.deepcopy(model).double() if wide_tangents else None

    def start(self) -> Tensor:
        return flat(self._start)

    def state(self, z: Tensor) -> State:
        """z [B, N] -> the two halves, each [B, L, D]; views."""
        return State(*z.unflatten(1, (2, *self.half_shape)).unbind(1))

    def readout(self, z: Tensor) -> Readout:
        """Logits and halting scores of z [B, N]."""
        with self.model.precision(torch.float32):
            return self.model.readout(self.state(z))

    def step(self, t: int, z: Tensor) -> Tensor:
        half, state = self._half(t), self.state(z)
        with self.model.precision(torch.float32):
            return flat(self.model.step(half, state, self._x, self._noise_of_call(t)))

    def push(self, t: int, z: Tensor, V: Tensor) -> tuple[Tensor, Tensor]:
        if self._wide is not None and torch.is_grad_enabled() and z.requires_grad:
            raise ValueError("wide_tangents is True: tangents on a copy of the weights have no gradient to the model")
        half, state, model = self._half(t), self.state(z), self.model
        V_H, V_L = V.unflatten(2, (2, *self.half_shape)).unbind(2)
        # A call sees the sum of the halves, so a tangent needs one product, in the direction dz_H + dz_L; the half
        # that is not replaced keeps its tangent.
        direction = (V_H + V_L).transpose(0, 1)
        with model.precision(torch.float32):
            u = model.inject(half, state, self._x)
            wide = None if self._wide is None else self._wide.network(half)
            out, V_out = push(model.network(half), u, direction, compiled=self.compiled, wide=wide)
            z = flat(model.update(half, state, out, self._noise_of_call(t)))
        V_out = V_out.transpose(0, 1)
        if model.damping != 1:
            V_out = (1 - model.damping) * (V_H if half == "H" else V_L) + model.damping * V_out
        return z, flat_tangents(V_out, V_L) if half == "H" else flat_tangents(V_H, V_out)

    @property
    def tangent_dtype(self) -> torch.dtype:
        """Dtype of the tangents."""
        return torch.float64 if self._wide is not None else self._x.dtype

    def _half(self, t: int) -> str:
        return self.model.segment_calls[t % self.calls_per_segment]

    def _noise_of_call(self, t: int) -> torch.Generator | None:
        if not self.model.call_noise:
            return None
        if t in self._before_call:
            self._generator.set_state(self._before_call[t])
        else:
            self._before_call[t] = self._generator.get_state()
        return self._generator


def flat_tangents(V_H: Tensor, V_L: Tensor) -> Tensor:
    """Halves [B, k, L, D] -> rows [B, k, N]."""
    return torch.stack((V_H, V_L), 2).flatten(2)

"""The calls of a recursive model's rollout as a map on the joint state (z_H, z_L), with its tangent map."""

import copy
from collections.abc import Mapping

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from rrm.dynamics.rollout import embed_batch
from rrm.dynamics.tangent_map import TangentMap, flat
from rrm.dynamics.tangents import push
from rrm.models.base import Readout, RecursiveModel, State


class NetworkMap(TangentMap):
    """One network call a step, on states z [B, N] with N = 2 L D; the puzzle of each row is fixed.

    Given the embedded puzzles x the system is autonomous up to the order of the calls. State and tangents run in
    float32, in float64 for a model turned by `.double()`; never in bfloat16, where the exponents would be those of the
    rounding. With gradients enabled, state and tangents carry them to the weights of the blocks and of the input
    embedding.

    Args:
        model: the network.
        batch: `inputs` [B, S] and `puzzle_identifiers` [B], tensors or arrays.
        seed: fixes the draws of a model with randomness of its own (EqR: start state and noise at every call). The
            exponents are those of that random map.
        wide_tangents: push float64 tangents along the float32 trajectory, a check on the arithmetic that leaves the
            orbit alone. Such tangents run on a copy of the weights and have no gradient to the model.
        compiled: as in `rrm.dynamics.tangents.push`.

    Attributes:
        half_shape: (L, D).
        calls_per_segment: network calls of a segment.
    """

    def __init__(
        self,
        model: RecursiveModel,
        batch: Mapping[str, ArrayLike | Tensor],
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
        _, positions, channels = self._x.shape
        self.half_shape = (positions, channels)
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
        """z(t+1) [B, N] and the pushed tangents [B, k, N].

        With u the injected state, out = net(u) and d the damping (1: none), a call replaces its half a of the state
        (z_a, z_b) by z_a' = (1 - d) z_a + d out, plus noise. The tangents of that half become
        dz_a' = (1 - d) dz_a + d Dnet(u) (dz_a + dz_b); those of the other half stay.

        Raises:
            ValueError: wide tangents while the state carries gradient.
        """
        if self._wide is not None and torch.is_grad_enabled() and z.requires_grad:
            raise ValueError("wide_tangents is True: tangents on a copy of the weights have no gradient to the model")
        half, state, model = self._half(t), self.state(z), self.model
        V_H, V_L = V.unflatten(2, (2, *self.half_shape)).unbind(2)
        # The network sees the sum of the halves, so that one product per tangent is enough.
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

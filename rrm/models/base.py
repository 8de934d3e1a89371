"""The contract of every recursive reasoner: start state, the network calls of a segment, readout."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from rrm.errors import InputError
from rrm.models.config import ReasonerConfig
from rrm.models.layers import Linear, Stack
from rrm.models.noise import add_noise, gaussian
from rrm.models.precision import own_precision


class State(NamedTuple):
    """The latent state between calls: both halves [B, L, D], L = prefix + tokens."""

    z_H: Tensor
    z_L: Tensor

    def detach(self) -> "State":
        return State(self.z_H.detach(), self.z_L.detach())


class Readout(NamedTuple):
    """The outputs of a model for a state: logits [B, S, V], and float32 halting scores [B] (None without a Q head)."""

    logits: Tensor
    q_halt: Tensor | None
    q_continue: Tensor | None


class RecursiveModel(nn.Module, ABC):
    """A network that refines (z_H, z_L) by repeated *calls*; a *segment* is one pass of `segment_calls`.

    A call replaces one half of the state and leaves the other unchanged:
    "L": z_L <- net(z_L + z_H + x);  "H": z_H <- net(z_H + z_L), x being the embedded puzzle [B, L, D].

    Subclasses set `config`, `segment_calls` (such as ("L", "L", "H")), `grad_calls` (how many calls at the end of a
    segment carry gradient in training), `forward_dtype` and `half_shape` (L, D), and define the four abstract methods.
    Calls must be pure functions of their arguments, so that `rrm.dynamics` can push tangents through them.

    A damped, noisy model (EqR, arXiv 2605.21488) updates a half to (1 - damping) z + damping net(.) + call_noise n with
    n ~ N(0, I), and may start from a random state. Methods draw random numbers from their `generator`, which a model
    without randomness never touches.

    The training step reads two facts. `carries_state`: a puzzle's state is carried over training steps; otherwise each
    step rolls out from the start state. `q_learning`: q_continue is trained too, by Q-learning, and a row halts when
    q_halt > q_continue; otherwise q_continue is never trained, and a row halts when q_halt > 0.
    """

    carries_state = True
    q_learning = False
    damping = 1.0
    call_noise = 0.0

    config: ReasonerConfig
    segment_calls: tuple[str, ...]
    grad_calls: int
    forward_dtype: torch.dtype
    half_shape: tuple[int, int]

    @property
    def state_size(self) -> int:
        """N = 2 L D: numbers in the joint state (z_H, z_L), the dimension of its tangent space."""
        positions, channels = self.half_shape
        return 2 * positions * channels

    @abstractmethod
    def initial_state(self, batch_size: int, generator: torch.Generator | None = None) -> State:
        """The state a rollout starts from, [B, L, D] per half, in `compute_dtype`."""

    @abstractmethod
    def embed(self, inputs_BS: Tensor, puzzle_identifiers_B: Tensor) -> Tensor:
        """Tokens [B, S] and puzzle identifiers [B] -> x [B, L, D].

        Raises:
            ValueError: for a token or an identifier that is no row of its table. A training on an accelerator does not
                check.
        """

    @abstractmethod
    def network(self, half: str) -> Stack:
        """The stack of blocks that a call of `half` ("H" or "L") applies to its injected state."""

    @abstractmethod
    def readout(self, state: State) -> Readout:
        """Logits and halting scores of a state."""

    def wants_to_halt(self, readout: Readout) -> Tensor | None:
        """Of each row of a readout, whether the Q head says halt, bool [B]; None without a Q head."""
        if readout.q_halt is None or readout.q_continue is None:
            return None
        return readout.q_halt > (readout.q_continue if self.q_learning else 0)

    def hidden_matrices(self) -> dict[str, int]:
        """The weight matrices of the networks by name, each with the number of matrices stacked in it.

        Embeddings and heads are not among them. The weight of `qkv_proj` stacks the queries, keys and values of every
        head.
        """
        return {
            f"{name}.weight": layer.stacked
            for stack_name, stack in self.named_modules()
            if isinstance(stack, Stack)
            for name, layer in stack.named_modules(prefix=stack_name)
            if isinstance(layer, Linear)
        }

    def inject(self, half: str, state: State, x_BLD: Tensor) -> Tensor:
        """The input of the network of a call, [B, L, D]: the sum of the two halves and, for "L", the puzzle x."""
        u = state.z_L + (state.z_H + x_BLD) if half == "L" else state.z_H + state.z_L
        return u.to(self.compute_dtype)

    def update(self, half: str, state: State, out: Tensor, generator: torch.Generator | None = None) -> State:
        """The state after a call whose network gave `out` [B, L, D]."""
        if self.damping != 1:
            old = state.z_H if half == "H" else state.z_L
            out = (1 - self.damping) * old + self.damping * out
        if self.call_noise:
            out = add_noise(out, self.call_noise, gaussian(out.shape, generator).to(out))
        return State(out, state.z_L) if half == "H" else State(state.z_H, out)

    def step(self, half: str, state: State, x_BLD: Tensor, generator: torch.Generator | None = None) -> State:
        """The state after one call."""
        return self.update(half, state, self.network(half)(self.inject(half, state, x_BLD)), generator)

    def segment(
        self,
        state: State,
        x_BLD: Tensor,
        generator: torch.Generator | None = None,
        grad_calls: int | None = None,
    ) -> State:
        """The state after one segment; only the last `grad_calls` calls (None: the model's own) are recorded."""
        recorded_from = len(self.segment_calls) - (self.grad_calls if grad_calls is None else grad_calls)
        for number, half in enumerate(self.segment_calls):
            with nullcontext() if number >= recorded_from else torch.no_grad():
                state = self.step(half, state, x_BLD, generator)
        return state

    @property
    def compute_dtype(self) -> torch.dtype:
        """Dtype of state and calls: `forward_dtype`, except that a model turned by `.double()` computes in float64."""
        weight = next(self.parameters()).dtype
        return weight if weight == torch.float64 else self.forward_dtype

    @contextmanager
    def precision(self, dtype: torch.dtype) -> Iterator[Self]:
        """Run the calls in `dtype` for a while: stability is measured in float32 even of a bfloat16 model.

        `own_precision` holds inside.
        """
        before, self.forward_dtype = self.forward_dtype, dtype
        try:
            with own_precision():
                yield self
        finally:
            self.forward_dtype = before


def recursive(model: nn.Module, what: str) -> RecursiveModel:
    """The model as a recursive one; InputError, which says that `what` needs such a model, for another network."""
    if not isinstance(model, RecursiveModel):
        raise InputError(
            f"{what} needs a recursive model, and {type(model).__name__} has no recursion: use one of the families "
            "trm, hrm and srm"
        )
    return model


def parameter_count(model: nn.Module) -> int:
    """Number of trained parameters; the puzzle table is a buffer and not counted, as in the papers."""
    return sum(p.numel() for p in model.parameters())

"""What TRM, HRM and SRM share beyond the protocol: input embedding, start states and heads around their networks."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rrm.errors import InputError
from rrm.models import layers
from rrm.models.base import Readout, RecursiveModel, State

# Rows of the largest table: identifiers are written as int32.
_MOST_IDENTIFIERS = 1 << 31
FORWARD_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True)
class ReasonerConfig:
    """Shape of a reasoner, under the field's names.

    Subclasses say, by a field or as a fact, whether a SwiGLU mixes positions instead of attention (`mlp_t`) and how
    many positions the prefix has (`puzzle_emb_len`). A puzzle vector of `puzzle_emb_ndim` numbers (0: none) fills the
    prefix from the left; the rest of it starts as zeros.

    `damping`, `call_noise` and `random_start` make TRM's EqR (arXiv 2605.21488; .95, .01, True): damped updates, noise
    at every call in training and evaluation, and a start drawn anew for every row, position and channel.
    """

    position_encodings: ClassVar[tuple[str, ...]] = ("none", "learned", "rope")

    vocab_size: int
    seq_len: int
    hidden_size: int
    H_cycles: int
    L_cycles: int
    L_layers: int
    num_heads: int = 8
    expansion: float = 4
    pos_encodings: str = "none"
    puzzle_emb_ndim: int = 0
    num_puzzle_identifiers: int = 1
    forward_dtype: str = "float32"
    damping: float = 1.0
    call_noise: float = 0.0
    random_start: bool = False

    def __post_init__(self):
        for name in ("H_cycles", "L_cycles", "L_layers"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}: it must be at least 1")
        if self.pos_encodings not in self.position_encodings:
            allowed = ", ".join(self.position_encodings)
            raise InputError(f"pos_encodings {self.pos_encodings!r} is unknown: use {allowed}")
        if self.forward_dtype not in FORWARD_DTYPES:
            raise InputError(f"forward_dtype {self.forward_dtype!r} is unknown: use {', '.join(FORWARD_DTYPES)}")
        if not self.mlp_t and (self.hidden_size % self.num_heads or self.hidden_size // self.num_heads % 2):
            raise InputError(
                f"hidden_size {self.hidden_size} does not split into {self.num_heads} heads of even width: "
                f"choose hidden_size as a multiple of {2 * self.num_heads}"
            )
        if self.puzzle_emb_ndim > self.puzzle_emb_len * self.hidden_size:
            raise InputError(
                f"puzzle_emb_ndim {self.puzzle_emb_ndim} does not fit puzzle_emb_len {self.puzzle_emb_len} positions "
                f"of width {self.hidden_size}: raise puzzle_emb_len"
            )

    @property
    def cycle(self) -> tuple[str, ...]:
        """The calls of one cycle: `L_cycles` z_L calls, then one z_H call."""
        return ("L",) * self.L_cycles + ("H",)


class Reasoner(RecursiveModel):
    """Tokens and prefix in front, linear heads behind, and in between the stacks that a subclass names.

    `depths` maps the name of a stack, as state dicts write it, to its number of blocks. Subclasses set
    `segment_calls` and `grad_calls`, and say by `network` which stack serves which half.
    """

    mixer_block = layers.MixerBlock
    has_q_head = True

    def __init__(self, config: ReasonerConfig, depths: dict[str, int]):
        super().__init__()
        self.config = config
        self.damping, self.call_noise = config.damping, config.call_noise
        self.forward_dtype = FORWARD_DTYPES[config.forward_dtype]
        width, length = config.hidden_size, config.puzzle_emb_len + config.seq_len
        self.length = length

        self.embed_tokens = layers.Table(config.vocab_size, width, std=width**-0.5)
        self.embed_pos = layers.Table(length, width, std=width**-0.5) if config.pos_encodings == "learned" else None
        has_puzzles = config.puzzle_emb_ndim > 0
        self.puzzle_emb = (
            layers.PuzzleTable(config.num_puzzle_identifiers, config.puzzle_emb_ndim) if has_puzzles else None
        )
        rotary = None
        if config.pos_encodings == "rope" and not config.mlp_t:
            rotary = layers.RotaryPositions(length, width // config.num_heads)
        for name, depth in depths.items():
            self.add_module(name, layers.Stack([self._block() for _ in range(depth)], rotary))
        self.lm_head = layers.Linear(width, config.vocab_size)
        self.q_head = layers.Linear(width, 2, bias=True) if self.has_q_head else None
        if self.q_head is not None:
            with torch.no_grad():
                # Halting starts near "never", so that the first segments are spent on learning the answer.
                self.q_head.weight.zero_()
                self.q_head.bias.fill_(-5.0)
        # The start states are drawn once and never trained. A bfloat16 model keeps them in bfloat16, as its public code
        # does, so that a measurement in float32 starts where the training did.
        for name in ("H_init", "L_init"):
            self.register_buffer(name, layers.truncated_normal_(torch.empty(width), 1.0).to(self.forward_dtype))

    def _block(self):
        c = self.config
        if c.mlp_t:
            return self.mixer_block(c.hidden_size, self.length, c.expansion)
        return layers.AttentionBlock(c.hidden_size, c.num_heads, c.expansion)

    def initial_state(self, batch_size: int, generator: torch.Generator | None = None) -> State:
        shape = (batch_size, self.length, self.config.hidden_size)
        # Materialised: forward-mode duals refuse tensors whose rows share memory.
        state = State(
            *(start.to(self.compute_dtype).expand(shape).contiguous() for start in (self.H_init, self.L_init))
        )
        if not self.config.random_start:
            return state
        return State(*(layers.truncated_normal_(torch.empty(half.shape), 1.0, generator).to(half) for half in state))

    def embed(self, inputs_BS: Tensor, puzzle_identifiers_B: Tensor) -> Tensor:
        c, dtype = self.config, self.compute_dtype
        x = self.embed_tokens.embedding_weight.to(dtype)[self._row_numbers(inputs_BS, c.vocab_size, "token")]
        # Without a table identifiers say nothing, and one that is none is still a mistake of the data.
        rows_known = _MOST_IDENTIFIERS if self.puzzle_emb is None else c.num_puzzle_identifiers
        identifiers_B = self._row_numbers(puzzle_identifiers_B, rows_known, "puzzle identifier")
        if c.puzzle_emb_len:
            prefix = x.new_zeros(len(x), c.puzzle_emb_len * c.hidden_size)
            if self.puzzle_emb is not None:
                rows = self.puzzle_emb(identifiers_B).to(dtype)
                prefix = torch.nn.functional.pad(rows, (0, prefix.shape[1] - rows.shape[1]))
            x = torch.cat((prefix.view(len(x), c.puzzle_emb_len, c.hidden_size), x), dim=1)
        if self.embed_pos is not None:
            x = 0.5**0.5 * (x + self.embed_pos.embedding_weight.to(dtype))
        return c.hidden_size**0.5 * x

    def _row_numbers(self, values: Tensor, rows: int, name: str) -> Tensor:
        # A look at every batch would keep a training on an accelerator waiting: its stream has whole tokens.
        if self.training and values.device.type != "cpu":
            return values.long()
        return layers.row_numbers(values, rows, name)

    def readout(self, state: State) -> Readout:
        logits = self.lm_head(state.z_H)[:, self.config.puzzle_emb_len :]
        if self.q_head is None:
            return Readout(logits, None, None)
        q = self.q_head(state.z_H[:, 0])
        q = q.float() if q.dtype == torch.bfloat16 else q
        return Readout(logits, q[:, 0], q[:, 1])

"""Tiny Recursive Model (Jolicoeur-Martineau, arXiv 2510.04871): one small network for both halves of the state."""

from dataclasses import dataclass

import torch
from torch import Tensor

from rrm.errors import InputError
from rrm.models import layers
from rrm.models.base import Readout, RecursiveModel, State

POSITION_ENCODINGS = ("none", "learned", "rope")
FORWARD_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class TRMConfig:
    """Shape of a TRM, under the field's names.

    `mlp_t` mixes positions by a SwiGLU instead of attention. The prefix holds `puzzle_emb_len` positions; a puzzle
    vector of `puzzle_emb_ndim` numbers (0: none) fills it from the left, the rest are registers.
    """

    vocab_size: int
    seq_len: int
    hidden_size: int
    mlp_t: bool
    num_heads: int = 8
    H_cycles: int = 3
    L_cycles: int = 6
    L_layers: int = 2
    expansion: float = 4
    pos_encodings: str = "none"
    puzzle_emb_len: int = 0
    puzzle_emb_ndim: int = 0
    num_puzzle_identifiers: int = 1
    forward_dtype: str = "float32"

    def __post_init__(self):
        if self.pos_encodings not in POSITION_ENCODINGS:
            raise InputError(f"pos_encodings {self.pos_encodings!r} is unknown: use {', '.join(POSITION_ENCODINGS)}")
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


class TRM(RecursiveModel):
    """H_cycles times (L_cycles z_L calls, then one z_H call); the last cycle carries gradient.

    Defaults of the paper (H 3, L 6): 21 calls a segment, 7 with gradient.
    """

    def __init__(self, config: TRMConfig):
        super().__init__()
        self.config = config
        self.segment_calls = (("L",) * config.L_cycles + ("H",)) * config.H_cycles
        self.grad_calls = config.L_cycles + 1
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
        self.L_level = layers.Stack([self._block() for _ in range(config.L_layers)], rotary)
        self.lm_head = layers.Linear(width, config.vocab_size)
        self.q_head = layers.Linear(width, 2, bias=True)
        with torch.no_grad():
            # Halting starts near "never", so that the first segments are spent on learning the answer.
            self.q_head.weight.zero_()
            self.q_head.bias.fill_(-5.0)
        # The start states are drawn once and never trained.
        self.register_buffer("H_init", layers.truncated_normal_(torch.empty(width), 1.0))
        self.register_buffer("L_init", layers.truncated_normal_(torch.empty(width), 1.0))

    def _block(self):
        c = self.config
        if c.mlp_t:
            return layers.MixerBlock(c.hidden_size, self.length, c.expansion)
        return layers.AttentionBlock(c.hidden_size, c.num_heads, c.expansion)

    def initial_state(self, batch_size: int) -> State:
        shape = (batch_size, self.length, self.config.hidden_size)
        # Materialised: forward-mode duals refuse tensors whose rows share memory.
        return State(*(start.to(self.compute_dtype).expand(shape).contiguous() for start in (self.H_init, self.L_init)))

    def embed(self, inputs_BS: Tensor, puzzle_identifiers_B: Tensor) -> Tensor:
        c, dtype = self.config, self.compute_dtype
        x = self.embed_tokens.embedding_weight.to(dtype)[inputs_BS.long()]
        if c.puzzle_emb_len:
            prefix = x.new_zeros(len(x), c.puzzle_emb_len * c.hidden_size)
            if self.puzzle_emb is not None:
                rows = self.puzzle_emb(puzzle_identifiers_B.long()).to(dtype)
                prefix = torch.nn.functional.pad(rows, (0, prefix.shape[1] - rows.shape[1]))
            x = torch.cat((prefix.view(len(x), c.puzzle_emb_len, c.hidden_size), x), dim=1)
        if self.embed_pos is not None:
            x = 0.5**0.5 * (x + self.embed_pos.embedding_weight.to(dtype))
        return c.hidden_size**0.5 * x

    def network(self, half: str) -> layers.Stack:
        return self.L_level

    def readout(self, state: State) -> Readout:
        logits = self.lm_head(state.z_H)[:, self.config.puzzle_emb_len :]
        q = self.q_head(state.z_H[:, 0])
        q = q.float() if q.dtype == torch.bfloat16 else q
        return Readout(logits, q[:, 0], q[:, 1])

"""The frame around the networks of TRM, HRM and SRM: input embedding, start states and heads."""

import torch
from torch import Tensor, nn

from rrm.models import layers
from rrm.models.base import Readout, RecursiveModel, State
from rrm.models.config import FORWARD_DTYPES, ReasonerConfig
from rrm.models.delta_rule import DeltaRuleBlock, scan_order

# Rows of the largest table: files hold identifiers as int32.
_MOST_IDENTIFIERS = 1 << 31


class Reasoner(RecursiveModel):
    """Tokens and prefix in front, linear heads behind, and in between the stacks that a subclass names.

    `depths` maps the name of a stack, as state dicts write it, to its number of blocks. Subclasses set
    `segment_calls` and `grad_calls`, and return by `network` the stack of each half.
    """

    mixer_block: type[layers.MixerBlock] = layers.MixerBlock
    has_q_head = True

    H_init: Tensor
    L_init: Tensor

    def __init__(self, config: ReasonerConfig, depths: dict[str, int]):
        super().__init__()
        self.config = config
        self.damping, self.call_noise = config.damping, config.call_noise
        self.forward_dtype = FORWARD_DTYPES[config.forward_dtype]
        width, length = config.hidden_size, config.prefix + config.seq_len
        self.half_shape = (length, width)

        self.embed_tokens = layers.Table(config.vocab_size, width, std=width**-0.5)
        self.embed_pos = layers.Table(length, width, std=width**-0.5) if config.pos_encodings == "learned" else None
        has_puzzles = config.puzzle_emb_ndim > 0
        self.puzzle_emb = (
            layers.PuzzleTable(config.num_puzzle_identifiers, config.puzzle_emb_ndim) if has_puzzles else None
        )
        rotary = self._rotary()
        for name, depth in depths.items():
            self.add_module(name, layers.Stack([self._block() for _ in range(depth)], rotary))
        self.lm_head = layers.Linear(width, config.vocab_size)
        # As in HRM's public code: weights 0 and bias -5 start the halting scores near "never", so that the first
        # segments are spent on learning the answer.
        self.q_head = layers.Linear(width, 2, bias=-5.0) if self.has_q_head else None
        if self.q_head is not None:
            nn.init.zeros_(self.q_head.weight)
        # The start states are drawn once and never trained. A bfloat16 model keeps them in bfloat16, as the public code
        # does, so that a measurement in float32 starts where the training did.
        for name in ("H_init", "L_init"):
            self.register_buffer(name, layers.truncated_normal_(torch.empty(width), 1.0).to(self.forward_dtype))

    def _block(self) -> layers.Block:
        c = self.config
        if c.delta_rule:
            order = scan_order(c.num_heads, c.prefix, c.seq_len, c.columns if c.pos_encodings == "rope_2d" else None)
            return DeltaRuleBlock(c.hidden_size, order, c.expansion, layers.SWIGLUS[c.swiglu])
        if c.attention:
            return layers.AttentionBlock(c.hidden_size, c.num_heads, c.expansion, layers.SWIGLUS[c.swiglu])
        return self.mixer_block(c.hidden_size, self.half_shape[0], c.expansion, layers.SWIGLUS[c.swiglu])

    def _rotary(self) -> layers.RotaryPositions | None:
        c = self.config
        if not c.attention or c.pos_encodings not in ("rope", "rope_2d"):
            return None
        places = layers.line_places(c.prefix + c.seq_len)
        if c.pos_encodings == "rope_2d":
            places = layers.grid_places(c.prefix, c.seq_len, c.columns)
        return layers.RotaryPositions(places, c.hidden_size // c.num_heads, c.rope_theta)

    def undecayed(self) -> set[str]:
        """Names of the parameters that weight decay leaves alone: those that set the speed of a gate's decay."""
        return {name for name, _ in self.named_parameters() if name.endswith((".A_log", ".dt_bias"))}

    def initial_state(self, batch_size: int, generator: torch.Generator | None = None) -> State:
        shape = (batch_size, *self.half_shape)
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
        # A model without a table ignores identifiers, but a wrong one is still a mistake of the data.
        rows_known = _MOST_IDENTIFIERS if self.puzzle_emb is None else c.num_puzzle_identifiers
        identifiers_B = self._row_numbers(puzzle_identifiers_B, rows_known, "puzzle identifier")
        if c.prefix:
            prefix = x.new_zeros(len(x), c.prefix * c.hidden_size)
            if self.puzzle_emb is not None:
                rows = self.puzzle_emb(identifiers_B).to(dtype)
                prefix = torch.nn.functional.pad(rows, (0, prefix.shape[1] - rows.shape[1]))
            x = torch.cat((prefix.view(len(x), c.prefix, c.hidden_size), x), dim=1)
        if self.embed_pos is not None:
            x = 0.5**0.5 * (x + self.embed_pos.embedding_weight.to(dtype))
        return c.hidden_size**0.5 * x

    def _row_numbers(self, values: Tensor, rows: int, name: str) -> Tensor:
        # A check of every batch would make an accelerator wait, and the batches of a training hold whole tokens.
        if self.training and values.device.type != "cpu":
            return values.long()
        return layers.row_numbers(values, rows, name)

    def readout(self, state: State) -> Readout:
        logits = self.lm_head(state.z_H)[:, self.config.prefix :]
        if self.q_head is None:
            return Readout(logits, None, None)
        q = self.q_head(state.z_H[:, 0])
        q = q.float() if q.dtype == torch.bfloat16 else q
        return Readout(logits, q[:, 0], q[:, 1])

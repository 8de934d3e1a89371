"""Settings that TRM, HRM and SRM share: the shape of the network and the depth of a segment."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch

from rrm.errors import InputError
from rrm.models.layers import SWIGLUS

FORWARD_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True)
class ReasonerConfig(ABC):
    """Settings of a reasoner, under the names of the public implementations.

    Attributes:
        vocab_size: tokens, padding included.
        seq_len: S: tokens of a puzzle.
        hidden_size: D: channels of each half of the state.
        H_cycles, L_cycles: z_H calls of a segment, and z_L calls before each of them.
        L_layers: blocks of the network.
        num_heads: heads of attention or of the delta rule, each of an even width.
        delta_rule: the gated delta rule mixes positions instead of attention (`rrm.models.delta_rule`); with "rope_2d"
            every second head reads the grid column by column.
        expansion: inner width of a SwiGLU in multiples of D, before `layers.swiglu_width` rounds it.
        swiglu: one of `layers.SWIGLUS`.
        pos_encodings: one of `position_encodings`. "rope_2d" turns half of a head's frequencies by the row of a cell
            and half by its column (`layers.grid_places`).
        rope_theta: base of the frequencies of rotary positions; 10 suits a small grid.
        grid_width: columns of the grid that "rope_2d" reads row by row. None: the grid is square.
        puzzle_emb_ndim: numbers of a puzzle's vector (0: none). The vector fills the prefix from the left, zeros fill
            the rest.
        num_puzzle_identifiers: rows of the table of these vectors.
        forward_dtype: one of `FORWARD_DTYPES`, for the state and the calls; parameters are float32.
        damping, call_noise, random_start: of EqR (arXiv 2605.21488; .95, .01, True): damped updates, noise at every
            call in training and evaluation, and a start drawn anew for every row, position and channel.

    Raises:
        InputError: for settings that no network has.
    """

    position_encodings: ClassVar[tuple[str, ...]] = ("none", "learned", "rope", "rope_2d")

    vocab_size: int
    seq_len: int
    hidden_size: int
    H_cycles: int
    L_cycles: int
    L_layers: int
    num_heads: int = 8
    delta_rule: bool = False
    expansion: float = 4
    swiglu: str = "plain"
    pos_encodings: str = "none"
    rope_theta: float = 10_000.0
    grid_width: int | None = None
    puzzle_emb_ndim: int = 0
    num_puzzle_identifiers: int = 1
    forward_dtype: str = "float32"
    damping: float = 1.0
    call_noise: float = 0.0
    random_start: bool = False

    def __post_init__(self) -> None:
        for name in ("H_cycles", "L_cycles", "L_layers"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}: it must be at least 1")
        if self.pos_encodings not in self.position_encodings:
            allowed = ", ".join(self.position_encodings)
            raise InputError(f"pos_encodings {self.pos_encodings!r} is unknown: use {allowed}")
        if self.forward_dtype not in FORWARD_DTYPES:
            raise InputError(f"forward_dtype {self.forward_dtype!r} is unknown: use {', '.join(FORWARD_DTYPES)}")
        if self.swiglu not in SWIGLUS:
            raise InputError(f"swiglu {self.swiglu!r} is unknown: use {', '.join(SWIGLUS)}")
        if not 1 <= self.rope_theta < math.inf:
            raise InputError(f"rope_theta is {self.rope_theta}: use a number from 1, such as 10 or 10000")
        if self.delta_rule and not self.attention:
            raise InputError("delta_rule and mlp_t are both True: a network has one mixer, so set one of them to False")
        if self.attention and (self.hidden_size % self.num_heads or self.hidden_size // self.num_heads % 2):
            raise InputError(
                f"hidden_size {self.hidden_size} does not split into {self.num_heads} heads of even width: "
                f"choose hidden_size as a multiple of {2 * self.num_heads}"
            )
        if self.pos_encodings == "rope_2d":
            self._check_grid()
        if self.puzzle_emb_ndim > self.prefix * self.hidden_size:
            raise InputError(
                f"puzzle_emb_ndim {self.puzzle_emb_ndim} does not fit puzzle_emb_len {self.prefix} positions "
                f"of width {self.hidden_size}: raise puzzle_emb_len"
            )

    def _check_grid(self) -> None:
        """InputError where the tokens are no grid, or a head has no frequencies for both of its axes."""
        if self.grid_width is None:
            if self.columns**2 != self.seq_len:
                raise InputError(f"seq_len {self.seq_len} is no square grid: set grid_width to its number of columns")
        elif self.grid_width < 1 or self.seq_len % self.grid_width:
            raise InputError(
                f"grid_width is {self.grid_width}: it must be the number of columns of a grid of {self.seq_len} cells"
            )
        if self.attention and self.hidden_size // self.num_heads % 4:
            raise InputError(
                f"{self.num_heads} heads of width {self.hidden_size // self.num_heads} do not halve for rope_2d: "
                f"choose hidden_size as a multiple of {4 * self.num_heads}"
            )

    @property
    def columns(self) -> int:
        """Columns of the grid of the tokens, where they are one."""
        return math.isqrt(self.seq_len) if self.grid_width is None else self.grid_width

    @property
    @abstractmethod
    def attention(self) -> bool:
        """Whether heads of attention or of the delta rule mix positions; otherwise a SwiGLU over the positions does."""

    @property
    @abstractmethod
    def prefix(self) -> int:
        """Positions in front of the tokens."""

    @property
    def cycle(self) -> tuple[str, ...]:
        """The calls of one cycle: `L_cycles` z_L calls, then one z_H call."""
        return ("L",) * self.L_cycles + ("H",)

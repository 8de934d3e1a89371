"""Layers shared by all recursive reasoners (TRM, HRM, SRM): bias-free, gain-free, post-norm.

Shape suffixes: B batch, L positions (prefix + tokens), D hidden width, N heads, C head width.
Parameters stay float32; every layer casts its weight to the dtype of its input.
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rrm.models.products import product

RMS_EPS = 1e-5


def truncated_normal_(tensor: Tensor, std: float, generator: torch.Generator | None = None) -> Tensor:
    """Fill in place with a normal cut at two sigma whose *resulting* standard deviation is `std` (JAX's convention).

    `torch.nn.init.trunc_normal_` alone would return 0.88 std, because cutting the tails narrows the distribution.
    """
    if std == 0:
        return tensor.zero_()
    density = math.exp(-2.0) / math.sqrt(2 * math.pi)
    mass = math.erf(math.sqrt(2.0))
    wide = std / math.sqrt(1 - 4 * density / mass)
    return nn.init.trunc_normal_(tensor, std=wide, a=-2 * wide, b=2 * wide, generator=generator)


def rms_norm(x: Tensor, dim: int = -1) -> Tensor:
    """x / rms(x) over `dim`, without gain, in float32 (or wider) whatever the dtype of x."""
    wide = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
    return (wide * torch.rsqrt(wide.square().mean(dim, keepdim=True) + RMS_EPS)).to(x.dtype)


class Linear(nn.Module):
    """y = x W^T (+ b); W [out, in] starts truncated normal with std 1/sqrt(in), every entry of b at `bias`.

    `stacked` is the number of equal matrices that W holds one below the other.
    """

    stacked = 1

    def __init__(self, in_features: int, out_features: int, bias: float | None = None):
        super().__init__()
        self.weight = nn.Parameter(truncated_normal_(torch.empty(out_features, in_features), in_features**-0.5))
        self.bias = None if bias is None else nn.Parameter(torch.full((out_features,), bias))

    def forward(self, x: Tensor) -> Tensor:
        y = product(x.flatten(0, -2), self.weight.to(x.dtype).mT).unflatten(0, x.shape[:-1])
        return y if self.bias is None else y + self.bias.to(x.dtype)


def swiglu_width(width: int, expansion: float) -> int:
    """Inner width of a SwiGLU: two thirds of expansion * width, rounded up to a multiple of 256.

    Two thirds give a gated layer the parameters of one without a gate (Shazeer, arXiv 2002.05202); the public code of
    HRM and TRM rounds up.
    """
    return 256 * math.ceil(round(expansion * width * 2 / 3) / 256)


class SwiGLU(nn.Module):
    """down(silu(gate) * up), Shazeer, arXiv 2002.05202; gate is the first half of `gate_up_proj`, up the second.

    `axis` -1 works on channels. `axis` 0 is the token mixer: on [L, B, D] one matrix product from the left mixes
    positions, without any copy.
    """

    def __init__(self, width: int, expansion: float, axis: int = -1):
        super().__init__()
        inner = swiglu_width(width, expansion)
        self.axis = axis
        self.gate_up_proj = Linear(width, 2 * inner)
        self.down_proj = Linear(inner, width)

    def project(self, layer: Linear, x: Tensor) -> Tensor:
        """`layer` along this module's axis."""
        if self.axis == -1:
            return layer(x)
        return product(layer.weight.to(x.dtype), x.flatten(1)).unflatten(1, x.shape[1:])

    def gated(self, gate: Tensor, up: Tensor) -> Tensor:
        """The hidden layer, as wide as `gate` and `up`."""
        return F.silu(gate) * up

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.project(self.gate_up_proj, x).chunk(2, dim=self.axis)
        return self.project(self.down_proj, self.gated(gate, up))


class NormalisedSwiGLU(SwiGLU):
    """down(sigmoid(gate) * rms_norm(gate * up)), norm over the hidden layer (arXiv 2601.19085).

    silu(gate) * up grows with the square of the input. The norm takes the size of gate * up away, so that this branch
    cannot outgrow the state that it is added to.
    """

    def gated(self, gate: Tensor, up: Tensor) -> Tensor:
        return gate.sigmoid() * rms_norm(gate * up, dim=self.axis)


SWIGLUS: dict[str, type[SwiGLU]] = {"plain": SwiGLU, "normalised": NormalisedSwiGLU}


def line_places(length: int) -> Tensor:
    """The number of each position, [length, 1]."""
    return torch.arange(length).unsqueeze(1)


def grid_places(prefix: int, cells: int, columns: int) -> Tensor:
    """Row and column of each position of a grid that is read row by row behind a prefix, [prefix + cells, 2].

    Position i of a prefix of P is at (i, i), the cell in row r and column c at (P + r, P + c). The prefix lies on the
    diagonal in front of the first cell, as text in front of an image does in Qwen2-VL (arXiv 2409.12191), so that no
    two positions are at one place.
    """
    front, cell = torch.arange(prefix), torch.arange(cells)
    return torch.cat((torch.stack((front, front), 1), prefix + torch.stack((cell // columns, cell % columns), 1)))


class RotaryPositions(nn.Module):
    """Rotary positions (Su et al., RoFormer, arXiv 2104.09864) on a line or a grid; half-split convention.

    Each of the A axes of `places` [L, A] turns its own 1/A of the frequencies of a head, which fall from 1 to almost
    1 / `theta`. A score of attention depends on the differences of places alone. The tables are float32.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, places: Tensor, head_width: int, theta: float):
        super().__init__()
        width = head_width // places.shape[1]
        frequency = theta ** (-torch.arange(0, width, 2, dtype=torch.float32) / width)
        angle = (places.float().unsqueeze(-1) * frequency).flatten(1).repeat(1, 2)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)

    def forward(self, x_BNLC: Tensor) -> Tensor:
        first, second = x_BNLC.chunk(2, dim=-1)
        turned = torch.cat((-second, first), dim=-1)
        return (x_BNLC * self.cos + turned * self.sin).to(x_BNLC.dtype)


def scores_of(q: Tensor, k: Tensor) -> Tensor:
    """Attention weights [B, N, L, L] of queries and keys [B, N, L, C] before the softmax."""
    return (q @ k.mT).div_(q.shape[-1] ** 0.5)


def weights_of(q: Tensor, k: Tensor) -> Tensor:
    """Attention weights [B, N, L, L] of queries and keys [B, N, L, C]."""
    return scores_of(q, k).softmax(-1)


class Attention(nn.Module):
    """Full (non-causal) multi-head attention; `qkv_proj` is [all query heads, all key heads, all value heads].

    Forward-mode derivatives need the MATH backend of scaled_dot_product_attention: `rrm.dynamics` selects it. `watch`
    is told queries and keys of every pass where somebody records (`rrm.models.attending`).
    """

    watch: Callable[[Tensor, Tensor], None] | None = None

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv_proj = Linear(width, 3 * width)
        self.qkv_proj.stacked = 3 * heads
        self.o_proj = Linear(width, width)

    def forward(self, x_BLD: Tensor, rotary: RotaryPositions | None) -> Tensor:
        q, k, v = self._queries_keys_values(x_BLD, rotary)
        if self.watch is not None:
            self.watch(q, k)
        return self.o_proj(F.scaled_dot_product_attention(q, k, v).transpose(-2, -3).flatten(-2))

    def attention_weights(self, x_BLD: Tensor, rotary: RotaryPositions | None) -> Tensor:
        """How much each position looks at each other one, [B, N, L, L], which `forward` does not keep."""
        q, k, _ = self._queries_keys_values(x_BLD, rotary)
        return weights_of(q, k)

    def _queries_keys_values(self, x_BLD: Tensor, rotary: RotaryPositions | None) -> tuple[Tensor, Tensor, Tensor]:
        """Each [B, N, L, C]."""
        q, k, v = self.qkv_proj(x_BLD).unflatten(-1, (3 * self.heads, -1)).transpose(-2, -3).chunk(3, dim=-3)
        return (q, k, v) if rotary is None else (rotary(q), rotary(k), v)


class Block(nn.Module):
    """One layer of a stack: mixes positions, then channels. `positions_first`: on [L, B, D], otherwise [B, L, D]."""

    positions_first = False


class AttentionBlock(Block):
    """h = rms(h + attention(h)); h = rms(h + SwiGLU(h)), on [B, L, D]."""

    def __init__(self, width: int, heads: int, expansion: float, swiglu: type[SwiGLU] = SwiGLU):
        super().__init__()
        self.self_attn = Attention(width, heads)
        self.mlp = swiglu(width, expansion)

    def forward(self, h_BLD: Tensor, rotary: RotaryPositions | None) -> Tensor:
        h_BLD = rms_norm(h_BLD + self.self_attn(h_BLD, rotary))
        return rms_norm(h_BLD + self.mlp(h_BLD))


class MixerBlock(Block):
    """Block of TRM: a SwiGLU over positions, normalised over *positions* (per channel), then one over channels.

    On [L, B, D]; arXiv 2510.04871.
    """

    positions_first = True
    mixed_norm_axis = 0

    def __init__(self, width: int, length: int, expansion: float, swiglu: type[SwiGLU] = SwiGLU):
        super().__init__()
        self.mlp_t = swiglu(length, expansion, axis=0)
        self.mlp = swiglu(width, expansion)

    def forward(self, h_LBD: Tensor, rotary: None) -> Tensor:
        h_LBD = rms_norm(h_LBD + self.mlp_t(h_LBD), dim=self.mixed_norm_axis)
        return rms_norm(h_LBD + self.mlp(h_LBD))


class ChannelNormMixerBlock(MixerBlock):
    """Block of SRM: as that of TRM, but the norm after the SwiGLU over positions is over *channels* (per position)."""

    mixed_norm_axis = -1


class Stack(nn.Module):
    """The network of one call: blocks applied to u = state + injection, [B, L, D] -> [B, L, D]."""

    def __init__(self, blocks: Sequence[Block], rotary: RotaryPositions | None = None):
        super().__init__()
        self.layers = nn.ModuleList(blocks)
        self.rotary = rotary
        self.positions_first = blocks[0].positions_first

    def forward(self, u_BLD: Tensor) -> Tensor:
        h = u_BLD.transpose(0, 1).contiguous() if self.positions_first else u_BLD
        for layer in self.layers:
            h = layer(h, self.rotary)
        return h.transpose(0, 1).contiguous() if self.positions_first else h


def row_numbers(values: Tensor, rows: int, name: str) -> Tensor:
    """`values` as int64 row numbers of a table.

    Args:
        values: Numbers of any shape and dtype.
        rows: Rows of the table.
        name: Name of a value for the message.

    Raises:
        ValueError: for a value that is no whole number from 0 to rows - 1. An index of -1 would silently read the last
            row and 1.5 the second.
    """
    numbers = values.long()
    wrong = (numbers < 0) | (numbers >= rows)
    if values.is_floating_point():
        wrong = wrong | (values != numbers)
    if bool(wrong.any()):
        found = f"{values[wrong][0].item():g}"
        raise ValueError(f"{name} {found} is no row of the table: give whole numbers from 0 to {rows - 1}")
    return numbers


class Table(nn.Module):
    """A lookup table [rows, D], truncated normal."""

    def __init__(self, rows: int, width: int, std: float):
        super().__init__()
        self.embedding_weight = nn.Parameter(truncated_normal_(torch.empty(rows, width), std))


class PuzzleTable(nn.Module):
    """One vector per puzzle identifier, trained by sign-SGD on the rows of the batch and never by the main optimizer.

    `weights` [ids, width] is a buffer, zero at the start. In training mode the rows of a batch become a fresh leaf
    [B, width], whose gradient the sparse optimizer reads; evaluation reads the table. `pending` holds (identifiers [B],
    leaf) of the batches since the last update.
    """

    weights: Tensor

    def __init__(self, identifiers: int, width: int):
        super().__init__()
        self.register_buffer("weights", torch.zeros(identifiers, width))
        self.pending: list[tuple[Tensor, Tensor]] = []

    def forward(self, identifiers_B: Tensor) -> Tensor:
        rows = self.weights[identifiers_B]
        if self.training and torch.is_grad_enabled():
            rows = rows.detach().requires_grad_()
            self.pending.append((identifiers_B, rows))
        return rows

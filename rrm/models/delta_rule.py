"""The gated delta rule (Yang et al., Gated Delta Networks, arXiv 2412.06464): linear attention that forgets and edits.

A head reads the cells one by one and keeps a state S [C, C], which maps keys to values:

    S_t = alpha_t S_(t-1) + beta_t k_t (v_t - alpha_t S_(t-1)^T k_t)^T,    read_t = S_t^T q_t.

alpha_t = e^g_t from 0 to 1 is the decay of a cell, and beta_t from 0 to 1 how much of the value that the state has for
k_t is replaced by v_t. A board has no direction: each head reads the cells forwards and backwards, with gates of its
own for each, and adds the two reads. Of a grid half of the heads read row by row and half column by column, as scans
of images do (Liu et al., VMamba, arXiv 2401.10166): decay then tells rows from columns.

Within a chunk of cells the recursion is one triangular system, so that no loop over the cells is needed. With c the
running sum of g, D_ij = e^(c_i - c_j) for j <= i, and S the state before the chunk,

    (I + tril(diag(beta) K K^T * D, -1)) U = diag(beta) (V - diag(e^c) K S),
    reads = diag(e^c) Q S + tril(Q K^T * D) U.

Shape suffixes: B batch, L positions, D hidden width, N heads, C head width, W the two ways: forwards and backwards.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rrm.models.layers import Block, Linear, RotaryPositions, SwiGLU, rms_norm

CHUNK = 32  # cells of one triangular system, whose work grows with their square (tests/benchmarks/mixers.py)
SLOWEST, FASTEST = 0.05, 1.0  # -g of a cell at the start: half-lives of 14 to .7 cells over the heads


class Reading(NamedTuple):
    """The inputs of the recursion in the order of each way: q, k, v [B, W, N, L, C], g and beta [B, W, N, L].

    q has length sqrt(C) at most, and k length 1.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    g: Tensor
    beta: Tensor


def scan(reading: Reading, chunk: int = CHUNK) -> tuple[Tensor, Tensor]:
    """The recursion, `chunk` cells at a time: reads [B, W, N, L, C], and the state S [B, W, N, C, C] after the last."""
    state, reads = reading.k.new_zeros(*reading.k.shape[:-2], reading.k.shape[-1], reading.v.shape[-1]), []
    cells = [t.split(chunk, dim) for t, dim in zip(reading, (-2, -2, -2, -1, -1), strict=True)]
    for q, k, v, g, beta in zip(*cells, strict=True):
        c = g.cumsum(-1)
        # Cut before the exponential, which would overflow above the diagonal.
        D = (c.unsqueeze(-1) - c.unsqueeze(-2)).tril().exp()
        before, left, write = (t.unsqueeze(-1) for t in (c.exp(), (c[..., -1:] - c).exp(), beta))
        # The solver reads the part below the diagonal alone.
        system, values = write * (k @ k.mT) * D, write * (v - before * (k @ state))
        u = torch.linalg.solve_triangular(system, values, upper=False, unitriangular=True)
        reads.append(before * (q @ state) + (q @ k.mT * D).tril() @ u)
        state = before[..., -1:, :] * state + (left * k).mT @ u
    return torch.cat(reads, -2), state


def attention_map(reading: Reading) -> Tensor:
    """The matrix A [B, W, N, L, L] of the whole recursion, reads = A v: the reads of identity values.

    Within one chunk A = tril(Q K^T * D) (I + tril(diag(beta) K K^T * D, -1))^-1 diag(beta).
    """
    length = reading.k.shape[-2]
    ones = torch.eye(length, dtype=reading.k.dtype, device=reading.k.device)
    return scan(reading._replace(v=ones.expand(*reading.g.shape, length)))[0]


class GateStatistics(NamedTuple):
    """What the gates of a layer do with each row of a batch: all [B, W, N], over the cells.

    Attributes:
        alpha, alpha_spread: mean and standard deviation of the decay of a cell; 1 forgets nothing.
        half_life: cells until half of a state is forgotten, ln .5 / mean g.
        beta, beta_spread: mean and standard deviation of the writing strength.
        writing: share of the cells with beta > .5.
        state_norm: spectral norm of the state after the last cell.
    """

    alpha: Tensor
    alpha_spread: Tensor
    half_life: Tensor
    beta: Tensor
    beta_spread: Tensor
    writing: Tensor
    state_norm: Tensor


def gate_statistics(reading: Reading) -> GateStatistics:
    """The statistics of the gates for the inputs of a recursion (`GatedDeltaRule.reading`)."""
    alpha, beta = reading.g.exp(), reading.beta
    return GateStatistics(
        alpha.mean(-1),
        alpha.std(-1, correction=0),
        math.log(0.5) / reading.g.mean(-1),
        beta.mean(-1),
        beta.std(-1, correction=0),
        (beta > 0.5).to(beta.dtype).mean(-1),
        torch.linalg.matrix_norm(scan(reading)[1], 2),
    )


def scan_order(heads: int, prefix: int, cells: int, columns: int | None = None) -> Tensor:
    """The positions in the order in which each head reads them forwards, [N, L], the prefix always first.

    Every second head reads the cells of a grid of so many columns column by column.
    """
    cell = torch.arange(cells)
    rows = cells // (columns or cells)
    by_row, by_column = (
        torch.cat((torch.arange(prefix), prefix + of)) for of in (cell, cell % rows * (columns or 1) + cell // rows)
    )
    return torch.stack([by_column if head % 2 and columns else by_row for head in range(heads)])


class GatedDeltaRule(nn.Module):
    """A layer of heads of the gated delta rule, read both ways along `order` [N, L]; [B, L, D] -> [B, L, D].

    As in the paper g = -e^A_log softplus(a_proj x + dt_bias), beta = sigmoid(b_proj x), and q and k are normalised.
    Otherwise the layer is that of attention: rotary positions turn q and k, and the reads go to `o_proj`. The paper's
    short convolutions mix neighbours on a line; its SiLU of q, k and v and its norm and gate of the reads made small
    boards slower to learn. `chunk` cells are one triangular system.

    The recursion runs in float32 or wider whatever the dtype of x: a triangular system has no kernel in bfloat16.
    """

    chunk = CHUNK
    order: Tensor
    inverse: Tensor

    def __init__(self, width: int, order: Tensor):
        super().__init__()
        self.heads = heads = len(order)
        self.qkv_proj = Linear(width, 3 * width)
        self.qkv_proj.stacked = 3 * heads
        self.a_proj, self.b_proj = Linear(width, 2 * heads), Linear(width, 2 * heads)
        self.A_log = nn.Parameter(torch.zeros(2, heads))
        # Two heads each, one by row and one by column.
        rates = torch.logspace(math.log10(SLOWEST), math.log10(FASTEST), (heads + 1) // 2).repeat_interleave(2)[:heads]
        self.dt_bias = nn.Parameter(rates.expm1().log().repeat(2, 1))
        self.o_proj = Linear(width, width)
        both = torch.stack((order, order.flip(-1)))
        self.register_buffer("order", both, persistent=False)
        self.register_buffer("inverse", both.argsort(-1), persistent=False)

    def forward(self, x_BLD: Tensor, rotary: RotaryPositions | None) -> Tensor:
        reads, _ = scan(self.reading(x_BLD, rotary), self.chunk)
        return self.o_proj(self.merged(reads).to(x_BLD.dtype))

    def attention_weights(self, x_BLD: Tensor, rotary: RotaryPositions | None) -> Tensor:
        """How much of each value a position reads, [B, N, L, L]: weights @ v goes to `o_proj`.

        The weights have both signs, and those of a position do not add up to 1.
        """
        A = attention_map(self.reading(x_BLD, rotary))
        way, head = (place.unsqueeze(-1) for place in self._places())
        return A[:, way, head, self.inverse.unsqueeze(-1), self.inverse.unsqueeze(-2)].sum(1)

    def reading(self, x_BLD: Tensor, rotary: RotaryPositions | None) -> Reading:
        """The inputs of the recursion, in float32 or wider."""
        q, k, v, a, b = self.projections(x_BLD)
        q, k = rms_norm(q), rms_norm(k) * k.shape[-1] ** -0.5
        if rotary is not None:
            q, k = rotary(q), rotary(k)
        g = -self.A_log.exp().unsqueeze(-1) * F.softplus(a + self.dt_bias.unsqueeze(-1))
        return self.ordered(Reading(q, k, v, g, b.sigmoid()))

    def projections(self, x: Tensor) -> Reading:
        """q, k and v [.., N, L, C], a and b [.., W, N, L] of x [.., L, D]: linear in x, and in float32 or wider."""
        wide = torch.promote_types(x.dtype, torch.float32)
        q, k, v = self.qkv_proj(x).to(wide).unflatten(-1, (3 * self.heads, -1)).transpose(-2, -3).chunk(3, dim=-3)
        a, b = (gate(x).to(wide).unflatten(-1, (2, self.heads)).movedim(-3, -1) for gate in (self.a_proj, self.b_proj))
        return Reading(q, k, v, a, b)

    def ordered(self, given: Reading) -> Reading:
        """The inputs of the recursion, of q, k and v [.., N, L, C], and of g and beta [.., W, N, L] by position."""
        way, head = self._places()
        return Reading(
            *(t[..., head, self.order, :] for t in given[:3]), *(t[..., way, head, self.order] for t in given[3:])
        )

    def merged(self, reads: Tensor) -> Tensor:
        """The sum of both ways by position, heads side by side: [.., W, N, L, C] -> [.., L, D]."""
        return reads[..., *self._places(), self.inverse, :].sum(-4).transpose(-2, -3).flatten(-2)

    def _places(self) -> tuple[Tensor, Tensor]:
        """The numbers of ways [W, 1, 1] and heads [N, 1], which index tensors together with `order` [W, N, L]."""
        device = self.order.device
        return torch.arange(2, device=device).view(2, 1, 1), torch.arange(self.heads, device=device).view(-1, 1)


class DeltaRuleBlock(Block):
    """h = rms(h + delta_rule(h)); h = rms(h + SwiGLU(h)), on [B, L, D]."""

    def __init__(self, width: int, order: Tensor, expansion: float, swiglu: type[SwiGLU] = SwiGLU):
        super().__init__()
        self.delta_rule = GatedDeltaRule(width, order)
        self.mlp = swiglu(width, expansion)

    def forward(self, h_BLD: Tensor, rotary: RotaryPositions | None) -> Tensor:
        h_BLD = rms_norm(h_BLD + self.delta_rule(h_BLD, rotary))
        return rms_norm(h_BLD + self.mlp(h_BLD))

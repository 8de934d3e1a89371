"""The gated delta rule (Yang et al., Gated Delta Networks, arXiv 2412.06464): linear attention that forgets and edits.

A head reads the cells one by one and keeps a state S [C, C], which maps keys to values:

    S_t = alpha_t S_(t-1) + beta_t k_t (v_t - alpha_t S_(t-1)^T k_t)^T,    read_t = S_t^T q_t.

alpha_t = e^g_t from 0 to 1 is the decay of a cell, and beta_t from 0 to 1 how much of the value that the state has for
k_t is replaced by v_t. A board has no direction: each head reads the cells forwards and backwards, with gates of its
own for each, and adds the two reads.

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
SLOWEST, FASTEST = 1e-3, 1e-1  # -g of a cell at the start: half-lives of 690 to 7 cells over the heads, as in the paper


class Reading(NamedTuple):
    """The inputs of the recursion in the order of each way: q, k, v [B, W, N, L, C], g and beta [B, W, N, L].

    q and k have length 1 at most.
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


class GatedDeltaRule(nn.Module):
    """A layer of N heads of the gated delta rule, read forwards and backwards; [B, L, D] -> [B, L, D].

    As in the paper g = -e^A_log softplus(a_proj x + dt_bias), beta = sigmoid(b_proj x), q and k have length 1, and a
    head's read is normalised and gated by silu(g_proj x) before `o_proj`. The short convolutions of the paper are left
    out: they mix neighbours on a line. Rotary positions turn q and k instead, as in attention. `chunk` cells are one
    triangular system.

    The recursion runs in float32 or wider whatever the dtype of x: a triangular system has no kernel in bfloat16.
    """

    chunk = CHUNK

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv_proj = Linear(width, 3 * width)
        self.qkv_proj.stacked = 3 * heads
        self.a_proj, self.b_proj = Linear(width, 2 * heads), Linear(width, 2 * heads)
        self.A_log = nn.Parameter(torch.zeros(2, heads))
        rates = torch.logspace(math.log10(SLOWEST), math.log10(FASTEST), heads)
        self.dt_bias = nn.Parameter(rates.expm1().log().repeat(2, 1))
        self.g_proj = Linear(width, width)
        self.o_proj = Linear(width, width)

    def forward(self, x_BLD: Tensor, rotary: RotaryPositions | None) -> Tensor:
        reads, _ = scan(self.reading(x_BLD, rotary), self.chunk)
        forwards, backwards = reads.unbind(1)
        read_BNLC = rms_norm(forwards + backwards.flip(-2)).to(x_BLD.dtype)
        return self.o_proj(read_BNLC.transpose(-2, -3).flatten(-2) * F.silu(self.g_proj(x_BLD)))

    def attention_weights(self, x_BLD: Tensor, rotary: RotaryPositions | None) -> Tensor:
        """How much of each value a position reads, [B, N, L, L]: weights @ v is the read before its norm.

        The weights have both signs, and those of a position do not add up to 1.
        """
        forwards, backwards = attention_map(self.reading(x_BLD, rotary)).unbind(1)
        return forwards + backwards.flip(-1, -2)

    def reading(self, x_BLD: Tensor, rotary: RotaryPositions | None) -> Reading:
        """The inputs of the recursion, in float32 or wider."""
        wide = torch.promote_types(x_BLD.dtype, torch.float32)
        qkv = self.qkv_proj(x_BLD).to(wide).unflatten(-1, (3 * self.heads, -1)).transpose(-2, -3)
        q, k, v = qkv.chunk(3, dim=-3)
        q, k = (rms_norm(t) * t.shape[-1] ** -0.5 for t in (q, k))
        if rotary is not None:
            q, k = rotary(q), rotary(k)
        a, b = (
            gate(x_BLD).to(wide).unflatten(-1, (2, self.heads)).permute(0, 2, 3, 1)
            for gate in (self.a_proj, self.b_proj)
        )
        g = -self.A_log.exp().unsqueeze(-1) * F.softplus(a + self.dt_bias.unsqueeze(-1))
        return Reading(
            *(torch.stack((t, t.flip(-2)), 1) for t in (q, k, v)),
            *(torch.stack((t[:, 0], t[:, 1].flip(-1)), 1) for t in (g, b.sigmoid())),
        )


class DeltaRuleBlock(Block):
    """h = rms(h + delta_rule(h)); h = rms(h + SwiGLU(h)), on [B, L, D]."""

    def __init__(self, width: int, heads: int, expansion: float, swiglu: type[SwiGLU] = SwiGLU):
        super().__init__()
        self.delta_rule = GatedDeltaRule(width, heads)
        self.mlp = swiglu(width, expansion)

    def forward(self, h_BLD: Tensor, rotary: RotaryPositions | None) -> Tensor:
        h_BLD = rms_norm(h_BLD + self.delta_rule(h_BLD, rotary))
        return rms_norm(h_BLD + self.mlp(h_BLD))

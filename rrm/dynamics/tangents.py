"""Tangents through one network call: (u, du) -> (net(u), Dnet(u) du).

The network is linearised by hand, block by block: `linearize` computes the slopes at u once, `apply` multiplies a
tangent by them. `push_by_jvp` asks forward-mode automatic differentiation for the same numbers: the oracle of the
tests, and the path of any block without a rule. The hand-written rules are faster for two reasons: they skip the zero
tangents of frozen weights, and they take a few tangents at a time, so that the buffers stay in cache. Compiled, they
cost about one plain forward a tangent.

Every step is differentiable, so that a loss on the exponents reaches the weights.

Shapes: u [B, L, D], du [k, B, L, D]. Inside a stack of mixer blocks positions come first and tangents second,
[L, k, B, D]; inside a stack of attention blocks [k, B, L, D]. Slopes broadcast over the tangents. A rule comes in
pairs: `_x(layer, s)` gives the value y of the layer at s and its slopes, `_apply_x(layer, slopes, ds)` gives dy.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from rrm.dynamics.scan_tangents import apply_scan, linearize_scan
from rrm.dynamics.tangent_map import tangents_by_jvp
from rrm.models import layers
from rrm.models.delta_rule import DeltaRuleBlock, GatedDeltaRule, Reading

# Rows (puzzles x tangents) that pass together on a CPU: enough to fill the products, few enough to stay in its cache,
# also where other programs use the cache. Of a mixer of width 128 the widest buffer takes half a MB a row.
CPU_ROWS = 16
# What the widest buffers of a call may take on an accelerator, where all tangents pass at once if they can.
ACCELERATOR_BYTES = 4 << 30

# Tensors of a layer, or the slopes of the layers in a block.
Slopes = tuple[Any, ...]
Rotary = layers.RotaryPositions | None


def push_by_jvp(network: layers.Stack, u: Tensor, du: Tensor) -> tuple[Tensor, Tensor]:
    """net(u) [B, L, D] and Dnet(u) du [k, B, L, D] by vmap(jvp(network))."""
    # The fused attention kernels have no forward-mode rule; MATH has one on every device.
    with sdpa_kernel(SDPBackend.MATH):
        return tangents_by_jvp(network, u, du)


def push(
    network: layers.Stack, u: Tensor, du: Tensor, *, compiled: bool = False, wide: layers.Stack | None = None
) -> tuple[Tensor, Tensor]:
    """Push tangents by the rules of the network's blocks, or by `push_by_jvp` where a block has none.

    Args:
        network: the stack of blocks.
        u: input [B, L, D].
        du: tangents [k, B, L, D].
        compiled: fuse the pointwise work with torch.compile: seconds of compiling for every new shape, and less time
            and memory from then on. Compiled and eager tangents differ by rounding.
        wide: the network in float64, for tangents in float64; net(u) is that of `network` all the same.

    Returns:
        net(u) [B, L, D] and Dnet(u) du [k, B, L, D].
    """
    if not all(_has_rule(layer) for layer in network.layers):
        out, pushed = push_by_jvp(network, u, du.to(u.dtype))
        return (out, pushed) if wide is None else (out, push_by_jvp(wide, u.double(), du)[1])
    linearized, applied = _compiled() if compiled else (linearize, apply)
    out, slopes = linearized(network, u)
    if wide is not None:
        network, (_, slopes) = wide, linearized(wide, u.double())
    return out, torch.cat([applied(network, slopes, part) for part in du.split(_at_once(network, u, len(du)))])


def _at_once(network: layers.Stack, u: Tensor, k: int) -> int:
    """How many tangents pass together: a CPU wants buffers that fit its cache, an accelerator one large product."""
    batch, positions, width = u.shape
    if u.device.type == "cpu":
        return max(1, min(k, CPU_ROWS // batch))
    hidden = max(
        _HIDDEN_BUFFERS[type(mlp)] * mlp.down_proj.weight.shape[1] * (width if mlp.axis == 0 else positions)
        for mlp in network.modules()
        if isinstance(mlp, layers.SwiGLU)
    )
    scores = max((m.heads for m in network.modules() if isinstance(m, layers.Attention)), default=0) * positions**2
    one = batch * u.element_size() * (hidden + 3 * scores)
    return max(1, min(k, ACCELERATOR_BYTES // one))


Linearize = Callable[[layers.Stack, Tensor], tuple[Tensor, list[Slopes]]]
Apply = Callable[[layers.Stack, list[Slopes], Tensor], Tensor]


@cache
def _compiled() -> tuple[Linearize, Apply]:
    return torch.compile(linearize, dynamic=False), torch.compile(apply, dynamic=False)


def linearize(network: layers.Stack, u: Tensor) -> tuple[Tensor, list[Slopes]]:
    """net(u) [B, L, D], and the slopes of every block at u [B, L, D]."""
    h, slopes = u.transpose(0, 1).contiguous() if network.positions_first else u, []
    for layer in network.layers:
        h, of_layer = _RULES[type(layer)][0](layer, h, network.rotary)
        slopes.append(of_layer)
    return h.transpose(0, 1) if network.positions_first else h, slopes


def apply(network: layers.Stack, slopes: list[Slopes], du: Tensor) -> Tensor:
    """Dnet(u) du [k, B, L, D] for tangents du [k, B, L, D], with the slopes of `linearize` at u."""
    dh = du.movedim(2, 0).contiguous() if network.positions_first else du
    for layer, of_layer in zip(network.layers, slopes, strict=True):
        dh = _RULES[type(layer)][1](layer, of_layer, dh, network.rotary)
    return dh.movedim(0, 2) if network.positions_first else dh


def _norm(s: Tensor, axis: int) -> tuple[Tensor, Slopes]:
    """RMS norm of s [..., D] or [L, ...] along `axis`: y = r s with r = (mean s^2 + eps)^-1/2; slopes (y, r)."""
    r = torch.rsqrt(s.square().mean(axis, keepdim=True) + layers.RMS_EPS)
    y = s * r
    return y, (y, r)


def _apply_norm(slopes: Slopes, ds: Tensor, axis: int) -> Tensor:
    """dy = r (ds - y mean(y ds)), means along `axis`: the part of ds along y dies, exactly up to eps."""
    y, r = slopes
    return r * (ds - y * (y * ds).mean(axis, keepdim=True))


def _plain_swiglu(mlp: layers.SwiGLU, x: Tensor) -> tuple[Tensor, Slopes]:
    """y = W_down (silu(g) * a) with (g, a) = W_gate_up x and silu(g) = g sigmoid(g), along the axis of the mlp.

    Slopes: silu(g), and silu'(g) * a with silu'(g) = sigmoid(g) + silu(g) (1 - sigmoid(g)); both as wide as the hidden
    layer.
    """
    gate, up = mlp.project(mlp.gate_up_proj, x).chunk(2, dim=mlp.axis)
    sigmoid = gate.sigmoid()
    silu = gate * sigmoid
    return mlp.project(mlp.down_proj, silu * up), (silu, (sigmoid + silu * (1 - sigmoid)) * up)


def _apply_plain_swiglu(mlp: layers.SwiGLU, slopes: Slopes, dx: Tensor) -> Tensor:
    """dy = W_down (silu'(g) * a * dg + silu(g) * da) with (dg, da) = W_gate_up dx."""
    silu, slope = slopes
    dgate, dup = mlp.project(mlp.gate_up_proj, dx).chunk(2, dim=mlp.axis)
    return mlp.project(mlp.down_proj, torch.addcmul(dgate * slope, dup, silu))


def _normalised_swiglu(mlp: layers.SwiGLU, x: Tensor) -> tuple[Tensor, Slopes]:
    """y = W_down (sigmoid(g) * n) with (g, a) = W_gate_up x and n = norm(g * a) over the hidden layer.

    Slopes: g, a, sigmoid(g) and sigmoid'(g) * n, as wide as the hidden layer, and those of the norm.
    """
    gate, up = mlp.project(mlp.gate_up_proj, x).chunk(2, dim=mlp.axis)
    sigmoid = gate.sigmoid()
    normed, norm = _norm(gate * up, mlp.axis)
    return mlp.project(mlp.down_proj, sigmoid * normed), (gate, up, sigmoid, sigmoid * (1 - sigmoid) * normed, *norm)


def _apply_normalised_swiglu(mlp: layers.SwiGLU, slopes: Slopes, dx: Tensor) -> Tensor:
    """dy = W_down (sigmoid'(g) * n * dg + sigmoid(g) * dn) with dn = Dnorm (a * dg + g * da)."""
    gate, up, sigmoid, slope, *norm = slopes
    dgate, dup = mlp.project(mlp.gate_up_proj, dx).chunk(2, dim=mlp.axis)
    dnormed = _apply_norm(tuple(norm), torch.addcmul(dgate * up, dup, gate), mlp.axis)
    return mlp.project(mlp.down_proj, torch.addcmul(dgate * slope, dnormed, sigmoid))


def _swiglu(mlp: layers.SwiGLU, x: Tensor) -> tuple[Tensor, Slopes]:
    """The rule of this kind of SwiGLU."""
    return _SWIGLU_RULES[type(mlp)][0](mlp, x)


def _apply_swiglu(mlp: layers.SwiGLU, slopes: Slopes, dx: Tensor) -> Tensor:
    return _SWIGLU_RULES[type(mlp)][1](mlp, slopes, dx)


def _heads(attention: layers.Attention, t: Tensor, rotary: Rotary) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of t [..., L, D], each [..., heads, L, D / heads]; linear in t, positions included."""
    q, k, v = attention.qkv_proj(t).unflatten(-1, (3 * attention.heads, -1)).transpose(-2, -3).chunk(3, dim=-3)
    return (q, k, v) if rotary is None else (rotary(q), rotary(k), v)


def _attention(attention: layers.Attention, x: Tensor, rotary: Rotary) -> tuple[Tensor, Slopes]:
    """y = W_o (P v) with P = softmax(q k^T) over positions and q scaled by (D / heads)^-1/2; slopes (q, k, v, P, P v).

    P is [B, heads, L, L].
    """
    q, k, v = _heads(attention, x, rotary)
    q = q * q.shape[-1] ** -0.5
    p = torch.softmax(q @ k.mT, -1)
    read = p @ v
    return attention.o_proj(read.transpose(-2, -3).flatten(-2)), (q, k, v, p, read)


def _apply_attention(attention: layers.Attention, slopes: Slopes, dx: Tensor, rotary: Rotary) -> Tensor:
    """dy = W_o (dP v + P dv) with dP = P * (dA - sum(P * dA)), sums over the keys, so dP v = (P * dA) v - sum(..) P v.

    dA = (D / heads)^-1/2 dq k^T + q dk^T, as the slope q is scaled and dq is not. The tangents of a head stand side by
    side, [B, heads, T, L, ..], since one product with the q, k, v or P that they share beats one for each of them.
    """
    q, k, v, p, read = slopes
    dq, dk, dv = (t.movedim(0, -3) for t in _heads(attention, dx, rotary))
    tangents, positions, channels = dq.shape[-3:]
    of_queries = (dq.flatten(-3, -2) @ k.mT).unflatten(-2, (tangents, positions))
    of_keys = (q @ dk.flatten(-3, -2).mT).unflatten(-1, (tangents, positions)).transpose(-2, -3)
    weighted = p.unsqueeze(-3) * (channels**-0.5 * of_queries + of_keys)
    moved = (weighted.flatten(-3, -2) @ v).unflatten(-2, (tangents, positions))
    carried = (p @ dv.transpose(-2, -3).flatten(-2)).unflatten(-1, (tangents, channels)).transpose(-2, -3)
    dread = moved - weighted.sum(-1, keepdim=True) * read.unsqueeze(-3) + carried
    return attention.o_proj(dread.movedim(-3, 0).transpose(-2, -3).flatten(-2))


def _delta_rule(layer: GatedDeltaRule, x: Tensor, rotary: Rotary) -> tuple[Tensor, Slopes]:
    """y = W_o reads with q = norm(W_q x), k = norm(W_k x) / sqrt(C), g = -e^A_log softplus(s), beta = sigmoid(b).

    Slopes: of both norms, of the two gates, and of the chunks of the recursion.
    """
    q, k, v, a, b = layer.projections(x)
    (q, of_q), (k, of_k) = _norm(q, -1), _norm(k, -1)
    k = k * k.shape[-1] ** -0.5
    if rotary is not None:
        q, k = rotary(q), rotary(k)
    rate, s = -layer.A_log.exp().unsqueeze(-1), a + layer.dt_bias.unsqueeze(-1)
    beta = b.sigmoid()
    reads, chunks = linearize_scan(layer.ordered(Reading(q, k, v, rate * F.softplus(s), beta)), layer.chunk)
    out = layer.o_proj(layer.merged(reads).to(x.dtype))
    return out, (of_q, of_k, rate * s.sigmoid(), beta * (1 - beta), chunks)


def _apply_delta_rule(layer: GatedDeltaRule, slopes: Slopes, dx: Tensor, rotary: Rotary) -> Tensor:
    """dy = W_o dreads; the tangents of q, k and v turn with them."""
    of_q, of_k, of_g, of_beta, chunks = slopes
    dq, dk, dv, da, db = layer.projections(dx)
    dq, dk = _apply_norm(of_q, dq, -1), _apply_norm(of_k, dk, -1) * dk.shape[-1] ** -0.5
    if rotary is not None:
        dq, dk = rotary(dq), rotary(dk)
    dreads = apply_scan(chunks, layer.ordered(Reading(dq, dk, dv, of_g * da, of_beta * db)))
    return layer.o_proj(layer.merged(dreads).to(dx.dtype))


def _mixer_block(block: layers.MixerBlock, h_LBD: Tensor, rotary: Rotary) -> tuple[Tensor, Slopes]:
    """h <- norm(h + mlp_t(h)) over positions, then h <- norm(h + mlp(h)) over channels; h [L, B, D].

    The slopes get an axis for the tangents: [L, 1, B, D] or as wide as the hidden layers.
    """
    out, mix = _swiglu(block.mlp_t, h_LBD)
    h_LBD, mixed = _norm(h_LBD + out, block.mixed_norm_axis)
    out, feed = _swiglu(block.mlp, h_LBD)
    h_LBD, fed = _norm(h_LBD + out, -1)
    return h_LBD, tuple(tuple(slope.unsqueeze(1) for slope in slopes) for slopes in (mix, mixed, feed, fed))


def _apply_mixer_block(block: layers.MixerBlock, slopes: Slopes, dh_LkBD: Tensor, rotary: Rotary) -> Tensor:
    """dh [L, k, B, D] through both sublayers: dh <- Dnorm (dh + Dmlp dh)."""
    mix, mixed, feed, fed = slopes
    dh_LkBD = _apply_norm(mixed, dh_LkBD + _apply_swiglu(block.mlp_t, mix, dh_LkBD), block.mixed_norm_axis)
    return _apply_norm(fed, dh_LkBD + _apply_swiglu(block.mlp, feed, dh_LkBD), -1)


def _attention_block(block: layers.AttentionBlock, h_BLD: Tensor, rotary: Rotary) -> tuple[Tensor, Slopes]:
    """h <- norm(h + attention(h)), then h <- norm(h + mlp(h)), norms over channels; h [B, L, D]."""
    out, attend = _attention(block.self_attn, h_BLD, rotary)
    h_BLD, attended = _norm(h_BLD + out, -1)
    out, feed = _swiglu(block.mlp, h_BLD)
    h_BLD, fed = _norm(h_BLD + out, -1)
    return h_BLD, (attend, attended, feed, fed)


def _apply_attention_block(block: layers.AttentionBlock, slopes: Slopes, dh_kBLD: Tensor, rotary: Rotary) -> Tensor:
    """dh [k, B, L, D] through both sublayers: dh <- Dnorm (dh + Dlayer dh)."""
    attend, attended, feed, fed = slopes
    dh_kBLD = _apply_norm(attended, dh_kBLD + _apply_attention(block.self_attn, attend, dh_kBLD, rotary), -1)
    return _apply_norm(fed, dh_kBLD + _apply_swiglu(block.mlp, feed, dh_kBLD), -1)


def _delta_rule_block(block: DeltaRuleBlock, h_BLD: Tensor, rotary: Rotary) -> tuple[Tensor, Slopes]:
    """h <- norm(h + delta_rule(h)), then h <- norm(h + mlp(h)), norms over channels; h [B, L, D]."""
    out, scanned = _delta_rule(block.delta_rule, h_BLD, rotary)
    h_BLD, mixed = _norm(h_BLD + out, -1)
    out, feed = _swiglu(block.mlp, h_BLD)
    h_BLD, fed = _norm(h_BLD + out, -1)
    return h_BLD, (scanned, mixed, feed, fed)


def _apply_delta_rule_block(block: DeltaRuleBlock, slopes: Slopes, dh_kBLD: Tensor, rotary: Rotary) -> Tensor:
    """dh [k, B, L, D] through both sublayers: dh <- Dnorm (dh + Dlayer dh)."""
    scanned, mixed, feed, fed = slopes
    dh_kBLD = _apply_norm(mixed, dh_kBLD + _apply_delta_rule(block.delta_rule, scanned, dh_kBLD, rotary), -1)
    return _apply_norm(fed, dh_kBLD + _apply_swiglu(block.mlp, feed, dh_kBLD), -1)


def _has_rule(block: nn.Module) -> bool:
    """Whether the block and every SwiGLU in it have a hand-written rule."""
    swiglus = [module for module in block.modules() if isinstance(module, layers.SwiGLU)]
    return type(block) in _RULES and all(type(mlp) in _SWIGLU_RULES for mlp in swiglus)


Rule = tuple[Callable[..., tuple[Tensor, Slopes]], Callable[..., Tensor]]

# By type of SwiGLU, and of block: (value and slopes, tangents).
_SWIGLU_RULES: dict[type, Rule] = {
    layers.SwiGLU: (_plain_swiglu, _apply_plain_swiglu),
    layers.NormalisedSwiGLU: (_normalised_swiglu, _apply_normalised_swiglu),
}
# Buffers of the size of the hidden layer that the tangents of a SwiGLU have at a time.
_HIDDEN_BUFFERS: dict[type, int] = {layers.SwiGLU: 4, layers.NormalisedSwiGLU: 6}
_RULES: dict[type, Rule] = {
    layers.MixerBlock: (_mixer_block, _apply_mixer_block),
    layers.ChannelNormMixerBlock: (_mixer_block, _apply_mixer_block),
    layers.AttentionBlock: (_attention_block, _apply_attention_block),
    DeltaRuleBlock: (_delta_rule_block, _apply_delta_rule_block),
}

"""Tangents through one network call: (u, du) -> (net(u), Dnet(u) du).

`push` linearises the network by hand, block by block: the slopes at u are computed once and serve all k tangents.
`push_by_jvp` asks forward-mode automatic differentiation for the same numbers: the oracle of the tests, and the path of
any block without a rule. By hand wins because no zero tangent of a frozen weight is ever multiplied and because
tangents can pass one at a time through buffers that stay in cache.

Shapes: u [B, L, D], du [k, B, L, D]. A linearised block maps tangents of its input's shape, with or without leading k.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import jvp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from rrm.models import layers

Pushforward = Callable[[Tensor], Tensor]


def push_by_jvp(network: layers.Stack, u: Tensor, du: Tensor) -> tuple[Tensor, Tensor]:
    """The tangents by vmap(jvp(network))."""
    # The fused attention kernels have no forward-mode rule; MATH has one on every device.
    with sdpa_kernel(SDPBackend.MATH):
        return vmap(lambda tangent: jvp(network, (u,), (tangent,)), out_dims=(None, 0))(du)


def push(network: layers.Stack, u: Tensor, du: Tensor) -> tuple[Tensor, Tensor]:
    """The tangents by the rules of the network's blocks, or by `push_by_jvp` where a block has none."""
    rules = [_RULES.get(type(layer)) for layer in network.layers]
    if None in rules:
        return push_by_jvp(network, u, du)
    if network.positions_first:
        u, du = u.transpose(0, 1).contiguous(), du.transpose(1, 2)
    pushforwards = []
    for layer, rule in zip(network.layers, rules, strict=True):
        u, pushforward = rule(layer, u, network.rotary)
        pushforwards.append(pushforward)
    # A GPU wants one large product; a CPU wants buffers that fit its cache.
    out = [_chain(pushforwards, part) for part in du.split(len(du) if du.is_cuda else 1)]
    du = torch.cat(out)
    return (u.transpose(0, 1), du.transpose(1, 2)) if network.positions_first else (u, du)


def _chain(pushforwards: list[Pushforward], dh: Tensor) -> Tensor:
    dh = dh.contiguous()
    for pushforward in pushforwards:
        dh = pushforward(dh)
    return dh


def _residual_norm(h: Tensor, sublayer: tuple[Tensor, Pushforward], axis: int) -> tuple[Tensor, Pushforward]:
    """y = rms(h + out). With s = h + out and r = (mean s^2 + eps)^-1/2: dy = r (ds - y mean(y ds))."""
    out, push_out = sublayer
    s = h + out
    r = torch.rsqrt(s.square().mean(axis, keepdim=True) + layers.RMS_EPS)
    y = s * r

    def pushforward(dh: Tensor) -> Tensor:
        ds = dh + push_out(dh)
        return r * torch.addcmul(ds, y, (y * ds).mean(axis, keepdim=True), value=-1)

    return y, pushforward


def _swiglu(mlp: layers.SwiGLU, x: Tensor) -> tuple[Tensor, Pushforward]:
    gate, up = mlp.project(mlp.gate_up_proj, x).chunk(2, dim=mlp.axis)
    sigmoid = gate.sigmoid()
    silu = gate * sigmoid
    slope = (sigmoid + silu * (1 - sigmoid)) * up

    def pushforward(dx: Tensor) -> Tensor:
        dgate, dup = mlp.project(mlp.gate_up_proj, dx).chunk(2, dim=mlp.axis)
        return mlp.project(mlp.down_proj, torch.addcmul(dgate * slope, dup, silu))

    return mlp.project(mlp.down_proj, silu * up), pushforward


def _attention(attention: layers.Attention, x: Tensor, rotary: layers.RotaryPositions | None):
    def heads(t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = attention.qkv_proj(t).unflatten(-1, (3 * attention.heads, -1)).transpose(-2, -3).chunk(3, dim=-3)
        return (q, k, v) if rotary is None else (rotary(q), rotary(k), v)

    def project(t: Tensor) -> Tensor:
        return attention.o_proj(t.transpose(-2, -3).flatten(-2))

    q, k, v = heads(x)
    scale = q.shape[-1] ** -0.5
    p = torch.softmax(scale * (q @ k.mT), -1)

    def pushforward(dx: Tensor) -> Tensor:
        dq, dk, dv = heads(dx)
        weighted = p * (scale * (dq @ k.mT + q @ dk.mT))
        dp = weighted - p * weighted.sum(-1, keepdim=True)
        return project(dp @ v + p @ dv)

    return project(p @ v), pushforward


def _mixer_block(block: layers.MixerBlock, h_LBD: Tensor, rotary: None) -> tuple[Tensor, Pushforward]:
    h_LBD, mix = _residual_norm(h_LBD, _swiglu(block.mlp_t, h_LBD), axis=block.mixed_norm_axis)
    h_LBD, feed = _residual_norm(h_LBD, _swiglu(block.mlp, h_LBD), axis=-1)
    return h_LBD, lambda dh: feed(mix(dh))


def _attention_block(block: layers.AttentionBlock, h_BLD: Tensor, rotary) -> tuple[Tensor, Pushforward]:
    h_BLD, attend = _residual_norm(h_BLD, _attention(block.self_attn, h_BLD, rotary), axis=-1)
    h_BLD, feed = _residual_norm(h_BLD, _swiglu(block.mlp, h_BLD), axis=-1)
    return h_BLD, lambda dh: feed(attend(dh))


_RULES = {
    layers.MixerBlock: _mixer_block,
    layers.ChannelNormMixerBlock: _mixer_block,
    layers.AttentionBlock: _attention_block,
}

"""Tangents through the recursion of the gated delta rule (`rrm.models.delta_rule.scan`), chunk by chunk, by hand.

Shapes as there: q, k, v [B, W, N, L, C], g and beta [B, W, N, L]. The tangents have an axis in front, [T, B, W, N, ..].
"""

from typing import NamedTuple

import torch
from torch import Tensor

from rrm.models.delta_rule import Reading


class Chunk(NamedTuple):
    """What the tangents through a chunk need of its values: inputs, and results of `scan` under the names there.

    keys is K K^T * D, and queries is Q K^T * D.
    """

    q: Tensor
    k: Tensor
    write: Tensor
    D: Tensor
    before: Tensor
    left: Tensor
    keys: Tensor
    queries: Tensor
    held: Tensor
    u: Tensor
    state: Tensor


def linearize_scan(reading: Reading, chunk: int) -> tuple[Tensor, list[Chunk]]:
    """The reads of `scan`, and the slopes of each chunk."""
    state, reads, slopes = reading.k.new_zeros(*reading.k.shape[:-2], reading.k.shape[-1], reading.v.shape[-1]), [], []
    for q, k, v, g, beta in _chunks(reading, chunk):
        c = g.cumsum(-1)
        D = (c.unsqueeze(-1) - c.unsqueeze(-2)).tril().exp()
        before, left, write = (t.unsqueeze(-1) for t in (c.exp(), (c[..., -1:] - c).exp(), beta))
        keys, queries, held = k @ k.mT * D, (q @ k.mT * D).tril(), v - before * (k @ state)
        u = torch.linalg.solve_triangular(write * keys, write * held, upper=False, unitriangular=True)
        slopes.append(Chunk(q, k, write, D, before, left, keys, queries, held, u, state))
        reads.append(before * (q @ state) + queries @ u)
        state = before[..., -1:, :] * state + (left * k).mT @ u
    return torch.cat(reads, -2), slopes


def apply_scan(slopes: list[Chunk], tangents: Reading) -> Tensor:
    """The tangents of the reads, [T, B, W, N, L, C]: the derivative of each line of `linearize_scan`."""
    dstate: Tensor | float = 0.0
    dreads = []
    for s, (dq, dk, dv, dg, dbeta) in zip(slopes, _chunks(tangents, slopes[0].k.shape[-2]), strict=True):
        dc = dg.cumsum(-1).unsqueeze(-1)
        apart, dwrite = dc - dc.mT, dbeta.unsqueeze(-1)
        dkeys = (dk @ s.k.mT + s.k @ dk.mT) * s.D + apart * s.keys
        dqueries = ((dq @ s.k.mT + s.q @ dk.mT) * s.D).tril() + apart * s.queries
        k_state, dk_state = _product(s.k, s.state, dk, dstate)
        q_state, dq_state = _product(s.q, s.state, dq, dstate)
        dheld = dv - s.before * (dc * k_state + dk_state)
        dvalues = dwrite * s.held + s.write * dheld - (dwrite * s.keys + s.write * dkeys).tril(-1) @ s.u
        # Side by side, as the tangents share their system.
        columns = dvalues.movedim(0, -2).flatten(-2)
        solved = torch.linalg.solve_triangular(s.write * s.keys, columns, upper=False, unitriangular=True)
        du = solved.unflatten(-1, (-1, s.u.shape[-1])).movedim(-2, 0)
        dreads.append(s.before * (dc * q_state + dq_state) + dqueries @ s.u + s.queries @ du)
        last = dc[..., -1:, :]
        dkept = s.before[..., -1:, :] * (last * s.state + dstate)
        dstate = dkept + (s.left * ((last - dc) * s.k + dk)).mT @ s.u + (s.left * s.k).mT @ du
    return torch.cat(dreads, -2)


def _product(a: Tensor, state: Tensor, da: Tensor, dstate: Tensor | float) -> tuple[Tensor, Tensor]:
    """a S, and its tangent; a float is the tangent of the state before the first chunk, which is 0."""
    moved = da @ state
    return a @ state, moved + a @ dstate if isinstance(dstate, Tensor) else moved


def _chunks(reading: Reading, chunk: int) -> zip:
    """The inputs of each chunk of cells."""
    return zip(*(t.split(chunk, dim) for t, dim in zip(reading, (-2, -2, -2, -1, -1), strict=True)), strict=True)

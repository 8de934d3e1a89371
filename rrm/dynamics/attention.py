"""What the heads of a recursive model look at in every call, and how far those of two models look elsewhere.

A pattern (`rrm.tasks.patterns`) gives a query some of the keys. The *lift* of a head on a pattern is the share of its
attention on these keys over the share that a uniform row gives them, mean over the queries that have such keys; its
logarithm is 0 for uniform attention, in nats. The null of a lift: the cells of the pattern change places at random, in
all puzzles alike, so that the head keeps its map and the pattern its size. Cells that changed places anew in every
puzzle would be no null for a head that looks at fixed positions: nearly every such head, also of an untrained network,
has more of one row than of a relation that changes all the time. Entropies and divergences are in nats. Maps are read a
few puzzles at a time, and only their sum over puzzles is kept.

Shape suffixes: B puzzles, T calls, Y layers with heads, N heads, P patterns, R draws of the null, S cells (queries),
K positions (keys).
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from rrm.dynamics.escape import finite_rows, judge
from rrm.dynamics.rollout import embed_batch
from rrm.dynamics.shards import BATCH, RowResult, join, row_batches
from rrm.models.attending import ALL, Attended, head_shape, record_attention
from rrm.models.base import RecursiveModel, State
from rrm.models.precision import measurement
from rrm.models.transformer import CausalAttention
from rrm.tasks.base import PuzzleSet, Task
from rrm.tasks.patterns import Patterns, puzzle_patterns
from rrm.tasks.verdict import distinct_outcomes

DRAWS = 200
# The mean map of a head is written down up to so many positions: 9 x 9 boards with a prefix.
MOST_POSITIONS = 128
# The maps of each puzzle of a layer are added up over calls where all of them have so few bytes.
KEPT_BYTES = 64 << 20


@dataclass(frozen=True)
class HeadRows(RowResult):
    """Scores of every head in every call, of N puzzles that were run together with others.

    Attributes:
        layers, patterns: names, joined by commas.
        calls: the halves that the calls of a segment replace, such as "LLH".
        index: [B] int64, position in the data set.
        right: [B] bool, the answer after the last call is right.
        lift: [B, T, Y, N, P] float32; nan where no query of the puzzle has keys in the pattern.
        entropy: [B, T, Y, N] float32, of the rows of the map, mean over queries.
        cosine: [B, T, Y] float32, mean over pairs of heads and queries of the cosine of their rows; nan for one head.
        null: [Y, N, P, R] float32, sum over puzzles of the mean lift over calls with the cells of the pattern in other
            places, drawn R times; 0 where positions see only those before them.
        counted: [P] int64, puzzles that have keys in the pattern.
        columns: [T, Y, N, K] float32, sum over puzzles of the mean attention to each position.
        maps: [Y, N, S, K] float32, sum over puzzles of the mean map over calls; no entry above MOST_POSITIONS.
    """

    layers: str
    patterns: str
    calls: str
    index: np.ndarray
    right: np.ndarray
    lift: np.ndarray
    entropy: np.ndarray
    cosine: np.ndarray
    null: np.ndarray
    counted: np.ndarray
    columns: np.ndarray
    maps: np.ndarray

    row_axes: ClassVar[dict[str, int]] = dict.fromkeys(("index", "right", "lift", "entropy", "cosine"), 0)


SUMS = ("null", "counted", "columns", "maps")


def join_heads(parts: Sequence[HeadRows]) -> HeadRows:
    """One result from shards of one model."""
    sums: dict[str, Any] = {name: np.sum([getattr(part, name) for part in parts], 0) for name in SUMS}
    return join([replace(part, **sums) for part in parts])


@dataclass(frozen=True)
class ChangeRows(RowResult):
    """How far heads of other models look elsewhere than those of one model, call by call on the same puzzles.

    Attributes:
        index: [B] int64, position in the data set.
        js: [B, M, T, Y, N] float32, Jensen-Shannon divergence in nats (at most ln 2) of the rows of head n of model m
            and of the one model, mean over queries.
    """

    index: np.ndarray
    js: np.ndarray

    row_axes: ClassVar[dict[str, int]] = dict.fromkeys(("index", "js"), 0)


def record_heads(
    model: RecursiveModel,
    puzzles: PuzzleSet,
    task: Task,
    segments: int,
    *,
    index: np.ndarray | None = None,
    seed: int = 0,
    draws: int = DRAWS,
) -> HeadRows:
    """Run every puzzle for `segments` segments from the initial state, and score every head in every call.

    Args:
        model: in float32, or in float64 where it is turned by `.double()`.
        puzzles: the data set.
        task: its verifier, of which patterns are known.
        segments: at least 1.
        index: positions of the puzzles to run; default: all.
        seed: of the places of the null, and of the draws of a model with randomness of its own.
        draws: R.

    Raises:
        InputError: the model has no heads, or no patterns are known of the task.
        ValueError: as `row_batches`.
    """
    return join_heads(
        [
            _record_batch(model, puzzles.subset(rows), task, segments, seed, draws, rows)
            for rows in row_batches(puzzles, index, BATCH)
        ]
    )


@measurement()
def _record_batch(
    model: RecursiveModel, puzzles: PuzzleSet, task: Task, segments: int, seed: int, draws: int, rows: np.ndarray
) -> HeadRows:
    prefix = model.half_shape[0] - task.seq_len
    scorer = Scorer(model, puzzle_patterns(puzzles, task, prefix), len(rows), prefix, seed=seed, draws=draws)
    with record_attention(model, scorer):
        *_, (state,) = calls_of([model], puzzles, segments, seed)
    with model.precision(torch.float32):
        readout = model.readout(state)
    right = judge(puzzles, task, readout, finite_rows(state, readout))[distinct_outcomes(puzzles, task)[-1]]
    return HeadRows(calls="".join(model.segment_calls), index=rows, right=right, **scorer.found())


def compare_heads(
    model: RecursiveModel,
    puzzles: PuzzleSet,
    task: Task,
    segments: int,
    others: Sequence[RecursiveModel],
    *,
    index: np.ndarray | None = None,
    seed: int = 0,
) -> ChangeRows:
    """Run several models side by side on every puzzle, and compare their heads with those of `model` in every call.

    Heads have no order: only where two models began with the same weights is head n of one that of the other.

    Args:
        model, puzzles, task, segments, index, seed: as in `record_heads`.
        others: M models of the same layers, heads and calls.

    Raises:
        InputError: the model has no heads.
        ValueError: another shape of a model; as `row_batches`.
    """
    shape = head_shape(model), model.segment_calls
    if any((head_shape(other), other.segment_calls) != shape for other in others):
        raise ValueError("the models have other layers, heads or calls: compare models of one shape")
    parts = [
        ChangeRows(rows, _compare_batch([model, *others], puzzles.subset(rows), task, segments, seed))
        for rows in row_batches(puzzles, index, BATCH)
    ]
    return join(parts)


@measurement()
def _compare_batch(
    models: Sequence[RecursiveModel], puzzles: PuzzleSet, task: Task, segments: int, seed: int
) -> np.ndarray:
    """js [B, M, T, Y, N]."""
    layers, heads = head_shape(models[0])
    prefix, calls = models[0].half_shape[0] - task.seq_len, segments * len(models[0].segment_calls)
    js = np.full((len(puzzles), len(models) - 1, calls, len(layers), heads), np.nan, np.float32)
    seen: list[list[Attended]] = [[] for _ in models]
    with ExitStack() as recordings:
        for model, keep in zip(models, seen, strict=True):
            recordings.enter_context(record_attention(model, keep.append))
        for _ in calls_of(models, puzzles, segments, seed):
            for number, others in enumerate(seen[1:]):
                for one, other in zip(seen[0], others, strict=True):
                    for part in one.blocks():
                        found = divergence(one.shares(*part)[:, :, prefix:], other.shares(*part)[:, :, prefix:])
                        js[part[0], number, one.call, layers.index(one.layer), part[1]] = found.cpu().numpy()
            for keep in seen:
                keep.clear()
    return js


def divergence(P: Tensor, Q: Tensor) -> Tensor:
    """Jensen-Shannon divergence of the rows of maps [B, N, S, K], [B, N] in nats, mean over rows."""
    P, Q = P.float(), Q.float()
    middle = (P + Q) / 2
    return (_entropy(middle) - (_entropy(P) + _entropy(Q)) / 2).clamp_min(0).mean(-1)


def _entropy(P: Tensor) -> Tensor:
    """Of rows [..., K], in nats."""
    # The logarithm of a CPU works on several numbers at a time, xlogy on one.
    return -(P * P.clamp_min(torch.finfo(P.dtype).tiny).log()).sum(-1)


def calls_of(
    models: Sequence[RecursiveModel], puzzles: PuzzleSet, segments: int, seed: int
) -> Iterator[tuple[State, ...]]:
    """Yield the states of models of equal calls after each call of a rollout; state and calls are in float32."""
    with ExitStack() as precisions:
        for model in models:
            precisions.enter_context(model.precision(torch.float32))
        embedded = [embed_batch(model, puzzles.arrays) for model in models]
        draws = [torch.Generator().manual_seed(seed) for _ in models]
        states = [model.initial_state(len(puzzles), draw) for model, draw in zip(models, draws, strict=True)]
        for half in models[0].segment_calls * segments:
            for number, model in enumerate(models):
                states[number] = model.step(half, states[number], embedded[number], draws[number])
            yield tuple(states)


class Scorer:
    """Scores every call of a batch as `record_attention` tells of them; also of networks without recursion.

        scorer = Scorer(model, sequence_patterns(tokens), len(tokens))
        with record_attention(model, scorer):
            model(torch.as_tensor(tokens))
        scorer.found()["lift"]

    Args:
        model: with heads.
        patterns: of the batch.
        rows: B.
        prefix: positions in front of the cells, which ask for nothing here.
        seed, draws: of the null.
    """

    def __init__(
        self, model: nn.Module, patterns: Patterns, rows: int, prefix: int = 0, *, seed: int = 0, draws: int = DRAWS
    ):
        self.layers, self.heads = head_shape(model)
        self.patterns, self.rows, self.prefix, self.seed, self.draws = patterns, rows, prefix, seed, draws
        self.positions = next(iter(patterns.values())).shape[2]
        self.device = next(model.parameters()).device
        self._tables: dict[tuple[int, bool], _Tables] = {}
        self._calls: dict[tuple[int, int], tuple[_Tables, dict[str, Tensor]]] = {}
        # Sums over the calls of a layer: the maps of each puzzle [B, N, S, K], those of large boards of all puzzles
        # together, [1, N, S, K]; what each position gets in each puzzle, and `_moved` of patterns of pairs.
        self._maps: dict[int, Tensor] = {}
        self._columns: dict[int, Tensor] = {}
        self._pairs: dict[tuple[int, int], Tensor] = {}

    def __call__(self, seen: Attended) -> None:
        layer, causal = self.layers.index(seen.layer), isinstance(seen.module, CausalAttention)
        parts: list[dict[str, Tensor]] = []
        for rows, heads in seen.blocks():
            A, entropy = _read(seen, rows, heads, self.prefix)
            queries, columns, units = A.shape[2], A.sum(2), _unit(A).sum(1)
            if heads.start == 0:
                tables, many, of_all = self._table(queries, causal), [], units
            else:
                of_all += units
            many.append({"lift": tables.lift(A, columns, rows), "entropy": entropy.mean(-1), "columns": columns})
            if not causal:
                self._keep(layer, A, tables, rows, heads)
            if heads.stop == self.heads:
                parts.append({name: _joined([part[name] for part in many], 1) for name in many[0]})
                parts[-1]["cosine"] = _alike(of_all, self.heads)
        found = {name: _joined([part[name] for part in parts], 0) for name in parts[0]}
        columns = found.pop("columns")
        if not causal:
            _add(self._columns, layer, columns)
        self._calls[seen.call, layer] = tables, found | {"columns": columns.sum(0) / queries}

    def _keep(self, layer: int, A: Tensor, tables: "_Tables", rows: slice, heads: slice) -> None:
        """Add the maps [b, n, S, K] of a part of a call to the sums of a layer."""
        shape = self.heads, *A.shape[2:]
        whole = 4 * self.rows * math.prod(shape) <= KEPT_BYTES
        if layer not in self._maps:
            self._maps[layer] = A.new_zeros(self.rows if whole else 1, *shape)
            self._pairs |= {(layer, number): A.new_zeros(self.heads, self.positions, self.positions)
                            for number in ({} if whole else tables.pairs)}  # fmt: skip
        self._maps[layer][rows if whole else ALL, heads] += A if whole else A.sum(0)
        if not whole:
            for number, W in tables.pairs.items():
                # C_jk adds up W_qj A_qk over puzzles and queries.
                self._pairs[layer, number][heads] += (W[rows].mT.unsqueeze(1) @ A).sum(0)

    def _table(self, queries: int, causal: bool) -> "_Tables":
        key = queries, causal
        if key not in self._tables:
            self._tables[key] = _Tables(self.patterns, queries, self.positions, causal, self.rows, self.device)
        return self._tables[key]

    def found(self) -> dict[str, Any]:
        """The arrays and names of `HeadRows` that the recorded calls give; a layer that rests in a call has nan."""
        calls, layers = 1 + max(call for call, _ in self._calls), len(self.layers)
        shapes = {"lift": (self.rows, self.heads, len(self.patterns)), "entropy": (self.rows, self.heads),
                  "cosine": (self.rows,), "columns": (self.heads, self.positions)}  # fmt: skip
        arrays: dict[str, Any] = {}
        for name, shape in shapes.items():
            array = np.full((calls, layers, *shape), 0.0 if name in SUMS else np.nan, np.float32)
            for (call, layer), (tables, values) in self._calls.items():
                array[call, layer] = (tables.lifts(values[name]) if name == "lift" else values[name]).cpu().numpy()
            arrays[name] = array if name in SUMS else np.ascontiguousarray(np.moveaxis(array, 2, 0))
        arrays["counted"] = np.isfinite(arrays["lift"]).any((1, 2, 3)).sum(0).astype(np.int64)
        arrays["null"] = np.zeros((layers, self.heads, len(self.patterns), self.draws), np.float32)
        small = self.positions <= MOST_POSITIONS
        shape = (layers, self.heads, self.positions - self.prefix, self.positions) if small else (0, 0, 0, 0)
        arrays["maps"] = np.zeros(shape, np.float32)
        entries = self._entries()
        for layer, kept in self._maps.items():
            total = kept.sum(0)
            worked = sum(layer == of for _, of in self._calls)
            for number in range(len(self.patterns)):
                C, places = self._moved(layer, number).flatten(1) / worked, entries[number]
                drawn = C.index_select(1, places.flatten()).unflatten(1, places.shape).sum(-1)
                arrays["null"][layer, :, number] = drawn.cpu().numpy()
            if small:
                arrays["maps"][layer] = (total / worked).cpu().numpy()
        return arrays | {"layers": ",".join(self.layers), "patterns": ",".join(self.patterns)}

    def _moved(self, layer: int, number: int) -> Tensor:
        """C [N, K, K] of one pattern: C_jk adds up W_qj A_qk over calls, puzzles and queries.

        With the keys of the pattern in other places, the sum of lifts is that of C[place of k, k] over k.
        """
        kept = self._maps[layer]
        tables = self._table(kept.shape[2], False)
        if number in tables.fixed:
            W, total = tables.fixed[number].mT, kept.sum(0)
            if tables.sparse:
                return (W.to_sparse() @ total.transpose(0, 1).flatten(1)).unflatten(1, total.shape[::2]).transpose(0, 1)
            return W @ total
        if number in tables.keys:
            return torch.einsum("bj,bnk->njk", tables.keys[number], self._columns[layer])
        if (layer, number) in self._pairs:
            return self._pairs[layer, number]
        return (tables.pairs[number].mT.unsqueeze(1) @ kept).sum(0)

    def _entries(self) -> list[Tensor]:
        """[R, K] for each pattern: of C [K, K], row by row, the entries that R nulls add up.

        Cells change places among themselves. For the prefix, all positions do.
        """
        rng = np.random.default_rng(self.seed)
        everything = np.tile(np.arange(self.positions), (self.draws, 1))
        cells = everything.copy()
        rng.permuted(cells[:, self.prefix :], axis=1, out=cells[:, self.prefix :])
        places = {True: rng.permuted(everything, axis=1), False: cells}
        numbers = {wide: torch.from_numpy(of * self.positions + np.arange(self.positions)).to(self.device)
                   for wide, of in places.items()}  # fmt: skip
        return [numbers[name == "prefix"] for name in self.patterns]


Key = TypeVar("Key")


def _add(sums: dict[Key, Tensor], key: Key, value: Tensor) -> None:
    sums[key] = sums[key] + value if key in sums else value


def _read(seen: Attended, rows: slice, heads: slice, prefix: int) -> tuple[Tensor, Tensor]:
    """Shares [b, n, S, K] of the cells, and the entropy [b, n, S] of each row in nats."""
    if seen.scores is None:
        A = seen.shares(rows, heads)[:, :, prefix:].float()
        return A, _entropy(A)
    # The logarithm comes with the softmax, for less than by itself.
    log_A = seen.scores(rows, heads)[:, :, prefix:].float().log_softmax(-1)
    A = log_A.exp()
    return A, -log_A.mul_(A).sum(-1)


def _joined(parts: Sequence[Tensor], axis: int) -> Tensor:
    """The parts as one, a single one as it is."""
    return parts[0] if len(parts) == 1 else torch.cat([*parts], axis)


def _unit(A: Tensor) -> Tensor:
    """Rows of maps [b, n, S, K] over their length."""
    return A / torch.linalg.vector_norm(A, dim=-1, keepdim=True).clamp_min(torch.finfo(A.dtype).tiny)


def _alike(units: Tensor, heads: int) -> Tensor:
    """Mean over pairs of heads and queries of the cosine of their rows, [b]; nan for one head.

    Args:
        units: [b, S, K] sum over heads of rows over their length.
        heads: N.
    """
    # The square of the sum of unit vectors holds every pair twice, and a 1 of each.
    pairs = units.square().sum(-1) - heads
    return (pairs / (heads * (heads - 1))).mean(-1) if heads > 1 else torch.full_like(pairs[:, 0], torch.nan)


class _Tables:
    """Weights by which a map becomes lifts: W = pattern / (share of a uniform row x queries that have the pattern).

    By the shape of their pattern: those that all puzzles share, those of keys alone, and those of pairs.
    """

    def __init__(self, patterns: Patterns, queries: int, positions: int, causal: bool, rows: int, device: torch.device):
        visible = np.ones((queries, positions), bool)
        if causal:
            visible = np.tril(np.ones((positions, positions), bool))[-queries:]
        self.fixed: dict[int, Tensor] = {}
        self.keys: dict[int, Tensor] = {}
        self.pairs: dict[int, Tensor] = {}
        self.lacking = torch.zeros(rows, len(patterns), dtype=torch.bool, device=device)
        for number, mask in enumerate(patterns.values()):
            seen = mask[:, -queries:] if mask.shape[1] > 1 else mask
            seen = seen & visible if causal else seen
            uniform = seen.sum(2, keepdims=True) / (visible.sum(1)[:, None] if seen.shape[1] > 1 else positions)
            asked = (uniform > 0).sum(1, keepdims=True) * (queries // seen.shape[1])
            W = np.divide(seen, uniform * asked, out=np.zeros(seen.shape), where=uniform * asked > 0)
            table = torch.from_numpy(W.astype(np.float32)).to(device)
            self.lacking[:, number] = torch.from_numpy((asked == 0)[:, 0, 0]).to(device)
            if seen.shape[1] == 1:
                self.keys[number] = table[:, 0].expand(rows, -1)
            elif seen.shape[0] == 1:
                self.fixed[number] = table[0]
            else:
                self.pairs[number] = table

        # One below the other, as `lift` reads them: fixed ones [p, S K], those of keys [B, p, K], pairs [B, p, S K].
        self._fixed = torch.stack([*self.fixed.values()]).flatten(1) if self.fixed else torch.empty(0, 0)
        # Of a large board few pairs of cells are in such a pattern: their places, weights, and number by pattern.
        self.sparse = positions > MOST_POSITIONS
        if self.sparse and self.fixed:
            pattern, self._pairs_of = self._fixed.nonzero().unbind(1)
            self._weights = self._fixed[pattern, self._pairs_of]
            self._counts = torch.bincount(pattern, minlength=len(self._fixed)).tolist()
        self._keys = torch.stack([*self.keys.values()], 1) if self.keys else None
        self._pairs = torch.stack([*self.pairs.values()], 1).flatten(2) if self.pairs else None
        order = [*self.fixed, *self.keys, *self.pairs]
        self._place = torch.tensor([order.index(number) for number in range(len(order))], device=device)

    def lift(self, A: Tensor, columns: Tensor, rows: slice) -> Tensor:
        """[b, n, P] of maps [b, n, S, K] and their column sums [b, n, K], in the order of `lifts`."""
        # Products of this shape are several times as fast on a CPU as those of their transposes.
        flat, found = A.flatten(2), []
        if self.fixed:
            found.append(self._of_fixed(flat))
        if self._keys is not None:
            found.append((self._keys[rows] @ columns.mT).mT)
        if self._pairs is not None:
            found.append((self._pairs[rows] @ flat.mT).mT)
        return torch.cat(found, 2)

    def _of_fixed(self, flat: Tensor) -> Tensor:
        """[b, n, p] of flat maps [b, n, S K]."""
        if not self.sparse:
            return flat @ self._fixed.mT
        parts = (flat.index_select(2, self._pairs_of) * self._weights).split(self._counts, 2)
        return torch.stack([part.sum(2) for part in parts], 2)

    def lifts(self, found: Tensor) -> Tensor:
        """[B, N, P] in the order of the patterns, of what `lift` gives for all rows and heads; nan without a query."""
        return found[..., self._place].masked_fill(self.lacking.unsqueeze(1), torch.nan)

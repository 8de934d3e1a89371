"""Several rollouts of a puzzle: with Gaussian noise on the latent state at every segment, and on symmetric copies.

The test-time noise is that of arXiv 2605.19943, the copies are those of arXiv 2601.19085. `NoisyRollouts` runs some
rollouts of some puzzles segment by segment, and `sample_answers` keeps the answers as tokens, with the verdicts on
them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from rrm.dynamics.escape import finite_rows, judge
from rrm.dynamics.network_map import NetworkMap
from rrm.dynamics.rollout import answers_of
from rrm.dynamics.shards import RowResult, join, row_batches
from rrm.dynamics.tangent_map import flat
from rrm.halves import NOISE, ROLLOUTS, SYMMETRY, halves
from rrm.models.base import Readout, RecursiveModel
from rrm.models.noise import add_noise, gaussian_rows
from rrm.models.precision import measurement
from rrm.tasks.base import PuzzleSet, Task
from rrm.tasks.symmetry import Symmetries
from rrm.tasks.verdict import OUTCOMES

# Puzzles that are run together, and rows (puzzle, rollout) of a batch on a CPU. Shards of a multiple of PUZZLES see the
# batches of the whole.
PUZZLES, BATCH = 16, 64
# Ends the seeds of symmetries, which are so none of the seeds of noise.
_OF_SYMMETRY = 1


@dataclass(frozen=True)
class SamplingNoise:
    """What makes the rollouts of a puzzle differ.

    Attributes:
        sigma: standard deviation of the noise, in state units (the state has unit RMS).
        where: "z_H", "z_L" or "both", the halves of the state that the noise is added to.
        seed: of the noise, of the copies, and of the draws of a model with randomness of its own (EqR).
        rollouts: "noise", or "symmetry": each rollout runs on a symmetric copy of the puzzle, with noise on top.

    Raises:
        ValueError: a sigma that is negative or not finite, an unknown half, a negative seed, or unknown rollouts.
    """

    sigma: float
    where: str = "z_L"
    seed: int = 0
    rollouts: str = NOISE

    def __post_init__(self) -> None:
        if not (isfinite(self.sigma) and self.sigma >= 0):
            raise ValueError(f"sigma is {self.sigma}: it must be 0 or a positive number")
        halves(self.where)
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}: it must be 0 or more")
        if self.rollouts not in ROLLOUTS:
            raise ValueError(f"rollouts are {self.rollouts!r}: use one of {', '.join(ROLLOUTS)}")


class NoisyRollouts:
    """Some rollouts of B puzzles, side by side: row r B + i is the r-th of the `rollouts` of puzzle i.

    Rollout 0 is the clean one, the puzzle as it is without noise. At the start of every segment of the others sigma n,
    n ~ N(0, I), is added to the halves `noise.where`, drawn in float32 from (seed, rollout, position of the puzzle in
    the data set) one segment after the other: the draws depend neither on batches and shards nor on the depth.

    With `noise.rollouts` "symmetry" every rollout but the clean one runs on a symmetric copy of its puzzle, drawn from
    the same three numbers by `Task.symmetry`. Readouts are led back to the puzzle itself, so that answers of different
    copies can be compared; states are those of the copy.

    Args:
        model: the network; state and calls as in `NetworkMap`.
        task: of the puzzles.
        puzzles: B puzzles.
        positions: [B] int64, their positions in the data set.
        rollouts: numbers of the rollouts; 0 only alone.
        noise: of all of them.

    Attributes:
        puzzles: R B puzzles, one per row, none of them moved.
        system: the map of the R B rows, of copies where they are asked for.
    """

    def __init__(
        self,
        model: RecursiveModel,
        task: Task,
        puzzles: PuzzleSet,
        positions: np.ndarray,
        rollouts: range,
        noise: SamplingNoise,
    ):
        self.puzzles = puzzles.subset(np.tile(np.arange(len(puzzles)), len(rollouts)))
        self.rollouts = rollouts
        first, seed = rollouts[0], noise.seed
        own = seed if first == 0 else int(np.random.SeedSequence([seed, first]).generate_state(1)[0])
        arrays = self.puzzles.arrays
        self._back: tuple[Tensor, Tensor] | None = None
        if first and noise.rollouts == SYMMETRY:
            seeds = [(r - 1, (seed, int(position), _OF_SYMMETRY)) for r in rollouts for position in positions]
            copies = Symmetries.stack([task.symmetry(number, of_copy) for number, of_copy in seeds])
            arrays = arrays | {"inputs": copies.apply(arrays["inputs"])}
            self._back = torch.from_numpy(copies.inverse().sources), torch.from_numpy(copies.tokens).long()
        self.system = NetworkMap(model, arrays, seed=own)
        self._streams = [np.random.default_rng([seed, r, position]) for r in rollouts for position in positions]
        self._sigma, self._halves = noise.sigma if first else 0.0, halves(noise.where)

    def segments(
        self, count: int, segment: Callable[[int, Tensor], Tensor] | None = None
    ) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Run the first `count` segments.

        Args:
            count: segments.
            segment: (number of the segment, z before) -> z after, to see the calls as well; default: `self.segment`.

        Yields:
            (number of the segment from 0, z [R B, N] at its start, noise included, z [R B, N] at its end).
        """
        z = self.system.start()
        for number in range(count):
            before = self._kicked(z)
            z = (segment or self.segment)(number, before)
            yield number, before, z

    def segment(self, number: int, z: Tensor) -> Tensor:
        """z [R B, N] after segment `number` (from 0) that starts in z, without noise."""
        calls = self.system.calls_per_segment
        return self.system.run(number * calls, (number + 1) * calls, z)

    def readout(self, z: Tensor) -> Readout:
        """The readout of z [R B, N], its logits [R B, S, V] those of the puzzles themselves."""
        readout = self.system.readout(z)
        if self._back is None:
            return readout
        # Cell s of the puzzle is cell cells[s] of the copy, where token v is called tokens[v].
        cells, tokens = (each.to(readout.logits.device) for each in self._back)
        rows = torch.arange(len(cells), device=cells.device)[:, None, None]
        return readout._replace(logits=readout.logits[rows, cells[:, :, None], tokens[:, None, :]])

    def _kicked(self, z: Tensor) -> Tensor:
        if not self._sigma:
            return z
        state = self.system.state(z)
        noise = gaussian_rows((len(self._halves), *self.system.half_shape), self._streams).unbind(1)
        moved = {
            half: add_noise(getattr(state, half), self._sigma, n) for half, n in zip(self._halves, noise, strict=True)
        }
        return flat(state._replace(**moved))

    def by_puzzle(self, values: Sequence[np.ndarray]) -> np.ndarray:
        """M arrays [R B, ...], one per depth, as [B, R, M, ...]."""
        stacked = np.stack(values, 1)
        return stacked.reshape(len(self.rollouts), -1, *stacked.shape[1:]).swapaxes(0, 1)


def checked_depths(K: int, depths: Sequence[int]) -> np.ndarray:
    """The depths in ascending order, [M] int64.

    Raises:
        ValueError: K or a depth below 1, no depth, or a depth that comes twice.
    """
    numbers = np.asarray(depths, np.int64)
    if K < 1:
        raise ValueError(f"K is {K}: at least one noisy rollout is needed")
    if numbers.ndim != 1 or not numbers.size or numbers.min() < 1 or len(np.unique(numbers)) != numbers.size:
        raise ValueError(f"depths are {numbers.tolist()}: give different numbers of segments, each 1 or more")
    return np.sort(numbers)


def groups(K: int, puzzles: int, batch_size: int) -> list[range]:
    """Rollouts 1 to K, cut into groups of about `batch_size` rows of `puzzles` puzzles; at least one rollout each."""
    together = max(1, batch_size // puzzles)
    return [range(first, min(first + together, K + 1)) for first in range(1, K + 1, together)]


@dataclass(frozen=True)
class Samples(RowResult):
    """The answers of K noisy rollouts of N puzzles after M depths; those of a puzzle are exchangeable.

    Attributes:
        sigma, where, seed, rollouts: as in `SamplingNoise`.
        depths: [M] int64, ascending, in segments.
        index: [N] int64, position in the data set, ascending.
        answers: [N, K, M, S] uint8, decoded tokens.
        solved, valid, shortest: [N, K, M] bool, as in `rrm.tasks.verdict.verdict`.
        finite: [N, K, M] bool, state and logits stayed free of nan and inf; other answers are neither solved nor valid.
    """

    sigma: float
    where: str
    seed: int
    depths: np.ndarray
    index: np.ndarray
    answers: np.ndarray
    solved: np.ndarray
    valid: np.ndarray
    shortest: np.ndarray
    finite: np.ndarray
    rollouts: str = NOISE

    row_axes: ClassVar[dict[str, int]] = dict.fromkeys(("index", "answers", *OUTCOMES, "finite"), 0)


def sample_answers(
    model: RecursiveModel,
    puzzles: PuzzleSet,
    task: Task,
    K: int,
    depths: Sequence[int],
    noise: SamplingNoise,
    *,
    index: np.ndarray | None = None,
    batch_size: int = BATCH,
    progress: Callable[[int], None] = lambda rows: None,
) -> Samples:
    """Run every puzzle K times with noise, to the largest of `depths` segments, and keep the answers.

    The rollouts are those of `rrm.dynamics.stochastic.stochastic_rollouts` without an exponent, bit for bit in the same
    batches: rollout j here is rollout j + 1 there.

    Args:
        model: the network; it runs in float32, in float64 after `.double()`.
        puzzles: the data set.
        task: its verifier.
        K: noisy rollouts of every puzzle, at least 1.
        depths: segments after which the answers are kept, each 1 or more.
        noise: size, halves and seed.
        index: positions of the puzzles to run; default: all.
        batch_size: rows (puzzle, rollout) that are run together, as whole rollouts of PUZZLES puzzles.
        progress: is called with the number of puzzles of each finished batch.

    Raises:
        ValueError: as `checked_depths` and `row_batches`.
    """
    ascending, parts = checked_depths(K, depths), []
    for rows in row_batches(puzzles, index, PUZZLES):
        batch = puzzles.subset(rows)
        of_groups = [
            _answers(NoisyRollouts(model, task, batch, rows, group, noise), task, ascending)
            for group in groups(K, len(rows), batch_size)
        ]
        arrays: dict[str, Any] = {name: np.concatenate([part[name] for part in of_groups], 1) for name in of_groups[0]}
        arrays |= {"index": rows, "rollouts": noise.rollouts}
        parts.append(Samples(float(noise.sigma), noise.where, noise.seed, ascending, **arrays))
        progress(len(rows))
    return join(parts)


@measurement()
def _answers(batch: NoisyRollouts, task: Task, depths: np.ndarray) -> dict[str, np.ndarray]:
    """The arrays of `Samples`, each [B, rollouts, M, ...]."""
    found, finite = [], np.ones(len(batch.puzzles), bool)
    for number, _, z in batch.segments(int(depths[-1])):
        readout = batch.readout(z)
        finite = finite & finite_rows(batch.system.state(z), readout)
        if number + 1 in depths:
            judged = judge(batch.puzzles, task, readout, finite)
            found.append({"answers": answers_of(readout), **judged, "finite": finite})
    return {name: batch.by_puzzle([at[name] for at in found]) for name in found[0]}

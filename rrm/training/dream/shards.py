"""The attempts of a round in shards: pieces of work that any process can do, and that outlive the one that asked."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rrm.dynamics.sampling import PUZZLES
from rrm.errors import InputError
from rrm.files import read_npz, refusing, replacing
from rrm.models import build, recursive
from rrm.models.official import load_strictly
from rrm.tasks import get_task
from rrm.tasks.base import PuzzleSet
from rrm.training.attempts import Attempts, attempt
from rrm.training.spread import Spread

# Puzzles of a shard: the batches of the whole, so that the cut changes no answer.
SHARD = 2 * PUZZLES


@dataclass(frozen=True)
class Piece:
    """Attempts to make: K = `rollouts` at each of some puzzles, known to the noise by `positions` [N]."""

    puzzles: PuzzleSet
    positions: np.ndarray
    rollouts: int
    sigma: float
    seed: int

    @property
    def digest(self) -> str:
        """sha256 (hex) of all of it."""
        told = [self.positions.tolist(), self.rollouts, self.sigma, self.seed]
        return hashlib.sha256(f"{self.puzzles.content_hash()} {json.dumps(told)}".encode()).hexdigest()


@dataclass(frozen=True)
class Attempting:
    """The weights of a round at work: a function of a piece.

    description, weights: of the model.  segments: of a rollout.
    """

    description: dict[str, Any]
    weights: Mapping[str, np.ndarray]
    segments: int
    device: str

    @classmethod
    def of(cls, description: dict[str, Any], weights: Mapping[str, Tensor], segments: int, device: str) -> "Attempting":
        """Arrays instead of tensors, for other processes; numpy has no bfloat16, and float32 holds the same numbers."""
        wide = {torch.bfloat16: torch.float32}
        arrays = {name: value.cpu().to(wide.get(value.dtype, value.dtype)).numpy() for name, value in weights.items()}
        return cls(description, arrays, segments, device)

    def __call__(self, piece: Piece) -> Attempts:
        model = recursive(build(self.description), "a dream loop")
        # Arrays from an object store are read-only.
        load_strictly(model, {name: torch.from_numpy(np.array(value)) for name, value in self.weights.items()})
        task = get_task(piece.puzzles.task)
        return attempt(
            model.to(self.device), piece.puzzles, task, self.segments,
            rollouts=piece.rollouts, sigma=piece.sigma, seed=piece.seed, positions=piece.positions,
        )  # fmt: skip

    @cached_property
    def digest(self) -> str:
        """sha256 (hex) of description and weights."""
        found = hashlib.sha256(json.dumps([self.description, self.segments], sort_keys=True).encode())
        for name, value in sorted(self.weights.items()):
            found.update(name.encode() + np.ascontiguousarray(value).tobytes())
        return found.hexdigest()


@dataclass(frozen=True)
class Kept:
    """A spread that keeps finished shards in a folder and does not make them again.

    A training that is killed in mid-round comes back to the same weights, puzzles and seeds, and so to the same files.
    """

    folder: Path
    spread: Spread

    def __call__(self, function: Any, pieces: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        self.folder.mkdir(parents=True, exist_ok=True)
        paths = [self.folder / f"{function.digest[:16]}-{piece.digest[:32]}.npz" for piece in pieces]
        missing = []
        for position, path in enumerate(paths):
            known = _read(path)
            if known is None:
                missing.append(position)
            else:
                yield position, known
        for place, made in self.spread(function, [pieces[position] for position in missing]):
            _write(made, paths[missing[place]])
            yield missing[place], made


def _read(path: Path) -> Attempts | None:
    """A shard that was finished; None without one, or where it is damaged."""
    names = [f.name for f in fields(Attempts)]
    try:
        with refusing(path, "shard of attempts", "it is made again"):
            return Attempts(**read_npz(path, names, "shard of attempts", "it is made again"))
    except InputError:
        return None


def _write(made: Attempts, path: Path) -> None:
    with replacing(path) as unfinished, open(unfinished, "wb") as file:
        np.savez(file, **asdict(made))


def cut(puzzles: PuzzleSet, rollouts: int, sigma: float, seed: int) -> list[Piece]:
    """The pieces of the attempts at a set of puzzles."""
    numbers = np.arange(len(puzzles))
    shards = [numbers[first : first + SHARD] for first in range(0, len(puzzles), SHARD)]
    return [Piece(puzzles.subset(shard), shard, rollouts, sigma, seed) for shard in shards]


def made_by_all(
    attempting: Attempting,
    sets: Sequence[Sequence[Piece]],
    spread: Spread,
    rank: int,
    world: int,
    added: Callable[[Tensor], Tensor],
) -> list[Attempts]:
    """The attempts of several sets of pieces, dealt to the workers; the same on each of them.

    Args:
        added: the sum of a tensor over the workers. Each fills in its own pieces and leaves zeros elsewhere.
    """
    pieces = [piece for pieces in sets for piece in pieces]
    mine = [piece for number, piece in enumerate(pieces) if number % world == rank]
    done = dict(spread(attempting, mine))
    found = [done[number // world] if number % world == rank else _nothing(p) for number, p in enumerate(pieces)]
    ends = np.cumsum([len(pieces) for pieces in sets])
    joined = [Attempts.join(found[end - len(of_set) : end]) for of_set, end in zip(sets, ends, strict=True)]
    if world == 1:
        return joined
    return [Attempts(**{f.name: _summed(getattr(part, f.name), added) for f in fields(Attempts)}) for part in joined]


def _nothing(piece: Piece) -> Attempts:
    """Zeros in the place of attempts that another worker makes."""
    N, S, K = *piece.puzzles.inputs.shape, piece.rollouts
    return Attempts(np.zeros((N, K, S), np.uint8), np.zeros((N, K), np.float32), np.zeros((N, K), bool))


def _summed(values: np.ndarray, added: Callable[[Tensor], Tensor]) -> np.ndarray:
    wide = torch.from_numpy(values.astype(np.float32 if values.dtype == np.float32 else np.int32))
    return added(wide).cpu().numpy().astype(values.dtype)

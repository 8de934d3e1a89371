"""What all parts of a training share: settings of plain values, chosen by name, and what a part is built from."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self, TypeVar

from torch import Tensor, nn

from rrm.errors import InputError
from rrm.tasks.base import PuzzleSet, Task
from rrm.tasks.modular import ModularArithmetic
from rrm.training.perturbation import TrajectoryPerturbation

T = TypeVar("T")
S = TypeVar("S", bound="PartSettings")

# From logits [..., V] and labels [...] (-100: ignored) to nats a cell [...], 0 where the label is ignored.
Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Data:
    """The puzzles of a training; those for validation are never trained on."""

    task: Task
    train: PuzzleSet
    validation: PuzzleSet


@dataclass(frozen=True)
class Context:
    """What a part is built from.

    model: the network that trains, on the device where it trains.  loss: of a cell.  data: None for a toy that makes
    its own.  batch_size: rows of a step over all workers.  rank, world: which of how many workers this is.
    arithmetic: the table of a recipe that names one.  steps: of the whole training, None where nobody has counted them.
    """

    model: nn.Module
    loss: Loss
    perturbation: TrajectoryPerturbation
    batch_size: int
    seed: int
    data: Data | None = None
    rank: int = 0
    world: int = 1
    arithmetic: ModularArithmetic | None = None
    steps: int | None = None

    @property
    def total_steps(self) -> int:
        """Steps of the whole training; ValueError where nobody has counted them."""
        if self.steps is None:
            raise ValueError("this part of a training goes by its length: give the context its steps")
        return self.steps

    @property
    def table(self) -> ModularArithmetic:
        """The table of the recipe; InputError where it names none."""
        if self.arithmetic is None:
            raise InputError("this part of a training works on a table, and the recipe names none: give it a table")
        return self.arithmetic

    @property
    def puzzles(self) -> Data:
        """The data; InputError where there are none."""
        if self.data is None:
            raise InputError("this part of a training works on puzzles, and there are none: give a task with puzzles")
        return self.data


@dataclass(frozen=True)
class PartSettings:
    """Settings of one part: a frozen dataclass of plain values that builds the part (`build(context)`)."""

    @classmethod
    def read(cls, what: str, values: Mapping[str, Any]) -> Self:
        """The settings from a dictionary; InputError for a name that they lack. `what` names the part in messages."""
        allowed = [field.name for field in fields(cls)]
        for name in values:
            if name not in allowed:
                has = f"it has {', '.join(allowed)}" if allowed else "it has none"
                raise InputError(f"{what} has no setting {name!r}: {has}")
        return cls(**values)


def chosen(registry: Mapping[str, T], what: str, name: object) -> T:
    """The entry of a registry; InputError for a name that it lacks."""
    if not isinstance(name, str) or name not in registry:
        raise InputError(f"{what} {name!r} is unknown: use one of {', '.join(registry)}")
    return registry[name]


def read_part(registry: Mapping[str, type[S]], what: str, described: Mapping[str, Any]) -> S:
    """The settings of {"kind": a name of the registry, and its settings}."""
    kind = described.get("kind")
    values = {name: value for name, value in described.items() if name != "kind"}
    return chosen(registry, what, kind).read(f"{what} {kind!r}", values)


def describe_part(kind: str, settings: PartSettings) -> dict[str, Any]:
    """What `read_part` reads, with every setting."""
    return {"kind": kind, **asdict(settings)}

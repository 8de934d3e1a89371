"""The contract of a source: which rows a training step sees."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from rrm.training.part import Context, PartSettings


class Source(ABC):
    """Batches by step.

    observes: whether the source reads what steps found; rows are then gathered over the workers.
    """

    observes: ClassVar[bool] = False

    @abstractmethod
    def batch(self, step: int) -> dict[str, Tensor]:
        """The rows of this worker at `step` (from 0), on the CPU: a function of the seed, the step and the state.

        inputs [B, S], labels [B, S] (-100: ignored; [B] for rows of one answer), puzzle_identifiers [B] (of puzzles
        alone) and rows [B], the number of each row in the training set; all int64. The rows of a step are dealt to the
        workers in order, equally many to each.
        """

    def observe(self, step: int, rows: Mapping[str, Tensor]) -> None:  # noqa: B027  most sources do not learn
        """Hear what step number `step` (from 1) found: `Outcome.rows` of all workers, the same on each of them."""

    def metrics(self) -> dict[str, float]:
        """Numbers that go with the metrics of every evaluation."""
        return {}

    def tensors(self) -> dict[str, Tensor]:
        """The state that a checkpoint keeps, the same on every worker."""
        return {}

    def load(self, tensors: Mapping[str, Tensor]) -> None:  # noqa: B027  most sources have no state
        """Carry on from the `tensors` of another source with these settings."""


@dataclass(frozen=True)
class SourceSettings(PartSettings, ABC):
    """Settings of a source."""

    def check(self, hooks: Collection[str]) -> None:  # noqa: B027  most sources need none
        """InputError where the source needs a hook that is not among those of the training."""

    @abstractmethod
    def build(self, context: Context) -> Source:
        """The source; InputError where a batch cannot be made of the training set."""

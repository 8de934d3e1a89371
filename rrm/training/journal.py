"""A journal of a training on a table: losses and accuracies on both sides of the split, and when they turned."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from rrm.errors import InputError
from rrm.training.classification import Classification
from rrm.training.hook import Hook, HookSettings
from rrm.training.objective import Outcome
from rrm.training.part import Context

# What has turned, by the name of its event.
MEMORISED, GROKKED = "memorised_step", "grokked_step"


class Journal(Hook):
    """A row of the curve file every `every` steps, of the weights after that step, and the events that rows show.

    records: {event: the step of the first row at or above its threshold}; an event that never came has none.
    """

    def __init__(self, settings: "JournalSettings"):
        super().__init__()
        self.settings = settings
        self.records = [{}]

    @property
    def events(self) -> dict[str, int]:
        """The steps at which something turned, so far."""
        return self.records[0]

    def after_step(self, step: int, outcome: Outcome) -> dict[str, float] | None:
        if step % self.settings.every:
            return None
        row = self._row()
        self._find(step, row)
        return row

    def metrics(self) -> dict[str, float]:
        """The row of now, and grokking/memorised_step and grokking/grokked_step where they have come."""
        events = {name: float(step) for name, step in self.events.items() if name in (MEMORISED, GROKKED)}
        return self._row() | {f"grokking/{name}": step for name, step in events.items()}

    def load(self, tensors: Mapping[str, Tensor], records: list[dict[str, Any]]) -> None:
        super().load(tensors, records)
        if "end" in self.events:
            self.training.end_at(self.events["end"])

    def _row(self) -> dict[str, float]:
        objective = self.training.objective
        assert isinstance(objective, Classification)
        return objective.measure(self.training.model) | {"learning_rate": self.training.optimizer.param_groups[0]["lr"]}

    def _find(self, step: int, row: Mapping[str, float]) -> None:
        settings = self.settings
        if row["train/accuracy"] >= settings.memorised:
            self.events.setdefault(MEMORISED, step)
        if row["test/accuracy"] >= settings.grokked:
            self.events.setdefault(GROKKED, step)
        after = settings.stop_after
        if after is not None and row["test/accuracy"] >= settings.stop_at and "end" not in self.events:
            self.events["end"] = step + after
            self.training.end_at(step + after)


@dataclass(frozen=True)
class JournalSettings(HookSettings):
    """every: steps between two rows, and the resolution of events.  memorised, grokked: thresholds of the accuracy on
    training and test pairs.

    stop_after: end the training so many steps after the first row whose accuracy on test pairs is `stop_at` or more;
    None for a training that does not look at them.
    """

    every: int = 25
    memorised: float = 0.98
    grokked: float = 0.95
    stop_after: int | None = None
    stop_at: float = 0.99

    def __post_init__(self) -> None:
        if type(self.every) is not int or self.every < 1:
            raise InputError(f"every is {self.every!r}: use a number of steps from 1")
        if self.stop_after is not None and (type(self.stop_after) is not int or self.stop_after < 0):
            raise InputError(f"stop_after is {self.stop_after!r}: use a number of steps, or leave it out")
        for name in ("memorised", "grokked", "stop_at"):
            if not 0 < getattr(self, name) <= 1:
                raise InputError(f"{name} is {getattr(self, name):g}: use an accuracy above 0, at most 1")

    def build(self, context: Context) -> Journal:
        context.table  # noqa: B018  refuses a training that is not on a table
        return Journal(self)

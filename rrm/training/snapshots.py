"""Weights along a training: every so many steps the averaged weights, kept with its checkpoint.

What a network did on the way can be computed from them at any time: its routing, its waves, its stability.

    snapshot_steps(folder)         # [500, 1000, ...] of a checkpoint folder
    load_snapshot(folder, 500)     # the network of that step
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from rrm.errors import InputError
from rrm.files import open_tensors, refusing
from rrm.models import Model, build
from rrm.models.official import build_and_load
from rrm.training.checkpoint import REMEDY, read_meta
from rrm.training.hook import Hook, HookSettings
from rrm.training.objective import Outcome
from rrm.training.part import Context

NAME = "snapshots"  # of the hook and of its file in a checkpoint folder


class Snapshots(Hook):
    """Copies of the averaged weights, which evaluation uses, in memory of the CPU and in every checkpoint.

    records: step, model description and segments of each, as `rrm.training.checkpoint` has them of other weights.
    """

    own_file: ClassVar[bool] = True

    def __init__(self, every: int):
        super().__init__()
        self.every = every
        self._weights: dict[str, Tensor] = {}

    def after_step(self, step: int, outcome: Outcome) -> None:
        if step % self.every == 0:
            training = self.training
            for name, value in training.ema.weights(training.model).items():
                self._weights[f"{step}/{name}"] = value.cpu()
            self.records.append({"step": step, **training.objective.how_to_run()})

    def tensors(self) -> dict[str, Tensor]:
        return self._weights

    def load(self, tensors: Mapping[str, Tensor], records: list[dict[str, Any]]) -> None:
        super().load(tensors, records)
        self._weights = {name: value.cpu() for name, value in tensors.items()}


@dataclass(frozen=True)
class SnapshotsSettings(HookSettings):
    """every: steps from one snapshot to the next. All of a training stay in memory, 4 bytes a weight each."""

    every: int = 500

    def __post_init__(self) -> None:
        if type(self.every) is not int or self.every < 1:
            raise InputError(f"every of the snapshots is {self.every!r}: use a number of steps from 1")

    def build(self, context: Context) -> Snapshots:
        return Snapshots(self.every)


def snapshot_steps(folder: Path | str) -> list[int]:
    """Steps of the snapshots in a checkpoint folder; none where the training took none."""
    return [record["step"] for record in _records(Path(folder))]


def load_snapshot(folder: Path | str, step: int) -> Model:
    """The network of a snapshot in evaluation mode; InputError for a step without one, and for damaged files."""
    records = {record["step"]: record for record in _records(Path(folder))}
    if step not in records:
        kept = f"those of steps {', '.join(map(str, records))}" if records else "none"
        raise InputError(f"{folder} has no snapshot of step {step}: it has {kept}")
    path = Path(folder) / f"{NAME}.safetensors"
    with open_tensors(path, "safetensors file", REMEDY) as file:
        head = f"{step}/"
        names = [name for name in file.keys() if name.startswith(head)]
        weights = {name.removeprefix(head): file.get_tensor(name) for name in names}
    try:
        return build_and_load(lambda: build(records[step]["model"]), weights)
    except InputError as error:
        raise InputError(f"{path}: {error}; {REMEDY}") from None


def _records(folder: Path) -> list[dict[str, Any]]:
    meta = read_meta(folder)
    with refusing(folder / "checkpoint.json", "record of snapshots", REMEDY):
        records = meta["hooks"].get(NAME, [])
        return [{"step": int(record["step"]), "model": dict(record["model"])} for record in records]

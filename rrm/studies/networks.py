"""The networks of a training: those of its checkpoint and those of its snapshots.

In a notebook:

    from rrm.studies.networks import find_networks
    found = find_networks("RUN_ID", storage="runs")        # or JOB/TRIAL of the storage folder
    found.steps, found.load("final"), found.routing(found.nearest(2000))
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np

from rrm.errors import InputError
from rrm.jobs.folder import JobFolder
from rrm.models import Model, TokenModel
from rrm.models.pairs import pair_routing
from rrm.statistics.routing import Routing
from rrm.tasks.modular import ModularArithmetic
from rrm.tracking import tracking_uri
from rrm.tracking.folder_reader import FolderReader
from rrm.tracking.read import download
from rrm.tracking.reader import Reader, Run
from rrm.tracking.store_reader import StoreReader
from rrm.training import checkpoint, snapshots

Item = TypeVar("Item")


@dataclass(frozen=True)
class Networks:
    """The networks of one training, by name: "initial", "best" and "final", and "500" of the snapshot of step 500.

    folder: of its checkpoint.
    """

    folder: Path

    @cached_property
    def steps(self) -> dict[str, int]:
        """The step of every network by its name, the earliest first."""
        meta = checkpoint.read_meta(self.folder)
        found = {name: int(meta[name]["step"]) for name in checkpoint.WEIGHTS if name in meta}
        found |= {str(step): step for step in snapshots.snapshot_steps(self.folder)}
        return dict(sorted(found.items(), key=lambda item: item[1]))

    def load(self, name: str) -> Model:
        """A network in evaluation mode; InputError for a name that there is not, and for damaged files."""
        if name not in self.steps:
            raise InputError(f"{self.folder} has no weights {name!r}: use one of {', '.join(self.steps)}")
        if name in checkpoint.WEIGHTS:
            return checkpoint.load_model(self.folder, name)
        return snapshots.load_snapshot(self.folder, int(name))

    def spread(self, most: int) -> list[str]:
        """Names of at most `most` networks of different steps, spread evenly, the first and the last one of them."""
        return spread(list({step: name for name, step in self.steps.items()}.values()), most)

    def nearest(self, step: int) -> str:
        """The name of the network whose step is nearest to a step."""
        return min(self.steps, key=lambda name: abs(self.steps[name] - step))

    @cached_property
    def table(self) -> ModularArithmetic:
        """The table of modular arithmetic that was trained on; InputError where it was none."""
        table = checkpoint.read_meta(self.folder).get("recipe", {}).get("table")
        if not table:
            raise InputError(f"{self.folder} was not trained on modular arithmetic: give a checkpoint of such a sweep")
        return ModularArithmetic(**table)

    def token_model(self, name: str) -> TokenModel:
        """As `load`, of a network of tokens; InputError for another one."""
        model = self.load(name)
        if not isinstance(model, TokenModel):
            raise InputError(f"{self.folder} holds no network of tokens: give a checkpoint of a sweep of such networks")
        return model

    def routing(self, name: str, place: int = 0) -> Routing:
        """What the routers choose for all pairs of the operation at a place of the table; empty without routers."""
        weights = pair_routing(self.token_model(name), self.table.p, place)
        return Routing(self.steps[name], self.table.answers(place), weights)


def spread(items: Sequence[Item], most: int) -> list[Item]:
    """At most `most` of the items, evenly, the first and the last one of them."""
    return [items[round(place)] for place in np.linspace(0, len(items) - 1, min(most, len(items)))]


def find_networks(identity: str, storage: str | Path = "runs", uri: str | None = None) -> Networks:
    """The networks of a trial by the id of its run in an MLflow store, or by JOB/TRIAL of the storage folder.

    Raises:
        InputError: an id that is nowhere, or a run that has no checkpoint yet.
    """
    storage = Path(storage).resolve()
    reader = open_reader(identity, storage, uri)
    folder = checkpoint_folder(reader, reader.run(identity), storage)
    if folder is None:
        raise InputError(f"run {identity} has no checkpoint: give the run of a finished trial")
    return Networks(folder)


def open_reader(identity: str, storage: Path, uri: str | None) -> Reader:
    """Reads the run of this id: of a job folder where the id names one, else of the store."""
    if (storage / identity.partition("/")[0]).is_dir():
        return FolderReader(storage)
    return StoreReader(tracking_uri(uri, storage), storage / "downloads", storage)


def checkpoint_folder(reader: Reader, run: Run, storage: Path) -> Path | None:
    """The checkpoint folder of a run; None where there is none yet."""
    if isinstance(reader, StoreReader):
        files = reader.files(run)
        known = "checkpoint/checkpoint.json" in files
        return download(reader.uri, run.id, "checkpoint", reader.cache) if known else None
    phases = JobFolder(storage / run.group, "sweep").read("trials") or {}
    trials = {trial["name"]: trial for listed in phases.values() for trial in listed}
    path = trials.get(run.name, {}).get("checkpoint")
    return storage / run.group / path if path else None

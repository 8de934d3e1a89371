"""Storage folders that were moved while their sqlite store still names the old place."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from rrm.errors import InputError
from rrm.tracking.address import database_file

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment


def refuse_moved(uri: str, client: MlflowClient, experiment: Experiment, root: Path) -> None:
    """InputError where the artifacts of an experiment lie in `root`, but the sqlite store names another folder.

    MLflow fixes the folder when it makes an experiment or a run, and has no call to change it. Another folder alone is
    no error, because a store may serve several storage folders. Nor is a link from the old path.
    """
    from mlflow.utils.file_utils import local_file_uri_to_path

    location = experiment.artifact_location
    if (database := database_file(uri)) is None or not location.startswith(("file:", "/")):
        return
    old, new = Path(local_file_uri_to_path(location)), root.resolve()
    if old.resolve() == new or (old.exists() and new.exists() and old.samefile(new)):
        return
    gone = database.resolve().parent == new.parent and not old.parent.is_dir()
    if gone or any((new / run.info.run_id).is_dir() for run in client.search_runs([experiment.experiment_id])):
        link = shlex.join(["ln", "-s", str(new.parent), str(old.parent)])
        raise InputError(
            f"tracking store {uri} keeps the artifacts of {experiment.name} in {old}, but the storage folder is "
            f"{new.parent} now: move it back, link the old path to it, which must be free ({link}), or name another "
            "store by --tracking-uri"
        )

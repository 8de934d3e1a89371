"""One run of an MLflow store, by its id, and its files."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rrm.errors import InputError
from rrm.tracking.address import database_file, giver
from rrm.tracking.client import make_client
from rrm.tracking.deleted import refuse_deleted_run
from rrm.tracking.failure import answering
from rrm.tracking.moved import refuse_moved
from rrm.tracking.secrets import mask

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


def open_client(uri: str) -> MlflowClient:
    """An MLflow client for an existing store; InputError where there is none."""
    if (file := database_file(uri)) and not file.exists():
        raise InputError(f"tracking store {uri} does not exist: give {giver(uri)} as the sweep printed it")
    with answering(uri):
        return make_client(uri, writes=False)


def find_run(uri: str, run_id: str) -> Run:
    """The MLflow run of this id; InputError if the store has none, or has it deleted."""
    from mlflow.exceptions import MlflowException

    try:
        with answering(uri):
            client = open_client(uri)
            run = client.get_run(run_id)
            refuse_deleted_run(uri, client, run)
            return run
    except MlflowException:
        message = f"run {run_id} is not in {mask(uri)}: check the id in the MLflow UI, and {giver(uri)}"
        raise InputError(message) from None


def download(uri: str, run_id: str, name: str, cache: Path) -> Path:
    """An artifact of a run (a file or a folder), kept under `cache`; InputError where the run has no such thing."""
    target = cache / run_id
    if not (target / name).resolve().is_relative_to(target.resolve()):
        raise InputError(f"{name} lies outside of the artifacts of run {run_id}: give a path among them")
    if not (target / name).exists():
        client, folder = open_client(uri), name.rpartition("/")[0]
        listed = [file.path for file in client.list_artifacts(run_id, folder or None)]
        if name not in listed:
            refuse_moved_artifacts(uri, find_run(uri, run_id))
            raise InputError(f"run {run_id} has no {name} among its artifacts: give the run of a finished trial")
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        # Beside the target, so that what is there is whole: a move from another file system is a copy.
        with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=cache) as unfinished:
            fetched = client.download_artifacts(run_id, name, unfinished)
            try:
                os.rename(fetched, target / name)
            except OSError:
                if not (target / name).exists():  # else another process was faster
                    raise
    return target / name


def refuse_moved_artifacts(uri: str, run: Run) -> None:
    """InputError where artifacts are missing because the storage folder around a sqlite store was moved."""
    client, root = open_client(uri), Path(uri.removeprefix("sqlite:///")).parent / "artifacts"
    refuse_moved(uri, client, client.get_experiment(run.info.experiment_id), root)

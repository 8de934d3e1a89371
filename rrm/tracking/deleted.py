"""Experiments and runs that were deleted in MLflow's UI.

MLflow keeps them, and makes no new experiment with the name of a deleted one.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from rrm.errors import InputError
from rrm.tracking.address import VARIABLE
from rrm.tracking.secrets import mask

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

DELETED = "deleted"  # MLflow's lifecycle_stage


def restore_command(uri: str, kind: str, identity: str) -> str:
    """The command that restores an experiment or a run, without the credentials in the store's address."""
    option = {"experiment": "--experiment-id", "run": "--run-id"}[kind]
    return f"{VARIABLE}={shlex.quote(mask(uri))} mlflow {kind}s restore {option} {identity}"


def refuse_deleted_experiment(uri: str, experiment: Experiment) -> None:
    """Raise the InputError for a deleted experiment."""
    if experiment.lifecycle_stage == DELETED:
        raise InputError(
            f"the experiment {experiment.name} of {mask(uri)} was deleted, and its name is taken: restore it by "
            f"`{restore_command(uri, 'experiment', experiment.experiment_id)}`, or name another store by --tracking-uri"
        )


def refuse_deleted_run(uri: str, client: MlflowClient, run: Run) -> None:
    """Raise the InputError for a run that was deleted, alone or with its experiment."""
    if run.info.lifecycle_stage == DELETED:
        refuse_deleted_experiment(uri, client.get_experiment(run.info.experiment_id))
        raise InputError(
            f"run {run.info.run_id} of {mask(uri)} was deleted: restore it by "
            f"`{restore_command(uri, 'run', run.info.run_id)}`"
        )


def deleted_runs(client: MlflowClient, experiment_id: str, job: str) -> list[Run]:
    """Deleted runs of a job whose role and name no living run has."""
    from mlflow.entities import ViewType

    query = f"tags.`rrm.job` = '{job}'"
    found: dict[int, dict[tuple, Run]] = {ViewType.ACTIVE_ONLY: {}, ViewType.DELETED_ONLY: {}}
    for view, runs in found.items():
        for run in client.search_runs([experiment_id], query, run_view_type=view, max_results=5000):
            runs[run.data.tags.get("rrm.role"), run.data.tags.get("rrm.name")] = run
    return [run for name, run in found[ViewType.DELETED_ONLY].items() if name not in found[ViewType.ACTIVE_ONLY]]

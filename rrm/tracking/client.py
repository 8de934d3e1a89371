"""MLflow's client, made in one way for writing and reading."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from rrm.tracking.database import check_database
from rrm.tracking.secrets import logged_in

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Callers decide which requests to repeat; MLflow by itself would repeat the creation of a run, too.
SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


def configure() -> None:
    """Set the variables that MLflow reads at its import, and the levels of its loggers."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    import mlflow  # noqa: F401  it sets the levels of its loggers itself

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # It prints a traceback of every failed statement before it raises the same error.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


def make_client(uri: str, writes: bool) -> MlflowClient:
    """A client of an existing store; InputError for a sqlite file that MLflow cannot read or write."""
    configure()
    from mlflow import MlflowClient

    check_database(uri, writes)
    return MlflowClient(tracking_uri=logged_in(uri))

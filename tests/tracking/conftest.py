"""A store of MLflow, made once: that takes seconds."""

import shutil

import pytest

from rrm.tracking.embedded import create_store


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """The file of a store without runs."""
    folder = tmp_path_factory.mktemp("empty")
    create_store(folder / "mlflow.db", folder / "artifacts")
    return folder / "mlflow.db"


@pytest.fixture
def storage(empty_store, tmp_path):
    """A storage folder with such a store, to be broken."""
    folder = tmp_path / "runs"
    folder.mkdir()
    shutil.copy(empty_store, folder / "mlflow.db")
    return folder
